"""Batch normalisation over all axes but the last one, in both directions, each in few passes over memory.

    y = (x − mean) / √(variance + eps) · weight + bias

with the mean and the variance of each channel, which are functions of x: the gradient of x has their part in
it. Source: S. Ioffe, C. Szegedy: "Batch Normalization", 2015, whose last equations are the gradient.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.device import Device
from tensor.errors import ShapeError
from tensor.gemm import ceil_div, scratch
from tensor.kernel import built
from tensor.layout import Shape, power_of_two
from tensor.primitive import float32_results, primitive
from tensor.views import contiguous

_GPU_ITEMS = 256  # ITEMS in kernels/batch_norm.cl
_GPU_COLUMNS = 32  # side by side in a group
_GPU_GROUPS_PER_UNIT = 4
_GPU_ROWS_EACH = 4  # at least: what an item has under way at once
_GPU_JOINED = (8, 32)  # channels of a group that joins parts, and items that share them
_CPU_LANES = 4  # vectors of a row that an item takes, as many as registers hold
_CPU_WORK = 16384  # elements below which another work-item costs more than it saves
_CPU_ROWS = 512  # of a part at most: longer sums one by one lose digits

# --- NumPy's definitions ------------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def _statistics_numpy(x: Any) -> Any:
    rows = _rows(x)
    mean = rows.mean(axis=0)
    distance = rows - mean
    squares = (distance * distance).sum(axis=0)
    count = rows.dtype.type(len(rows))
    return numpy.stack([mean, squares / count, squares / max(count - 1, rows.dtype.type(1))])


def _deviation(statistics: Any, eps: float) -> Any:
    return numpy.sqrt(statistics[1] + statistics.dtype.type(eps))


def _forward_numpy(x: Any, statistics: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    return (x - statistics[0]) * (weight / _deviation(statistics, eps)) + bias


def _gradients_numpy(dy: Any, x: Any, statistics: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    rows = _rows(dy)
    products = (rows * (_rows(x) - statistics[0])).sum(axis=0)
    return numpy.stack([products / _deviation(statistics, eps), rows.sum(axis=0)])


def _backward_numpy(
    dy: Any, x: Any, statistics: Any, weight: Any, bias: Any, sums: Any, *, eps: float
) -> Any:
    deviation, count = _deviation(statistics, eps), x.dtype.type(x.size // x.shape[-1])
    rest = dy - sums[1] / count
    return weight / deviation * (rest - (x - statistics[0]) * (sums[0] / count / deviation))


# --- OpenCL's -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Walk:
    """x[rows, channels] cut: columns of `width` channels, `lanes` of them an item; parts of `depth` rows."""

    rows: int
    channels: int
    width: int
    lanes: int
    local: tuple[int, int]
    depth: int

    @property
    def parts(self) -> int:
        return ceil_div(self.rows, self.depth)

    @property
    def global_size(self) -> tuple[int, int]:
        blocks = ceil_div(self.channels, self.width * self.lanes * self.local[0])
        return blocks * self.local[0], self.parts * self.local[1]

    def numbers(self) -> tuple[int, int, int]:
        return self.rows, self.channels, self.depth


def _walk(device: Device, shape: Shape, *arrays: Array) -> _Walk:
    rows, channels = prod(shape[:-1]), shape[-1]
    widths = (8, 4, 1) if device.kind == "cpu" else (4, 1)
    fits = device.kind == "cpu" or not any(each.offset % 4 for each in arrays)  # GPUs load what is aligned
    width = next(each for each in widths if each == 1 or (fits and channels % each == 0))
    columns = channels // width
    if device.kind == "cpu":
        lanes = 1 if columns % _CPU_LANES else _CPU_LANES
        most = max(1, rows * width * lanes // _CPU_WORK)
        parts = min(most, ceil_div(4 * device.compute_units, columns // lanes))
        return _Walk(rows, channels, width, lanes, (1, 1), min(ceil_div(rows, parts), _CPU_ROWS))
    wide = min(_GPU_COLUMNS, power_of_two(columns))
    high = _GPU_ITEMS // wide
    wanted = max(1, _GPU_GROUPS_PER_UNIT * device.compute_units // ceil_div(columns, wide))
    parts = min(wanted, ceil_div(rows, high * _GPU_ROWS_EACH))
    return _Walk(rows, channels, width, 1, (wide, high), ceil_div(rows, parts))


def _launch(name: str, walk: _Walk, device: Device, *arguments: Any) -> None:
    kernel = built(device, "batch_norm.cl", name, {"WIDTH": walk.width, "LANES": walk.lanes})
    kernel(walk.global_size, *arguments, *walk.numbers(), local_size=walk.local)


def _join(name: str, walk: _Walk, parts: Array, output: Array, channels: int, *numbers: int) -> None:
    device = output.device
    local = (1, 1) if device.kind == "cpu" else _GPU_JOINED
    size = (ceil_div(channels, local[0]) * local[0], local[1])
    kernel = built(device, "batch_norm.cl", name, {"WIDTH": walk.width, "LANES": walk.lanes})
    kernel(size, parts.buffer, output.buffer, walk.parts, *numbers, local_size=local)


def _memory(*arrays: Array) -> list[Any]:
    return [argument for each in arrays for argument in (each.buffer, each.offset)]


def _statistics_opencl(x: Array) -> Array:
    x = contiguous(x)
    statistics = Array.new((3, x.shape[-1]), x.dtype, x.device)
    walk = _walk(x.device, x.shape, x)
    parts = scratch(x.device, walk.parts * 2 * walk.channels)
    _launch("statistics_parts", walk, x.device, x.buffer, x.offset, parts.buffer)
    _join("statistics_joined", walk, parts, statistics, walk.channels, *walk.numbers())
    return statistics


def _forward_opencl(x: Array, statistics: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    x, *others = (contiguous(each) for each in (x, statistics, weight, bias))
    y = Array.new(x.shape, x.dtype, x.device)
    walk = _walk(x.device, x.shape, x, others[0])
    _launch("normalised", walk, x.device, *_memory(x, *others), eps, y.buffer)
    return y


def _gradients_opencl(dy: Array, x: Array, *others: Array, eps: float) -> Array:
    dy, x, *others = (contiguous(each) for each in (dy, x, *others))  # type: ignore[assignment]  # a list will do
    sums = Array.new((2, x.shape[-1]), x.dtype, x.device)
    walk = _walk(x.device, x.shape, dy, x, others[0])
    parts = scratch(x.device, walk.parts * 2 * walk.channels)
    _launch("gradient_parts", walk, x.device, *_memory(dy, x, *others), eps, parts.buffer)
    _join("gradients_joined", walk, parts, sums, 2 * walk.channels, 2 * walk.channels)
    return sums


def _backward_opencl(dy: Array, x: Array, *others: Array, eps: float) -> Array:
    dy, x, *statistics, sums = (contiguous(each) for each in (dy, x, *others))
    dx = Array.new(x.shape, x.dtype, x.device)
    walk = _walk(x.device, x.shape, dy, x, statistics[0], sums)
    arguments = (*_memory(dy, x, *statistics), eps, *_memory(sums), dx.buffer)
    _launch("backward", walk, x.device, *arguments)
    return dx


_STATISTICS = primitive("batch_statistics", numpy=_statistics_numpy, opencl=_statistics_opencl, single=True)
_FORWARD = primitive("batch_norm", numpy=_forward_numpy, opencl=_forward_opencl, single=True)
_GRADIENTS = primitive("batch_norm_gradients", numpy=_gradients_numpy, opencl=_gradients_opencl, single=True)
_BACKWARD = primitive("batch_norm_backward", numpy=_backward_numpy, opencl=_backward_opencl, single=True)

# --- the functions ------------------------------------------------------------------------------------------


def batch_statistics(x: Array) -> Array:
    """Mean, variance, and unbiased variance of each channel of x [..., C], which is not empty: [3, C].

    Like all of this: in float32, or in float64, which NumPy computes on the host.
    The rows of x are cut in parts, whose statistics are joined in a fixed order: the same bits at each call.
    """
    _check("batch_statistics", x)
    with float32_results():
        return _STATISTICS(x)


def batch_norm(x: Array, statistics: Array, weight: Array, bias: Array, *, eps: float = 1e-5) -> Array:
    """x [..., C] brought to mean 0 and variance 1 by its own statistics [3, C], times weight, plus bias [C].

    nn differentiates it as a function of x, weight and bias with `statistics = batch_statistics(x)`.
    """
    _check("batch_norm", x, statistics, weight, bias)
    return _FORWARD(x, statistics, weight, bias, eps=float(eps))


def batch_norm_gradients(
    dy: Array, x: Array, statistics: Array, weight: Array, bias: Array, *, eps: float
) -> Array:
    """The gradients [2, C] of batch_norm's weight and bias from that of its result; takes what it took."""
    _check("batch_norm_gradients", x, statistics, weight, bias)
    _check_gradient("batch_norm_gradients", dy, x)
    with float32_results():
        return _GRADIENTS(dy, x, statistics, weight, bias, eps=eps)


def batch_norm_backward(
    dy: Array,
    x: Array,
    statistics: Array,
    weight: Array,
    bias: Array,
    gradients: Array,
    *,
    eps: float,
) -> Array:
    """The gradient of batch_norm's x; takes what batch_norm_gradients took, and what it returned."""
    _check("batch_norm_backward", x, statistics, weight, bias)
    _check_gradient("batch_norm_backward", dy, x)
    return _BACKWARD(dy, x, statistics, weight, bias, gradients, eps=eps)


def _check_gradient(where: str, dy: Array, x: Array) -> None:
    if dy.shape != x.shape:
        raise ShapeError(f"{where}: expected dy of shape {x.shape}, got {dy.shape}.")


def _check(where: str, x: Array, *others: Array) -> None:
    expected = [(3, *x.shape[-1:]), x.shape[-1:], x.shape[-1:]][: len(others)]
    if x.ndim < 2 or not x.size or [each.shape for each in others] != expected:
        got = ", ".join(str(each.shape) for each in (x, *others))
        raise ShapeError(
            f"{where}: expected x [N, …, C], not empty, statistics [3, C], weight and bias [C], got {got}."
        )
    dtypes.require_single_or_double(where, *[each.dtype for each in (x, *others)])
