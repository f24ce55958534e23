"""Max and average pooling of images NHWC, in both directions.

Output size: (size + 2·padding − window) / stride + 1, rounded up with `ceil_mode`, else down; a window that
would begin beyond the image and its padding is left out. The networks of 2016 round max pooling up and
average pooling down.
"""

from functools import partial
from math import prod
from typing import Any

import numpy

from tensor.array import Array
from tensor.dtypes import require_single_or_double
from tensor.errors import ShapeError
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH, item_sizes
from tensor.primitive import primitive
from tensor.views import contiguous

Pair = tuple[int, int]

_CPU_CHANNELS = 32  # BLOCK in kernels/pooling.cl


def pooled_size(size: int, window: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows fit along one axis."""
    span = size + 2 * padding - window
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    # A window has to begin inside the image or its leading padding.
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _pixels(x_shape: Any, y_shape: Any, size: Pair, stride: Pair, padding: Pair) -> Any:
    """For each output pixel: its place and the slices of the image that its window covers."""
    for i in range(y_shape[1]):
        for j in range(y_shape[2]):
            top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
            rows = slice(max(top, 0), min(top + size[0], x_shape[1]))
            columns = slice(max(left, 0), min(left + size[1], x_shape[2]))
            yield i, j, rows, columns


def _pooled_shape(x_shape: Any, size: Pair, stride: Pair, padding: Pair, ceil_mode: bool) -> tuple[int, ...]:
    h, w = (pooled_size(x_shape[1 + a], size[a], stride[a], padding[a], ceil_mode) for a in (0, 1))
    return x_shape[0], h, w, x_shape[3]


def _max_pool2d(x: Any, size: Pair, stride: Pair, padding: Pair, ceil_mode: bool) -> Any:
    y = numpy.empty(_pooled_shape(x.shape, size, stride, padding, ceil_mode), x.dtype)
    for i, j, rows, columns in _pixels(x.shape, y.shape, size, stride, padding):
        y[:, i, j] = x[:, rows, columns].max(axis=(1, 2))
    return y


def _max_pool2d_backward(
    x: Any, y: Any, dy: Any, size: Pair, stride: Pair, padding: Pair, ceil_mode: bool
) -> Any:
    dx = numpy.zeros_like(x)
    for i, j, rows, columns in _pixels(x.shape, y.shape, size, stride, padding):
        window = x[:, rows, columns]
        cells = window.shape[1] * window.shape[2]
        flat = (window == y[:, i : i + 1, j : j + 1]).reshape(x.shape[0], cells, x.shape[3])
        first = flat & (numpy.cumsum(flat, axis=1) == 1)  # of several equal maxima the first one gets it all
        dx[:, rows, columns] += numpy.where(first.reshape(window.shape), dy[:, i : i + 1, j : j + 1], 0)
    return dx


def _divisor(i: int, j: int, x_shape: Any, window: dict[str, Any]) -> Any:
    """How many cells a window covers: of the padded image, or of the image."""
    area = 1
    for axis, at in enumerate((i, j)):
        size, pad = window["size"][axis], window["padding"][axis]
        begin, border = at * window["stride"][axis] - pad, pad if window["count_include_pad"] else 0
        area *= min(begin + size, x_shape[1 + axis] + border) - max(begin, -border)
    return numpy.float32(area)


def _avg_pool2d(
    x: Any, size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> Any:
    window = {"size": size, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    y = numpy.empty(_pooled_shape(x.shape, size, stride, padding, ceil_mode), x.dtype)
    for i, j, rows, columns in _pixels(x.shape, y.shape, size, stride, padding):
        y[:, i, j] = x[:, rows, columns].sum(axis=(1, 2)) / _divisor(i, j, x.shape, window)
    return y


def _avg_pool2d_backward(
    dy: Any,
    input_shape: tuple[int, ...],
    size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Any:
    window = {"size": size, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    dx = numpy.zeros(input_shape, dy.dtype)
    for i, j, rows, columns in _pixels(input_shape, dy.shape, size, stride, padding):
        dx[:, rows, columns] += dy[:, i : i + 1, j : j + 1] / _divisor(i, j, input_shape, window)
    return dx


def _numbers(x_shape: Any, y_shape: Any, size: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    """The geometry arguments of every kernel in kernels/pooling.cl."""
    return (*x_shape, *y_shape[1:3], *size, *stride, *padding)


def _form(count_include_pad: bool) -> dict[str, str | int]:
    return {} if count_include_pad else {"INSIDE_ONLY": 1}


def _forward_opencl(
    kernel: str,
    x: Array,
    size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool = True,
) -> Array:
    x = contiguous(x)
    y = Array.new(_pooled_shape(x.shape, size, stride, padding, ceil_mode), x.dtype, x.device)
    if y.size:
        pixels, channels = prod(y.shape[:3]), y.shape[3]
        each = max(1, CPU_ELEMENTS_EACH // (channels * size[0] * size[1]))
        units = x.device.compute_units
        sizes = ((-(-pixels // each),), (1,)) if x.device.kind == "cpu" else item_sizes(units, y.size)
        numbers = _numbers(x.shape, y.shape, size, stride, padding)
        launch = built(x.device, "pooling.cl", kernel, _form(count_include_pad))
        launch(sizes[0], *numbers, each, x.buffer, x.offset, y.buffer, local_size=sizes[1])
    return y


def _backward_opencl(
    kernel: str,
    geometry: tuple[int, ...],
    inputs: tuple[Array, ...],
    dx: Array,
    form: dict[str, str | int] | None = None,
) -> Array:
    if dx.size:
        device = dx.device
        blocks = -(-dx.shape[3] // _CPU_CHANNELS)
        cpu_sizes = ((blocks, dx.shape[0]), (1, 1))
        sizes = cpu_sizes if device.kind == "cpu" else item_sizes(device.compute_units, dx.size)
        whole = [contiguous(each) for each in inputs]  # held until the launch, so that no memory is reused
        buffers = [argument for each in whole for argument in (each.buffer, each.offset)]
        launch = built(device, "pooling.cl", kernel, form)
        launch(sizes[0], *geometry, *buffers, dx.buffer, local_size=sizes[1])
    return dx


def _max_backward_opencl(
    x: Array, y: Array, dy: Array, size: Pair, stride: Pair, padding: Pair, **_: bool
) -> Array:
    geometry = _numbers(x.shape, y.shape, size, stride, padding)
    return _backward_opencl("max_backward", geometry, (x, y, dy), Array.new(x.shape, x.dtype, x.device))


def _avg_backward_opencl(
    dy: Array,
    input_shape: tuple[int, ...],
    size: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    **_: bool,
) -> Array:
    geometry = _numbers(input_shape, dy.shape, size, stride, padding)
    dx = Array.new(input_shape, dy.dtype, dy.device)
    return _backward_opencl("average_backward", geometry, (dy,), dx, _form(count_include_pad))


_MAX_POOL2D = primitive(
    "max_pool2d", numpy=_max_pool2d, opencl=partial(_forward_opencl, "max_forward"), single=True
)
_AVG_POOL2D = primitive(
    "avg_pool2d", numpy=_avg_pool2d, opencl=partial(_forward_opencl, "average_forward"), single=True
)
_MAX_POOL2D_BACKWARD = primitive(
    "max_pool2d_backward", numpy=_max_pool2d_backward, opencl=_max_backward_opencl, single=True
)
_AVG_POOL2D_BACKWARD = primitive(
    "avg_pool2d_backward", numpy=_avg_pool2d_backward, opencl=_avg_backward_opencl, single=True
)


def _geometry(
    where: str, x_shape: tuple[int, ...], size: Pair, stride: Pair | None, padding: Pair, ceil_mode: bool
) -> dict[str, Any]:
    """The checked parameters of one pooling."""
    steps = tuple(size if stride is None else stride)
    if len(x_shape) != 4:
        raise ShapeError(f"{where}: expected images [N, H, W, C], got shape {x_shape}.")
    if min(*size, *steps) < 1 or min(padding) < 0:
        raise ShapeError(
            f"{where}: window {tuple(size)} and stride {steps} must be at least 1, "
            f"padding {tuple(padding)} at least 0."
        )
    if any(2 * p > s for p, s in zip(padding, size, strict=True)):
        raise ShapeError(f"{where}: padding {tuple(padding)} is more than half of the window {tuple(size)}.")
    if any(n + 2 * p < s for n, p, s in zip(x_shape[1:3], padding, size, strict=True)):
        raise ShapeError(
            f"{where}: the window {tuple(size)} is larger than the images {x_shape[1:3]} with padding."
        )
    return {"size": tuple(size), "stride": steps, "padding": tuple(padding), "ceil_mode": ceil_mode}


def _check(where: str, expected: tuple[int, ...], *arrays: Array) -> None:
    require_single_or_double(where, *[each.dtype for each in arrays])
    for each in arrays:
        if each.shape != expected:
            raise ShapeError(f"{where}: expected shape {expected}, got {each.shape}.")


def max_pool2d(
    x: Array, size: Pair, *, stride: Pair | None = None, padding: Pair = (0, 0), ceil_mode: bool = False
) -> Array:
    """Largest value of each window of x[N, H, W, C] → [N, OH, OW, C]; padding never wins. stride defaults to
    size."""
    parameters = _geometry("max_pool2d", x.shape, size, stride, padding, ceil_mode)
    _check("max_pool2d", x.shape, x)
    return _MAX_POOL2D(x, **parameters)


def max_pool2d_backward(
    x: Array,
    y: Array,
    dy: Array,
    size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
) -> Array:
    """Derivative by x: each dy goes to the first element of its window that equals y = max_pool2d(x)."""
    parameters = _geometry("max_pool2d_backward", x.shape, size, stride, padding, ceil_mode)
    _check("max_pool2d_backward", x.shape, x)
    _check("max_pool2d_backward", _pooled_shape(x.shape, **parameters), y, dy)
    require_single_or_double("max_pool2d_backward", x.dtype, y.dtype, dy.dtype)
    return _MAX_POOL2D_BACKWARD(x, y, dy, **parameters)


def avg_pool2d(
    x: Array,
    size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Mean of each window of x[N, H, W, C] → [N, OH, OW, C]. stride defaults to size.

    Padding counts as zeros, or not at all without `count_include_pad`.
    """
    parameters = _geometry("avg_pool2d", x.shape, size, stride, padding, ceil_mode)
    _check("avg_pool2d", x.shape, x)
    return _AVG_POOL2D(x, **parameters, count_include_pad=bool(count_include_pad))


def avg_pool2d_backward(
    dy: Array,
    input_shape: tuple[int, ...],
    size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Derivative by the images of `input_shape` [N, H, W, C]: each dy is spread evenly over its window."""
    shape = tuple(input_shape)
    parameters = _geometry("avg_pool2d_backward", shape, size, stride, padding, ceil_mode)
    _check("avg_pool2d_backward", _pooled_shape(shape, **parameters), dy)
    counted = bool(count_include_pad)
    return _AVG_POOL2D_BACKWARD(dy, input_shape=shape, **parameters, count_include_pad=counted)
