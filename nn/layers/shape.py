"""Layers that only change the shape."""

import math

from nn.layer import Layer
from tensor import Array


class Flatten(Layer):
    """[N, ...] to [N, product of the rest], in C order."""

    def forward(self, x: Array) -> Array:
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))
