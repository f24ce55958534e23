"""Reductions over some or all axes: sum, mean, max, min, argmax."""

from functools import partial
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.dtypes import DType
from tensor.errors import DTypeError, ShapeError
from tensor.primitive import primitive, through_host

Axis = int | tuple[int, ...] | None


def _sum(x: Any, axis: Shape, keepdims: bool) -> Any:
    return numpy.asarray(numpy.sum(x, axis=axis, keepdims=keepdims, dtype=sum_dtype(x.dtype)))


def _mean(x: Any, axis: Shape, keepdims: bool) -> Any:
    count = numpy.prod([x.shape[a] for a in axis], dtype=numpy.int64)
    with numpy.errstate(all="ignore"):
        return numpy.asarray(
            numpy.sum(x, axis=axis, keepdims=keepdims, dtype=numpy.float32) / numpy.float32(count)
        )


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


_MAX, _MIN = partial(_extreme, numpy.max), partial(_extreme, numpy.min)
_PRIMITIVES = {
    name: primitive(name, numpy=definition, opencl=through_host(definition))
    for name, definition in {"sum": _sum, "mean": _mean, "max": _MAX, "min": _MIN, "argmax": _argmax}.items()
}


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


def _numbers(where: str, x: Array) -> Array:
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{where}: expected numbers, got bool; use astype(x, int32).")
    return x


def _reduce(where: str, x: Array, axis: Axis, keepdims: bool, may_be_empty: bool) -> Array:
    axes = _axes(where, x, axis)
    if not may_be_empty and any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"{where}: nothing to choose from along axis {axis} of shape {x.shape}.")
    return _PRIMITIVES[where](x, axis=axes, keepdims=keepdims)


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes (all of them by default); small integers and bool are summed in int32 or uint32."""
    return _reduce("sum", x, axis, keepdims, True)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes, in float32; NaN over no elements."""
    return _reduce("mean", x, axis, keepdims, True)


def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; NaN if there is one."""
    return _reduce("max", _numbers("max", x), axis, keepdims, False)


def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; NaN if there is one."""
    return _reduce("min", _numbers("min", x), axis, keepdims, False)


def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int32) of the first largest element along one axis, or in the whole array; a NaN counts as largest."""
    return _reduce("argmax", _numbers("argmax", x), axis, keepdims, False)
