"""How large images are on their way through convolutions and poolings."""

from collections.abc import Iterable

from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers import AvgPool2d, Conv2d, MaxPool2d


def image(model: str, input_shape: tuple[int, int, int], least: int) -> int:
    """The channels of an input (height, width, channels) of at least `least` pixels a side."""
    if len(input_shape) != 3 or min(input_shape) < 1 or min(input_shape[:2]) < least:
        raise NetworkError(
            f"{model} expected an input_shape (height, width, channels) of at least {least} pixels a side, "
            f"got {tuple(input_shape)}."
        )
    return input_shape[2]


def after(layers: Layer, input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of what a chain of layers makes of an image."""
    height, width = input_shape[:2]
    for _, layer in layers.layers():
        if isinstance(layer, Conv2d):
            height, width = _windows((height, width), layer.extent, layer.stride, layer.padding, False)
        elif isinstance(layer, MaxPool2d | AvgPool2d):
            height, width = _windows(
                (height, width), layer.size, layer.stride, layer.padding, layer.ceil_mode
            )
    return height, width


def _windows(
    sizes: Iterable[int], kernel: Iterable[int], stride: Iterable[int], padding: Iterable[int], up: bool
) -> tuple[int, int]:
    height, width = (
        (size + 2 * pad - k + (step - 1 if up else 0)) // step + 1
        for size, k, step, pad in zip(sizes, kernel, stride, padding, strict=True)
    )
    return height, width
