"""Dropout, with masks that are a function of (seed, step, sample)."""

from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array


class Dropout(Layer):
    def __init__(self, ratio: float = 0.5) -> None:
        if not 0 <= ratio < 1:
            raise NetworkError(f"Dropout expected 0 ≤ ratio < 1, got {ratio}.")
        self.ratio = ratio

    def forward(self, x: Array) -> Array:
        return x
