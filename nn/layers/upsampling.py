"""Making images larger by whole factors."""

from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers.convolution import pair
from tensor import Array

_MODES = ("nearest", "bilinear")


class Upsample(Layer):
    """Images `scale` times as high and wide. x: [N, H, W, C]; y: [N, scale·H, scale·W, C].

    "nearest": y[n, p, q, c] = x[n, ⌊p / scale⌋, ⌊q / scale⌋, c]. "bilinear": each axis is interpolated
    between the two nearest of x, whose pixel i lies at (i + ½)·scale − ½ (PyTorch's align_corners=False);
    beyond the border lies what is on it. `scale` is a whole number, or one for (height, width).
    """

    def __init__(self, scale: int | Sequence[int] = 2, mode: str = "nearest") -> None:
        self.scale, self.mode = pair(scale), mode
        if min(self.scale) < 1:
            raise NetworkError(f"All sizes must be at least 1; got {self!r}.")
        if mode not in _MODES:
            raise NetworkError(f"Upsample expected a mode of {' or '.join(_MODES)}, got {mode!r}.")

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or 0 in x.shape[1:3]:
            raise self.shape_error("[N, ≥1, ≥1, C]", x.shape)
        if self.mode == "nearest":
            return _repeated(x, *self.scale)
        return _interpolated(_interpolated(x, 1, self.scale[0]), 2, self.scale[1])


def _repeated(x: Array, down: int, right: int) -> Array:
    n, h, w, c = x.shape
    each = tensor.broadcast_to(x.reshape((n, h, 1, w, 1, c)), (n, h, down, w, right, c))
    return each.reshape((n, h * down, w * right, c))


def _interpolated(x: Array, axis: int, scale: int) -> Array:
    """The rows between those of x: `scale` for each, every one at its own place between two neighbours."""
    if scale == 1:
        return x
    size, shape = x.shape[axis], list(x.shape)

    def rows(begin: int, end: int, of: Array = x) -> Array:
        return of[(*(slice(None),) * axis, slice(begin, end))]

    bordered = tensor.concat([rows(0, 1), x, rows(size - 1, size)], axis=axis)
    phases = []
    for number in range(scale):
        place = (number + 0.5) / scale - 0.5  # from x's own row, in rows
        before = rows(0, size, bordered) if place < 0 else x
        after = x if place < 0 else rows(2, size + 2, bordered)
        part = place + 1 if place < 0 else place
        phases.append(before * (1 - part) + after * part)
    shape[axis] = size * scale
    return tensor.stack(phases, axis=axis + 1).reshape(tuple(shape))
