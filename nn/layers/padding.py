"""Putting rows and columns around images."""

from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers.convolution import pair
from tensor import Array


class ZeroPad2d(Layer):
    """Images with zeros around them. x: [N, H, W, C]; y: [N, before + H + after, before + W + after, C].

    `before` are rows above and columns to the left, `after` rows below and columns to the right: one number,
    or (rows, columns). It is for padding that differs from side to side; convolutions and poolings have the
    other.
    """

    def __init__(self, before: int | Sequence[int] = 0, after: int | Sequence[int] = 0) -> None:
        self.before, self.after = pair(before), pair(after)
        if min(*self.before, *self.after) < 0:
            raise NetworkError(f"A padding must be at least 0; got {self!r}.")

    def forward(self, x: Array) -> Array:
        if x.ndim != 4:
            raise self.shape_error("[N, H, W, C]", x.shape)
        for axis, before, after in zip((1, 2), self.before, self.after, strict=True):
            sides = [_zeros(x, axis, before)] * (before > 0), [_zeros(x, axis, after)] * (after > 0)
            x = tensor.concat([*sides[0], x, *sides[1]], axis=axis) if before + after else x
        return x


def _zeros(x: Array, axis: int, size: int) -> Array:
    """As x, but `size` along an axis."""
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return tensor.zeros(shape, dtype=x.dtype, device=x.device)
