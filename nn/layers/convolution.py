"""Convolutions. Images are [N, height, width, channels] throughout."""

import math
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
    """y[n, p, q, o] = bias[o] + Σ over i, j, c of weight[o, i, j, c] · x[n, p·stride + i·dilation, …, c].

    That is for x with `padding` zeros around it. x: [N, H, W, in_channels]; y: [N, P, Q, out_channels] with P
    = ⌊(H + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1 and Q likewise. `kernel_size`, `stride`,
    `padding` and `dilation` are one number, or (height, width). Each of `groups` equal parts of the output
    channels sees as large a part of the input channels only; as many groups as channels is called depthwise.

    weight: [out_channels, kernel height, kernel width, in_channels / groups], uniform within ±√(3 / fan_in),
    or ±√(6 / fan_in) with init="he", where fan_in = kernel height · kernel width · in_channels / groups;
    bias: [out_channels], 0.
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
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        self.dilation, self.groups = pair(dilation), groups
        _check_sizes(self, *self.dilation)
        shape = (out_channels, *self.kernel_size, in_channels // groups)
        self.weight = Parameter(shape, named(init, math.prod(shape[1:])))
        self.has_bias, self.init = bias, init
        if bias:
            self.bias = Parameter((out_channels,))

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[3] != self.in_channels or not self._covers(x.shape):
            least = [extent - 2 * pad for extent, pad in zip(self.extent, self.padding, strict=True)]
            raise self.shape_error(f"[N, ≥{least[0]}, ≥{least[1]}, {self.in_channels}]", x.shape)
        y = tensor.conv2d(
            x,
            self.weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return y + self.bias if self.has_bias else y

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from a kernel's first weight to its last one."""
        (height, width), (down, right) = self.kernel_size, self.dilation
        return (height - 1) * down + 1, (width - 1) * right + 1

    def _covers(self, shape: Sequence[int]) -> bool:
        return all(
            size + 2 * pad >= extent
            for size, pad, extent in zip(shape[1:3], self.padding, self.extent, strict=True)
        )


class ConvTranspose2d(Layer):
    """The gradient of a Conv2d with the same numbers as a layer: each x is spread over a window of y.

    y[n, h, w, o] = bias[o] + Σ weight[c, i, j, o] · x[n, p, q, c] over all p·stride + i − padding = h and
    q·stride + j − padding = w. x: [N, P, Q, in_channels]; y: [N, H, W, out_channels] with H =
    (P − 1)·stride − 2·padding + kernel + output_padding and W likewise: of the heights that a convolution
    with this stride takes to P, `output_padding` says which one. `kernel_size`, `stride`, `padding` and
    `output_padding` are one number, or (height, width).

    weight: [in_channels, kernel height, kernel width, out_channels / groups], uniform within ±√(3 / fan_in),
    or ±√(6 / fan_in) with init="he", where fan_in = kernel height · kernel width · in_channels / groups /
    (stride height · stride width), as many products as an element of y adds; bias: [out_channels], 0.
    Source: M. Zeiler and others: "Deconvolutional Networks", 2010.
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
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        init: str = "lecun",
    ) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        self.output_padding, self.groups = pair(output_padding), groups
        _check_sizes(self)
        if not all(0 <= more < step for more, step in zip(self.output_padding, self.stride, strict=True)):
            raise NetworkError(f"{self!r} expected an output_padding of at least 0, less than the stride.")
        shape = (in_channels, *self.kernel_size, out_channels // groups)
        fan_in = math.prod(shape[:3]) // groups / math.prod(self.stride)
        self.weight = Parameter(shape, named(init, max(1, int(fan_in))))
        self.has_bias, self.init = bias, init
        if bias:
            self.bias = Parameter((out_channels,))

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[3] != self.in_channels or min(self._out_sizes(x.shape), default=0) < 1:
            raise self.shape_error(f"[N, ≥1, ≥1, {self.in_channels}] that leaves pixels", x.shape)
        y = tensor.conv2d_backward_data(
            x,
            self.weight,
            (x.shape[0], *self._out_sizes(x.shape), self.out_channels),
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
        )
        return y + self.bias if self.has_bias else y

    def _out_sizes(self, shape: Sequence[int]) -> list[int]:
        sides = zip(shape[1:3], self.stride, self.padding, self.kernel_size, self.output_padding, strict=True)
        return [(size - 1) * step - 2 * pad + kernel + more for size, step, pad, kernel, more in sides]


def _check_sizes(layer: Conv2d | ConvTranspose2d, *more: int) -> None:
    channels = (layer.in_channels, layer.out_channels)
    sizes = (*channels, *layer.kernel_size, *layer.stride, layer.groups, *more)
    if min(sizes) < 1 or min(layer.padding) < 0:
        raise NetworkError(f"All sizes must be at least 1, and a padding at least 0; got {layer!r}.")
    if any(count % layer.groups for count in channels):
        raise NetworkError(f"{layer!r}: expected channels that are multiples of its groups.")
