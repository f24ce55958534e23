"""Reductions over some or all axes: sum, mean, max, min, argmax."""

from functools import partial
from math import prod
from typing import Any

import numpy

from tensor import dtypes, reduce_launch
from tensor.array import Array, Shape
from tensor.constants import constant
from tensor.dtypes import DType
from tensor.errors import DTypeError, ShapeError
from tensor.primitive import primitive
from tensor.reduce_launch import reduce
from tensor.views import assign

Axis = int | tuple[int, ...] | None


def _sum(x: Any, axis: Shape, keepdims: bool) -> Any:
    return numpy.asarray(numpy.sum(x, axis=axis, keepdims=keepdims, dtype=sum_dtype(x.dtype)))


def _mean(x: Any, axis: Shape, keepdims: bool) -> Any:
    count = numpy.prod([x.shape[a] for a in axis], dtype=numpy.int64)
    total = numpy.sum(x, axis=axis, keepdims=keepdims, dtype=numpy.float32)
    return numpy.asarray(total / numpy.float32(count))


def _extreme(function: Any, x: Any, axis: Shape, keepdims: bool) -> Any:
    return numpy.asarray(function(x, axis=axis, keepdims=keepdims))


def _argmax(x: Any, axis: Shape, keepdims: bool) -> Any:
    kept = [a for a in range(x.ndim) if a not in axis]
    flat = x.transpose(*kept, *axis).reshape(*(x.shape[a] for a in kept), -1)
    indices = numpy.asarray(numpy.argmax(flat, axis=-1), numpy.int32)
    return indices.reshape(reduced_shape(x.shape, axis, keepdims))


def sum_dtype(dtype: DType) -> DType:
    """Sums of small integers and bool are int32 or uint32; other dtypes keep theirs."""
    if dtype.kind == "b" or (dtype.kind == "i" and dtype.itemsize < 4):
        return dtypes.int32
    return dtypes.uint32 if dtype.kind == "u" and dtype.itemsize < 4 else dtype


def reduced_shape(shape: Shape, axis: Shape, keepdims: bool) -> Shape:
    """The shape that is left when `axis` is reduced."""
    return tuple(1 if a in axis else n for a, n in enumerate(shape) if keepdims or a not in axis)


def _identity(name: str, dtype: DType) -> str:
    """The OpenCL literal that changes nothing: 0 for sums, the far end of the dtype for extremes."""
    if name == "sum":
        return "0"
    sign = "-" if name == "max" else ""
    if dtype.kind == "f":
        return f"{sign}INFINITY"
    limits = numpy.iinfo(dtype)
    if dtype.kind == "u":
        return "0" if name == "max" else f"{limits.max}UL"
    return f"({sign}{limits.max}L - 1)" if name == "max" else f"{limits.max}L"


# NaN wins, as in NumPy.
_COMBINE = {
    "sum": "((p) + (q))",
    "max": "((p) >= (q) || (p) != (p) ? (p) : (q))",
    "min": "((p) <= (q) || (p) != (p) ? (p) : (q))",
}


def _run(name: str, x: Array, axis: Shape, keepdims: bool) -> Array:
    dtype = sum_dtype(x.dtype) if name == "sum" else x.dtype
    output = Array.new(reduced_shape(x.shape, axis, keepdims), dtype, x.device)
    reduce(x, axis, output, _COMBINE[name], _identity(name, dtype))
    return output


def _run_mean(x: Array, axis: Shape, keepdims: bool) -> Array:
    output = Array.new(reduced_shape(x.shape, axis, keepdims), dtypes.float32, x.device)
    count = prod(x.shape[a] for a in axis)
    if count == 0:
        assign(output, constant(float("nan"), dtypes.float32, x.device))
    else:
        reduce(x, axis, output, _COMBINE["sum"], "0", divide_by=count)
    return output


def _run_argmax(x: Array, axis: Shape, keepdims: bool) -> Array:
    output = Array.new(reduced_shape(x.shape, axis, keepdims), dtypes.int32, x.device)
    reduce_launch.argmax(x, axis, output)
    return output


_SUM = primitive("sum", numpy=_sum, opencl=partial(_run, "sum"))
_MEAN = primitive("mean", numpy=_mean, opencl=_run_mean)
_MAX = primitive("max", numpy=partial(_extreme, numpy.max), opencl=partial(_run, "max"))
_MIN = primitive("min", numpy=partial(_extreme, numpy.min), opencl=partial(_run, "min"))
_ARGMAX = primitive("argmax", numpy=_argmax, opencl=_run_argmax)


def _axes(where: str, x: Array, axis: Axis) -> Shape:
    if axis is None:
        return tuple(range(x.ndim))
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -x.ndim <= a < x.ndim for a in given):
        raise ShapeError(f"{where}: axis {axis} does not exist in shape {x.shape}.")
    wanted = tuple(sorted({a % x.ndim for a in given}))
    if len(wanted) != len(given):
        raise ShapeError(f"{where}: axis {axis} names an axis of shape {x.shape} twice.")
    return wanted


def _chosen_axes(where: str, x: Array, axis: Axis) -> Shape:
    """The axes of an operation that picks one element, of which there has to be at least one."""
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{where}: expected numbers, got bool; use astype(x, int32).")
    axes = _axes(where, x, axis)
    if any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"{where}: nothing to choose from along axis {axis} of shape {x.shape}.")
    return axes


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes (all by default); bool and small integers are summed in int32 or uint32."""
    return _SUM(x, axis=_axes("sum", x, axis), keepdims=keepdims)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes, in float32; NaN over no elements."""
    return _MEAN(x, axis=_axes("mean", x, axis), keepdims=keepdims)


def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; NaN if there is one."""
    return _MAX(x, axis=_chosen_axes("max", x, axis), keepdims=keepdims)


def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; NaN if there is one."""
    return _MIN(x, axis=_chosen_axes("min", x, axis), keepdims=keepdims)


def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int32) of the first largest element along an axis, or in the whole array; NaN is largest."""
    return _ARGMAX(x, axis=_chosen_axes("argmax", x, axis), keepdims=keepdims)
