"""MobileNetV2, whose names and parameters are those of torchvision."""

from nn.layer import Layer
from nn.layers import BatchNorm, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU6, Sequential
from nn.models.sizes import image
from tensor import Array

_SMALL = 64  # pixels a side, below which the first convolution keeps the size

# How much wider each stage's blocks are within, their output channels, their number, the first one's stride.
# Source: table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(Layer):
    """1×1 convolution to `expansion` times the channels, 3×3 on each of them alone, 1×1 to `width` channels.

    No activation follows the last one; x is added where neither size nor channels change.
    """

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        wide = channels * expansion
        expand = [] if expansion == 1 else [_convolution(channels, wide, 1)]
        self.conv = Sequential(
            *expand,
            _convolution(wide, wide, 3, stride, groups=wide),
            Conv2d(wide, width, 1, bias=False),
            BatchNorm(width),
        )
        self.adds = stride == 1 and channels == width

    def forward(self, x: Array) -> Array:
        return x + self.conv(x) if self.adds else self.conv(x)


def _convolution(channels: int, width: int, size: int, stride: int = 1, groups: int = 1) -> Sequential:
    convolution = Conv2d(
        channels, width, size, stride, padding=size // 2, bias=False, init="he", groups=groups
    )
    return Sequential(convolution, BatchNorm(width), ReLU6())


def mobilenet_v2(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Sequential:
    """Seventeen inverted residual blocks between two convolutions, and a linear layer; 3,504,872 parameters.

    That is for 1,000 classes. Takes float32 [N, height, width, channels], gives logits [N, classes]. The
    first convolution keeps the size of images of less than 64 pixels a side. Source: M. Sandler and others:
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
    """
    channels = image("mobilenet_v2", input_shape, least=4)
    features: list[Layer] = [_convolution(channels, 32, 3, 1 if min(input_shape[:2]) < _SMALL else 2)]
    channels = 32
    for expansion, width, count, stride in STAGES:
        for number in range(count):
            features.append(InvertedResidual(channels, width, stride if number == 0 else 1, expansion))
            channels = width
    features.append(_convolution(channels, 1280, 1))
    classifier = Sequential(Dropout(0.2), Linear(1280, classes))
    return Sequential(features=Sequential(*features), avgpool=GlobalAvgPool2d(), classifier=classifier)
