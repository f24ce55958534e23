"""Layers that only change the shape."""

import math
from collections.abc import Sequence

from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array


class Flatten(Layer):
    """[N, ...] to [N, product of the rest], in C order."""

    def forward(self, x: Array) -> Array:
        if x.ndim < 1:
            raise self.shape_error("[N, ...]", x.shape)
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))


class Reshape(Layer):
    """[N, ...] to [N, *shape], in C order; `shape` has as many elements as a sample of the input."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        if min(self.shape, default=1) < 1:
            raise NetworkError(f"All sizes must be at least 1; got {self!r}.")

    def forward(self, x: Array) -> Array:
        if x.ndim < 1 or math.prod(x.shape[1:]) != math.prod(self.shape):
            raise self.shape_error(f"[N, …] of {math.prod(self.shape)} elements a sample", x.shape)
        return x.reshape((x.shape[0], *self.shape))
