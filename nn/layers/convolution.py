"""Convolutions. Images are [N, height, width, channels] throughout."""

from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.initialization import named
from nn.layer import Layer, Parameter
from tensor import Array


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number for both height and width, or one of each."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


class Conv2d(Layer):
    """y[n, p, q, o] = bias[o] + Σ over i, j, c of weight[o, i, j, c] · x[n, p·stride + i, q·stride + j, c].

    That is for x with `padding` zeros around it. x: [N, H, W, in_channels]; y: [N, P, Q, out_channels] with P
    = ⌊(H + 2·padding − kernel) / stride⌋ + 1 and Q likewise. `kernel_size`, `stride` and `padding` are one
    number, or (height, width).

    weight: [out_channels, kernel height, kernel width, in_channels], uniform within ±√(3 / fan_in), or
    ±√(6 / fan_in) with init="he", where fan_in = kernel height · kernel width · in_channels; bias:
    [out_channels], 0.
    """

    weight: Array
    bias: Array

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        bias: bool = True,
        init: str = "lecun",
    ) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        if min(in_channels, out_channels, *self.kernel_size, *self.stride) < 1 or min(self.padding) < 0:
            raise NetworkError(f"All sizes must be at least 1, and a padding at least 0; got {self!r}.")
        fan_in = self.kernel_size[0] * self.kernel_size[1] * in_channels
        self.weight = Parameter((out_channels, *self.kernel_size, in_channels), named(init, fan_in))
        self.has_bias, self.init = bias, init
        if bias:
            self.bias = Parameter((out_channels,))

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[3] != self.in_channels or not self._covers(x.shape):
            least = [kernel - 2 * pad for kernel, pad in zip(self.kernel_size, self.padding, strict=True)]
            raise self.shape_error(f"[N, ≥{least[0]}, ≥{least[1]}, {self.in_channels}]", x.shape)
        y = tensor.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return y + self.bias if self.has_bias else y

    def _covers(self, shape: Sequence[int]) -> bool:
        return all(
            size + 2 * pad >= kernel
            for size, pad, kernel in zip(shape[1:3], self.padding, self.kernel_size, strict=True)
        )
