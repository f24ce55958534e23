"""Convolution in its three directions: NumPy's definition by im2col, and kernels that need none.

Images are NHWC, weights OHWI, results NPQO with P = (H + 2·padding − KH) // stride + 1. As everywhere in this
field the kernel is not flipped:

    y[n, p, q, o] = Σ x[n, p·stride + kh − padding, q·stride + kw − padding, c] · w[o, kh, kw, c]
"""

from typing import Any

import numpy

from tensor import convolution_cpu, convolution_gpu, dtypes
from tensor.array import Array, Shape
from tensor.errors import DTypeError, ShapeError
from tensor.geometry import Geometry, Pair, geometry
from tensor.primitive import primitive
from tensor.views import contiguous


def _launcher(x: Array, kernel: Shape) -> Any:
    large = (
        max(kernel) > convolution_gpu.LARGEST_KERNEL
    )  # more than its masks tell; the other kernels run anywhere
    return convolution_cpu if x.device.kind == "cpu" or large else convolution_gpu


def _launched(shape: Shape, launch: Any, sizes: Geometry, first: Array, second: Array) -> Array:
    output = Array.new(shape, dtypes.float32, first.device)
    if first.size and second.size:
        launch(sizes, contiguous(first), contiguous(second), output)
    elif output.size:
        output.write(numpy.zeros(shape, numpy.float32))  # sums of nothing
    return output


# --- NumPy's definitions ------------------------------------------------------------------------------------


def _columns(x: Any, sizes: Geometry) -> Any:
    """im2col: [N·P·Q, KH·KW·C], what lies under the kernel at each pixel of the result."""
    (pad_h, pad_w), (stride_h, stride_w) = sizes.padding, sizes.stride
    padded = numpy.pad(x, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, (sizes.KH, sizes.KW), (1, 2))
    under = windows[:, ::stride_h, ::stride_w].transpose(0, 1, 2, 4, 5, 3)
    return under.reshape(sizes.pixels, sizes.weights)


def _forward_numpy(x: Any, w: Any, *, stride: Pair, padding: Pair) -> Any:
    sizes = geometry("conv2d", x.shape, w.shape, stride, padding)
    return (_columns(x, sizes) @ w.reshape(sizes.O, sizes.weights).T).reshape(sizes.result_shape)


def _data_numpy(dy: Any, w: Any, *, input_shape: Shape, stride: Pair, padding: Pair) -> Any:
    sizes = geometry("conv2d_backward_data", input_shape, w.shape, stride, padding)
    (pad_h, pad_w), (stride_h, stride_w) = padding, stride
    columns = dy.reshape(sizes.pixels, sizes.O) @ w.reshape(sizes.O, sizes.weights)
    under = columns.reshape(sizes.N, sizes.P, sizes.Q, sizes.KH, sizes.KW, sizes.C)
    padded = numpy.zeros((sizes.N, sizes.H + 2 * pad_h, sizes.W + 2 * pad_w, sizes.C), numpy.float32)
    for kh in range(sizes.KH):
        for kw in range(sizes.KW):
            rows = slice(kh, kh + (sizes.P - 1) * stride_h + 1, stride_h)
            padded[:, rows, kw : kw + (sizes.Q - 1) * stride_w + 1 : stride_w] += under[:, :, :, kh, kw]
    return padded[:, pad_h : pad_h + sizes.H, pad_w : pad_w + sizes.W].copy()


def _weights_numpy(x: Any, dy: Any, *, kernel_shape: Pair, stride: Pair, padding: Pair) -> Any:
    sizes = geometry(
        "conv2d_backward_weights", x.shape, (dy.shape[3], *kernel_shape, x.shape[3]), stride, padding
    )
    return (dy.reshape(sizes.pixels, sizes.O).T @ _columns(x, sizes)).reshape(sizes.weight_shape)


# --- the primitives -----------------------------------------------------------------------------------------


def _forward_opencl(x: Array, w: Array, *, stride: Pair, padding: Pair) -> Array:
    sizes = geometry("conv2d", x.shape, w.shape, stride, padding)
    return _launched(sizes.result_shape, _launcher(x, w.shape[1:3]).forward, sizes, x, w)


def _data_opencl(dy: Array, w: Array, *, input_shape: Shape, stride: Pair, padding: Pair) -> Array:
    sizes = geometry("conv2d_backward_data", input_shape, w.shape, stride, padding)
    return _launched(sizes.image_shape, _launcher(dy, w.shape[1:3]).backward_data, sizes, dy, w)


def _weights_opencl(x: Array, dy: Array, *, kernel_shape: Pair, stride: Pair, padding: Pair) -> Array:
    weight_shape = (dy.shape[3], *kernel_shape, x.shape[3])
    sizes = geometry("conv2d_backward_weights", x.shape, weight_shape, stride, padding)
    return _launched(sizes.weight_shape, _launcher(x, kernel_shape).backward_weights, sizes, x, dy)


_FORWARD = primitive("conv2d", numpy=_forward_numpy, opencl=_forward_opencl)
_DATA = primitive("conv2d_backward_data", numpy=_data_numpy, opencl=_data_opencl)
_WEIGHTS = primitive("conv2d_backward_weights", numpy=_weights_numpy, opencl=_weights_opencl)


def conv2d(x: Array, w: Array, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Array:
    """x[N, H, W, C] under the kernels w[O, KH, KW, C] -> [N, P, Q, O], all float32.

    Raises ShapeError if the shapes do not fit, DTypeError for other dtypes.
    """
    _require_float32("conv2d", x, w)
    options = {"stride": _pair(stride), "padding": _pair(padding)}
    geometry("conv2d", x.shape, w.shape, **options)
    return _FORWARD(x, w, **options)


def conv2d_backward_data(
    dy: Array, w: Array, input_shape: Shape, *, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """The gradient of conv2d's images [N, H, W, C] = `input_shape`, from that of its result dy[N, P, Q, O].

    Each element gathers its sum in a fixed order, without atomics: the same bits at each call.
    """
    _require_float32("conv2d_backward_data", dy, w)
    shape, options = tuple(input_shape), {"stride": _pair(stride), "padding": _pair(padding)}
    sizes = geometry("conv2d_backward_data", shape, w.shape, **options)
    _require_shape("conv2d_backward_data", dy, sizes.result_shape)
    return _DATA(dy, w, input_shape=shape, **options)


def conv2d_backward_weights(
    x: Array, dy: Array, kernel_shape: Pair, *, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """The gradient of conv2d's weights [O, KH, KW, C], from x[N, H, W, C] and dy[N, P, Q, O].

    `kernel_shape` is (KH, KW). Pixels are summed in parts and the parts in order: the same
    bits at each call on the same kind of device.
    """
    _require_float32("conv2d_backward_weights", x, dy)
    options = {"stride": _pair(stride), "padding": _pair(padding)}
    weight_shape = (*dy.shape[-1:], *_pair(kernel_shape), *x.shape[-1:])
    sizes = geometry("conv2d_backward_weights", x.shape, weight_shape, **options)
    _require_shape("conv2d_backward_weights", dy, sizes.result_shape)
    return _WEIGHTS(x, dy, kernel_shape=_pair(kernel_shape), **options)


def _pair(value: Pair) -> Pair:
    """A pair of ints, also from a list or NumPy integers: parameters are keys of caches and of tapes."""
    first, second = value
    return int(first), int(second)


def _require_float32(where: str, first: Array, second: Array) -> None:
    if first.dtype != dtypes.float32 or second.dtype != dtypes.float32:
        names = f"{first.dtype.name} and {second.dtype.name}"
        raise DTypeError(f"{where}: expected float32, got {names}; use astype first.")


def _require_shape(where: str, dy: Array, expected: Shape) -> None:
    if dy.shape != expected:
        raise ShapeError(f"{where}: expected dy of shape {expected}, got {dy.shape}.")
