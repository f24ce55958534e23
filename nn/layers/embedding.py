"""Vectors that are looked up: of tokens, and of their places."""

import math

from nn.errors import LayerShapeError, NetworkError
from nn.initialization import uniform
from nn.layer import Layer, Parameter
from tensor import Array


class Embedding(Layer):
    """y = the row of weight that each number of x names.

    A row's gradient is the sum over all its uses, added in the order of x, so that it has the same bits at
    each call. x: integers of any shape within [0, vocabulary); y: float32 [*x.shape, channels].

    weight: [vocabulary, channels], uniform with the standard deviation `std`. An index out of range raises
    `IndexError`; inside `tensor.record` it reads NaN.
    """

    weight: Array

    def __init__(self, vocabulary: int, channels: int, std: float = 1.0) -> None:
        if min(vocabulary, channels) < 1 or not std >= 0:
            raise NetworkError(f"Expected sizes of at least 1 and std ≥ 0; got {self!r}.")
        self.vocabulary, self.channels, self.std = vocabulary, channels, std
        self.weight = Parameter((vocabulary, channels), uniform(std * math.sqrt(3)))

    def forward(self, x: Array) -> Array:
        if x.dtype.kind not in "iu":
            raise LayerShapeError(f"{self.title} expected integers, the numbers of rows; got {x.dtype}.")
        return self.weight[x]


class PositionalEmbedding(Layer):
    """y = x + weight, the vector of each place learnt as a parameter.

    x, y: float32 [N, T, channels] with T ≤ length. weight: [length, channels], uniform with the standard
    deviation `std`. Source: J. Gehring and others: "Convolutional Sequence to Sequence Learning", 2017.
    """

    weight: Array

    def __init__(self, length: int, channels: int, std: float = 0.02) -> None:
        if min(length, channels) < 1 or not std >= 0:
            raise NetworkError(f"Expected sizes of at least 1 and std ≥ 0; got {self!r}.")
        self.length, self.channels, self.std = length, channels, std
        self.weight = Parameter((length, channels), uniform(std * math.sqrt(3)))

    def forward(self, x: Array) -> Array:
        if x.ndim != 3 or x.shape[1] > self.length or x.shape[2] != self.channels:
            raise self.shape_error(f"[N, ≤{self.length}, {self.channels}]", x.shape)
        return x + self.weight[: x.shape[1]]
