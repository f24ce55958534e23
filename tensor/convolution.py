"""Convolution in its three directions: NumPy's definition by im2col, and kernels that need none.

Images are NHWC, weights OHWI, results NPQO with P = (H + 2·padding − KH) // stride + 1. As everywhere in this
field the kernel is not flipped:

    y[n, p, q, o] = Σ x[n, p·stride + kh − padding, q·stride + kw − padding, c] · w[o, kh, kw, c]

With dilation, kh and kw count by it; with groups, an output sees the channels of its own group only.
"""

import math
from typing import Any

import numpy

from tensor import convolution_cpu, convolution_gpu, depthwise, dtypes
from tensor.array import Array, Shape
from tensor.convolution_parts import InParts
from tensor.errors import ShapeError
from tensor.geometry import Geometry, Pair, geometry
from tensor.primitive import primitive
from tensor.views import contiguous


def _launcher(x: Array, kernel: Shape) -> Any:
    large = (
        max(kernel) > convolution_gpu.LARGEST_KERNEL
    )  # more than its masks tell; the other kernels run anywhere
    return convolution_cpu if x.device.kind == "cpu" or large else convolution_gpu


def _kernels(x: Array, sizes: Geometry) -> Any:
    """What has the three directions for these sizes: a module, or kernels of one in parts."""
    if sizes.is_depthwise:
        return depthwise
    plain = _launcher(x, sizes.extent)
    return plain if sizes.is_plain else InParts(plain)


def _launched(shape: Shape, launch: Any, sizes: Geometry, first: Array, second: Array) -> Array:
    output = Array.new(shape, dtypes.float32, first.device)
    if first.size and second.size:
        launch(sizes, contiguous(first), contiguous(second), output)
    elif output.size:
        output.write(numpy.zeros(shape, numpy.float32))  # sums of nothing
    return output


# --- NumPy's definitions ------------------------------------------------------------------------------------


def _rows(first: int, sizes: Geometry, axis: int) -> slice:
    """Of the padded image along one axis, what the weight number `first` of a kernel meets."""
    begin, count = first * sizes.dilation[axis], (sizes.P, sizes.Q)[axis]
    return slice(begin, begin + (count - 1) * sizes.stride[axis] + 1, sizes.stride[axis])


def _padded(x: Any, sizes: Geometry) -> Any:
    (pad_h, pad_w), channels = sizes.padding, x.shape[3]
    padded = numpy.zeros((sizes.N, sizes.H + 2 * pad_h, sizes.W + 2 * pad_w, channels), x.dtype)
    padded[:, pad_h : pad_h + sizes.H, pad_w : pad_w + sizes.W] = x
    return padded


def _by_group(x: Any, sizes: Geometry) -> Any:
    """[N, P, Q, ..., channels] as [groups, pixels, ...]: the matrices whose products are the convolution."""
    taps, channels = math.prod(x.shape[3:-1]), x.shape[-1] // sizes.groups
    split = x.reshape(sizes.pixels, taps, sizes.groups, channels)
    return split.transpose(2, 0, 1, 3).reshape(sizes.groups, sizes.pixels, taps * channels)


def _columns(x: Any, sizes: Geometry) -> Any:
    """im2col: [groups, N·P·Q, KH·KW·C / groups], what lies under the kernel at each pixel of the result."""
    padded = _padded(x, sizes)
    under = numpy.empty((sizes.N, sizes.P, sizes.Q, sizes.KH, sizes.KW, sizes.C), x.dtype)
    for kh in range(sizes.KH):
        for kw in range(sizes.KW):
            under[:, :, :, kh, kw] = padded[:, _rows(kh, sizes, 0), _rows(kw, sizes, 1)]
    return _by_group(under, sizes)


def _matrices(w: Any, sizes: Geometry) -> Any:
    """[groups, O / groups, KH·KW·C / groups]"""
    return w.reshape(sizes.groups, sizes.O // sizes.groups, sizes.weights)


def _forward_numpy(x: Any, w: Any, **options: Any) -> Any:
    sizes = geometry("conv2d", x.shape, w.shape, **options)
    y = _columns(x, sizes) @ _matrices(w, sizes).transpose(0, 2, 1)
    return y.transpose(1, 0, 2).reshape(sizes.result_shape)


def _data_numpy(dy: Any, w: Any, *, input_shape: Shape, **options: Any) -> Any:
    sizes = geometry("conv2d_backward_data", input_shape, w.shape, **options)
    columns = _by_group(dy, sizes) @ _matrices(w, sizes)
    split = columns.reshape(sizes.groups, sizes.pixels, sizes.KH * sizes.KW, sizes.C // sizes.groups)
    under = split.transpose(1, 2, 0, 3).reshape(sizes.N, sizes.P, sizes.Q, sizes.KH, sizes.KW, sizes.C)
    (pad_h, pad_w), padded = sizes.padding, _padded(numpy.zeros(input_shape, dy.dtype), sizes)
    for kh in range(sizes.KH):
        for kw in range(sizes.KW):
            padded[:, _rows(kh, sizes, 0), _rows(kw, sizes, 1)] += under[:, :, :, kh, kw]
    return padded[:, pad_h : pad_h + sizes.H, pad_w : pad_w + sizes.W].copy()


def _weight_shape(x: Any, dy: Any, kernel_shape: Pair, groups: int) -> Shape:
    return (*dy.shape[-1:], *kernel_shape, *(channels // max(groups, 1) for channels in x.shape[-1:]))


def _weights_numpy(x: Any, dy: Any, *, kernel_shape: Pair, **options: Any) -> Any:
    weight_shape = _weight_shape(x, dy, kernel_shape, options["groups"])
    sizes = geometry("conv2d_backward_weights", x.shape, weight_shape, **options)
    return (_by_group(dy, sizes).transpose(0, 2, 1) @ _columns(x, sizes)).reshape(sizes.weight_shape)


# --- the primitives -----------------------------------------------------------------------------------------


def _forward_opencl(x: Array, w: Array, **options: Any) -> Array:
    sizes = geometry("conv2d", x.shape, w.shape, **options)
    return _launched(sizes.result_shape, _kernels(x, sizes).forward, sizes, x, w)


def _data_opencl(dy: Array, w: Array, *, input_shape: Shape, **options: Any) -> Array:
    sizes = geometry("conv2d_backward_data", input_shape, w.shape, **options)
    return _launched(sizes.image_shape, _kernels(dy, sizes).backward_data, sizes, dy, w)


def _weights_opencl(x: Array, dy: Array, *, kernel_shape: Pair, **options: Any) -> Array:
    weight_shape = _weight_shape(x, dy, kernel_shape, options["groups"])
    sizes = geometry("conv2d_backward_weights", x.shape, weight_shape, **options)
    return _launched(sizes.weight_shape, _kernels(x, sizes).backward_weights, sizes, x, dy)


_FORWARD = primitive("conv2d", numpy=_forward_numpy, opencl=_forward_opencl, single=True)
_DATA = primitive("conv2d_backward_data", numpy=_data_numpy, opencl=_data_opencl, single=True)
_WEIGHTS = primitive("conv2d_backward_weights", numpy=_weights_numpy, opencl=_weights_opencl, single=True)


def conv2d(
    x: Array,
    w: Array,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """x[N, H, W, C] under the kernels w[O, KH, KW, C / groups] -> [N, P, Q, O], all float32, or all float64.

    float64 is computed by NumPy on the host, as it is in the other two directions.

    Of `groups`, the g-th O / groups outputs see the g-th C / groups channels only; groups = C = O is
    depthwise and has kernels of its own. The weights of a kernel lie `dilation` rows and columns apart;
    other than depthwise, that is computed with zeros between them, which cost their products. A CPU computes
    larger 3×3 convolutions with stride 1 in Winograd's form, where an infinity of the image makes NaN of its
    neighbours.

    Raises ShapeError if the shapes do not fit, DTypeError for other dtypes.
    """
    dtypes.require_single_or_double("conv2d", x.dtype, w.dtype)
    options = _options(stride, padding, dilation, groups)
    geometry("conv2d", x.shape, w.shape, **options)
    return _FORWARD(x, w, **options)


def conv2d_backward_data(
    dy: Array,
    w: Array,
    input_shape: Shape,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """The gradient of conv2d's images [N, H, W, C] = `input_shape`, from that of its result dy[N, P, Q, O].

    Each element gathers its sum in a fixed order, without atomics: the same bits at each call.
    """
    dtypes.require_single_or_double("conv2d_backward_data", dy.dtype, w.dtype)
    shape, options = tuple(input_shape), _options(stride, padding, dilation, groups)
    sizes = geometry("conv2d_backward_data", shape, w.shape, **options)
    _require_shape("conv2d_backward_data", dy, sizes.result_shape)
    return _DATA(dy, w, input_shape=shape, **options)


def conv2d_backward_weights(
    x: Array,
    dy: Array,
    kernel_shape: Pair,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """The gradient of conv2d's weights [O, KH, KW, C / groups], from x[N, H, W, C] and dy[N, P, Q, O].

    `kernel_shape` is (KH, KW). Pixels are summed in parts and the parts in order: the same
    bits at each call on the same kind of device.
    """
    dtypes.require_single_or_double("conv2d_backward_weights", x.dtype, dy.dtype)
    options = _options(stride, padding, dilation, groups)
    weight_shape = _weight_shape(x, dy, _pair(kernel_shape), options["groups"])
    sizes = geometry("conv2d_backward_weights", x.shape, weight_shape, **options)
    _require_shape("conv2d_backward_weights", dy, sizes.result_shape)
    return _WEIGHTS(x, dy, kernel_shape=_pair(kernel_shape), **options)


def _options(stride: Pair, padding: Pair, dilation: Pair, groups: int) -> dict[str, Any]:
    pairs = {"stride": _pair(stride), "padding": _pair(padding), "dilation": _pair(dilation)}
    return {**pairs, "groups": int(groups)}


def _pair(value: Pair) -> Pair:
    """A pair of ints, also from a list or NumPy integers: parameters are keys of caches and of tapes."""
    first, second = value
    return int(first), int(second)


def _require_shape(where: str, dy: Array, expected: Shape) -> None:
    if dy.shape != expected:
        raise ShapeError(f"{where}: expected dy of shape {expected}, got {dy.shape}.")
