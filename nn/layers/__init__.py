"""The layers that come with `nn`, one file a family."""

from nn.layers.activation import ReLU
from nn.layers.convolution import Conv2d
from nn.layers.dropout import Dropout
from nn.layers.joining import Add, Concat
from nn.layers.linear import Linear
from nn.layers.pooling import AvgPool2d, MaxPool2d
from nn.layers.sequential import Sequential
from nn.layers.shape import Flatten

__all__ = [
    "Add",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
]
