"""Layers that take several inputs and make one of them."""

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array


class Add(Layer):
    """y = the sum of all inputs, which have one shape, such as a residual block's two ways."""

    def forward(self, *inputs: Array) -> Array:
        total = inputs[0]
        for each in inputs[1:]:
            if each.shape != total.shape:
                raise self.shape_error(str(list(total.shape)), each.shape)
            total = total + each
        return total


class Concat(Layer):
    """y = the inputs one after the other along `axis` (default: the last one, channels)."""

    def __init__(self, axis: int = -1) -> None:
        if not isinstance(axis, int):
            raise NetworkError(f"Concat expected an axis as an integer, got {axis!r}.")
        self.axis = axis

    def forward(self, *inputs: Array) -> Array:
        first = inputs[0]
        if not -first.ndim <= self.axis < first.ndim:
            raise self.shape_error(f"with an axis {self.axis}", first.shape)
        axis = self.axis % first.ndim
        for each in inputs[1:]:
            if each.ndim != first.ndim or any(
                a != b for i, (a, b) in enumerate(zip(each.shape, first.shape, strict=True)) if i != axis
            ):
                raise self.shape_error(f"{list(first.shape)} but for axis {axis}", each.shape)
        return tensor.concat(inputs, axis=axis)
