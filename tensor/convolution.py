"""Two-dimensional convolution in its three directions; images NHWC, weights OHWI.

`padding` is the same on both sides of an axis. Output size: (size + 2·padding − kernel) // stride + 1.
"""

from typing import Any

import numpy

from tensor.array import Array
from tensor.errors import DTypeError, ShapeError
from tensor.primitive import primitive, through_host

Pair = tuple[int, int]


def _windows(x: Any, kernel: Pair, stride: Pair, padding: Pair) -> Any:
    """[N, OH, OW, C, KH, KW]: each output pixel's patch of the padded images, as a strided view."""
    padded = numpy.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, kernel, (1, 2))
    return windows[:, :: stride[0], :: stride[1]]


def _conv2d(x: Any, w: Any, stride: Pair, padding: Pair) -> Any:
    windows = _windows(x, w.shape[1:3], stride, padding)
    patches = windows.transpose(0, 1, 2, 4, 5, 3)  # [N, OH, OW, KH, KW, C]
    n, oh, ow = patches.shape[:3]
    product = patches.reshape(n * oh * ow, -1) @ w.reshape(w.shape[0], -1).T
    return product.reshape(n, oh, ow, w.shape[0])


def _conv2d_backward_data(dy: Any, w: Any, input_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Any:
    n, h, width, c = input_shape
    oh, ow = dy.shape[1:3]
    padded = numpy.zeros((n, h + 2 * padding[0], width + 2 * padding[1], c), dy.dtype)
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            rows = slice(i, i + stride[0] * oh, stride[0])
            columns = slice(j, j + stride[1] * ow, stride[1])
            padded[:, rows, columns] += dy @ w[:, i, j]
    return padded[:, padding[0] : padding[0] + h, padding[1] : padding[1] + width].copy()


def _conv2d_backward_weights(x: Any, dy: Any, kernel_shape: Pair, stride: Pair, padding: Pair) -> Any:
    windows = _windows(x, kernel_shape, stride, padding)
    patches = windows.transpose(0, 1, 2, 4, 5, 3)  # [N, OH, OW, KH, KW, C]
    product = dy.reshape(-1, dy.shape[3]).T @ patches.reshape(dy.size // dy.shape[3] if dy.size else 0, -1)
    return product.reshape(dy.shape[3], *kernel_shape, x.shape[3])


_CONV2D = primitive("conv2d", numpy=_conv2d, opencl=through_host(_conv2d))
_CONV2D_BACKWARD_DATA = primitive(
    "conv2d_backward_data", numpy=_conv2d_backward_data, opencl=through_host(_conv2d_backward_data)
)
_CONV2D_BACKWARD_WEIGHTS = primitive(
    "conv2d_backward_weights", numpy=_conv2d_backward_weights, opencl=through_host(_conv2d_backward_weights)
)


def conv2d(x: Array, w: Array, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Array:
    """Cross-correlate images x[N, H, W, C] with weights w[O, KH, KW, C] → [N, OH, OW, O]."""
    _check("conv2d", x, w)
    output_shape(x.shape, w.shape, stride, padding)
    return _CONV2D(x, w, stride=tuple(stride), padding=tuple(padding))


def conv2d_backward_data(
    dy: Array, w: Array, input_shape: tuple[int, ...], *, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Derivative by the images: dy[N, OH, OW, O], w[O, KH, KW, C] → dx of `input_shape` [N, H, W, C]."""
    _check("conv2d_backward_data", dy, w)
    expected = output_shape(tuple(input_shape), w.shape, stride, padding)
    if dy.shape != expected:
        raise ShapeError(f"conv2d_backward_data: dy must have shape {expected}, got {dy.shape}.")
    return _CONV2D_BACKWARD_DATA(
        dy, w, input_shape=tuple(input_shape), stride=tuple(stride), padding=tuple(padding)
    )


def conv2d_backward_weights(
    x: Array, dy: Array, kernel_shape: Pair, *, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Derivative by the weights: x[N, H, W, C], dy[N, OH, OW, O] → dw[O, KH, KW, C] for `kernel_shape` (KH,
    KW)."""
    _check("conv2d_backward_weights", x, dy)
    weights = (dy.shape[3], *kernel_shape, x.shape[3])
    expected = output_shape(x.shape, weights, stride, padding)
    if dy.shape != expected:
        raise ShapeError(f"conv2d_backward_weights: dy must have shape {expected}, got {dy.shape}.")
    return _CONV2D_BACKWARD_WEIGHTS(
        x, dy, kernel_shape=tuple(kernel_shape), stride=tuple(stride), padding=tuple(padding)
    )


def output_shape(
    x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Pair
) -> tuple[int, int, int, int]:
    """[N, OH, OW, O] for images and weights of these shapes; raises ShapeError if the kernel does not fit."""
    if x[3] != w[3]:
        raise ShapeError(f"conv2d: images {x} have {x[3]} channels, but the weights {w} are for {w[3]}.")
    sizes = [(x[1 + i] + 2 * padding[i] - w[1 + i]) // stride[i] + 1 for i in (0, 1)]
    if min(sizes) < 1:
        raise ShapeError(
            f"conv2d: a kernel {w[1:3]} is larger than the images {x[1:3]} with padding {tuple(padding)}."
        )
    return x[0], sizes[0], sizes[1], w[0]


def _check(where: str, *arrays: Array) -> None:
    for each in arrays:
        if each.ndim != 4:
            raise ShapeError(
                f"{where}: expected four axes (images NHWC, weights OHWI), got shape {each.shape}."
            )
        if each.dtype.kind != "f":
            raise DTypeError(f"{where}: expected float32, got {each.dtype.name}; use astype.")
