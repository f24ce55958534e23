"""LeNet, as the 2016 system trained it on MNIST (its example/mnist/lenet.json), after Caffe's example."""

from nn.errors import NetworkError
from nn.layers import Conv2d, Linear, MaxPool2d, ReLU, Sequential

_PUBLISHED_SIZE = 28


def lenet(input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> Sequential:
    """conv 5×5×20, pool 2, conv 5×5×50, pool 2, linear 500, ReLU, linear `classes`; 431,080 parameters.

    `input_shape` is (height, width, channels). Images smaller than 28 pixels, such as the digits of 8×8, are
    padded so that a convolution keeps their size. Takes float32 [N, height, width, channels], gives logits
    [N, classes].
    """
    height, width, channels = input_shape
    if min(input_shape) < 1:
        raise NetworkError(f"lenet expected an input_shape (height, width, channels), got {input_shape}.")
    padding = 0 if min(height, width) >= _PUBLISHED_SIZE else 2
    flat = (_after_both(height, padding), _after_both(width, padding), 50)
    return Sequential(
        conv1=Conv2d(channels, 20, 5, padding=padding),  # 28 → 24 · 8 → 8
        pool1=MaxPool2d(2),  # 24 → 12 · 8 → 4
        conv2=Conv2d(20, 50, 5, padding=padding),  # 12 → 8 · 4 → 4
        pool2=MaxPool2d(2),  # 8 → 4 · 4 → 2
        fc3=Linear(flat, 500),
        relu3=ReLU(),
        fc4=Linear(500, classes),
    )


def _after_both(size: int, padding: int) -> int:
    """The height or width that two convolutions and two poolings leave of `size`."""
    for _ in range(2):
        size = -(-(size + 2 * padding - 4) // 2)  # a pooling rounds up
    return size
