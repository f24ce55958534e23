"""Residual networks, whose names and parameters are those of torchvision."""

from functools import partial

from nn.layer import Layer
from nn.layers import BatchNorm, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, Sequential
from nn.models.sizes import image
from tensor import Array

_SMALL = 64  # pixels a side, below which the first layers keep the size, as the paper has it for CIFAR


class BasicBlock(Layer):
    """y = ReLU(x + two 3×3 convolutions of x); x is narrowed by a 1×1 convolution where sizes change."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        self.conv1, self.bn1 = _convolution(channels, width, 3, stride), BatchNorm(width)
        self.conv2, self.bn2 = _convolution(width, width, 3), BatchNorm(width)
        self.relu, self.relu2 = ReLU(), ReLU()
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Array) -> Array:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(Layer):
    """y = ReLU(x + 1×1, 3×3 and 1×1 convolutions of x, the last one to 4 · width channels)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        wide = width * self.expansion
        self.conv1, self.bn1 = _convolution(channels, width, 1), BatchNorm(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride), BatchNorm(width)
        self.conv3, self.bn3 = _convolution(width, wide, 1), BatchNorm(wide)
        self.relu, self.relu2, self.relu3 = ReLU(), ReLU(), ReLU()
        self.downsample = _shortcut(channels, wide, stride)

    def forward(self, x: Array) -> Array:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu3(y + (x if self.downsample is None else self.downsample(x)))


def _convolution(channels: int, width: int, size: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, width, size, stride, padding=size // 2, bias=False, init="he")


def _shortcut(channels: int, wide: int, stride: int) -> Sequential | None:
    if stride == 1 and channels == wide:
        return None
    return Sequential(_convolution(channels, wide, 1, stride), BatchNorm(wide))


_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def resnet(depth: int, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Sequential:
    """Four stages of residual blocks and a linear layer; depth 18, 34, 50, 101 or 152.

    60,192,808 parameters with depth 152 for 1,000 classes. Takes float32 [N, height, width, channels], gives
    logits [N, classes]. Images of less than 64 pixels a side enter through a 3×3 convolution that keeps their
    size, in place of one of 7×7 and a pooling. Source: K. He and others: "Deep Residual Learning for Image
    Recognition", 2015.
    """
    channels = image(f"resnet{depth}", input_shape, least=4)
    block, counts = _BLOCKS[depth]
    small = min(input_shape[:2]) < _SMALL
    network: dict[str, Layer] = {
        "conv1": _convolution(channels, 64, 3) if small else _convolution(channels, 64, 7, 2),
        "bn1": BatchNorm(64),
        "relu": ReLU(),
    }
    if not small:
        network["maxpool"] = MaxPool2d(3, 2, 1, ceil_mode=False)
    channels = 64
    for stage, count in enumerate(counts):
        width = 64 * 2**stage
        blocks = []
        for number in range(count):
            blocks.append(block(channels, width, 2 if number == 0 and stage > 0 else 1))
            channels = width * block.expansion
        network[f"layer{stage + 1}"] = Sequential(*blocks)
    network |= {"avgpool": GlobalAvgPool2d(), "fc": Linear(channels, classes)}
    return Sequential(**network)


resnet18, resnet34, resnet50, resnet101, resnet152 = (partial(resnet, depth) for depth in _BLOCKS)
