"""Pooling over windows of an image [N, height, width, channels].

The rounding of the output size is that of the 2016 system (and of Chainer) unless told otherwise: `MaxPool2d`
rounds up, and padding never wins; `AvgPool2d` rounds down, and counts padding as zeros unless told not to.
PyTorch rounds both down by default.
"""

from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers.convolution import pair
from tensor import Array


class _Pool2d(Layer):
    """What both have in common: the geometry and its check."""

    def __init__(
        self,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
    ) -> None:
        self.size, self.padding = pair(size), pair(padding)
        self.stride = self.size if stride is None else pair(stride)
        self.ceil_mode = ceil_mode
        if min(*self.size, *self.stride) < 1 or min(self.padding) < 0:
            raise NetworkError(f"All sizes must be at least 1, and a padding at least 0; got {self!r}.")
        if any(2 * pad > size for pad, size in zip(self.padding, self.size, strict=True)):
            raise NetworkError(
                f"{type(self).__name__} expected a padding of at most half the window {self.size}, "
                f"got {self.padding}."
            )

    def _check(self, x: Array) -> None:
        least = [size - 2 * pad for size, pad in zip(self.size, self.padding, strict=True)]
        if x.ndim != 4 or x.shape[1] < least[0] or x.shape[2] < least[1]:
            raise self.shape_error(f"[N, ≥{least[0]}, ≥{least[1]}, C]", x.shape)


class MaxPool2d(_Pool2d):
    """y[n, p, q, c] = the largest x[n, i, j, c] in window (p, q), `stride` (default: `size`) apart.

    x: [N, H, W, C]; y: [N, P, Q, C] with P = ⌈(H + 2·padding − size) / stride⌉ + 1 (⌊⌋ without `ceil_mode`).
    Of equal largest values the first gets the gradient.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = True,
    ) -> None:
        super().__init__(size, stride, padding, ceil_mode)

    def forward(self, x: Array) -> Array:
        self._check(x)
        return tensor.max_pool2d(
            x, self.size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )


class AvgPool2d(_Pool2d):
    """y[n, p, q, c] = the mean of x[n, i, j, c] in window (p, q), `stride` (default: `size`) apart.

    x: [N, H, W, C]; y: [N, P, Q, C] with P = ⌊(H + 2·padding − size) / stride⌋ + 1 (⌈⌉ with `ceil_mode`).
    Padding counts as zeros, or not at all without `count_include_pad`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Array) -> Array:
        self._check(x)
        return tensor.avg_pool2d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class GlobalAvgPool2d(Layer):
    """y[n, c] = the mean of x[n, i, j, c] over all i and j. x: [N, H, W, C]; y: [N, C]."""

    def forward(self, x: Array) -> Array:
        if x.ndim != 4:
            raise self.shape_error("[N, H, W, C]", x.shape)
        return tensor.mean(x, axis=(1, 2))


class GlobalMaxPool2d(Layer):
    """y[n, c] = the largest x[n, i, j, c] of all i and j. x: [N, H, W, C]; y: [N, C].

    Equal largest values share the gradient evenly.
    """

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or 0 in x.shape[1:3]:
            raise self.shape_error("[N, ≥1, ≥1, C]", x.shape)
        return tensor.max(x, axis=(1, 2))
