"""VGG, whose names and parameters are those of torchvision."""

from functools import partial

from nn.layer import Layer
from nn.layers import Conv2d, Dropout, Linear, MaxPool2d, ReLU, Sequential
from nn.models.sizes import after, image

# Output channels of the convolutions between two poolings. Source: K. Simonyan, A. Zisserman: "Very Deep
# Convolutional Networks for Large-Scale Image Recognition", 2014, table 1, columns A, B, D and E.
_BLOCKS = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


def vgg(depth: int, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Sequential:
    """3×3 convolutions in five blocks, each ended by a pooling, and three linear layers; depth 11, 13, 16 or
    19.

    138,357,544 parameters with depth 16 for 224×224×3 and 1,000 classes. Takes float32 [N, height, width,
    channels]
    of at least 32 pixels a side, gives logits [N, classes].
    """
    channels = image(f"vgg{depth}", input_shape, least=32)
    layers: list[Layer] = []
    for block in _BLOCKS[depth]:
        for size in block:
            layers += [Conv2d(channels, size, 3, padding=1, init="he"), ReLU()]
            channels = size
        layers.append(MaxPool2d(2, ceil_mode=False))
    features = Sequential(*layers)
    classifier = Sequential(
        Linear((*after(features, input_shape), channels), 4096, init="he"),
        ReLU(),
        Dropout(0.5),
        Linear(4096, 4096, init="he"),
        ReLU(),
        Dropout(0.5),
        Linear(4096, classes),
    )
    return Sequential(features=features, classifier=classifier)


vgg11, vgg13, vgg16, vgg19 = (partial(vgg, depth) for depth in _BLOCKS)
