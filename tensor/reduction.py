"""Reductions over some or all axes, by the array API standard."""

import builtins
from functools import lru_cache, partial
from math import prod as product_of
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.constants import constant
from tensor.conversion import astype
from tensor.dtypes import DType
from tensor.elementwise import not_equal, sqrt
from tensor.errors import DTypeError, ShapeError
from tensor.primitive import primitive
from tensor.reduce_launch import Reduction, choose, reduced_shape, reducers
from tensor.views import assign

Axis = int | tuple[int, ...] | None


# --- the primitives -----------------------------------------------------------------------------------------


def _total(function: Any, x: Any, axis: Shape, keepdims: bool, dtype: DType) -> Any:
    return numpy.asarray(function(x, axis=axis, keepdims=keepdims, dtype=dtype))


def _chosen(function: Any, x: Any, axis: Shape, keepdims: bool) -> Any:
    return numpy.asarray(function(x, axis=axis, keepdims=keepdims))


def _mean(x: Any, axis: Shape, keepdims: bool) -> Any:
    count = numpy.prod([x.shape[a] for a in axis], dtype=numpy.int64)
    total = numpy.asarray(numpy.sum(x, axis=axis, keepdims=keepdims, dtype=dtypes.floating(x.dtype)))
    return numpy.asarray(total / total.dtype.type(count))


def _index_of(function: Any, x: Any, axis: Shape, keepdims: bool) -> Any:
    kept = [a for a in range(x.ndim) if a not in axis]
    flat = x.transpose(*kept, *axis).reshape(*(x.shape[a] for a in kept), -1)
    indices = numpy.asarray(function(flat, axis=-1), numpy.int64)
    return indices.reshape(reduced_shape(x.shape, axis, keepdims))


def _identity(name: str, dtype: DType) -> str:
    """The OpenCL literal that changes nothing: the far end of the dtype for extremes."""
    if name not in ("max", "min"):
        return {"sum": "0", "prod": "1", "any": "0", "all": "1"}[name]
    sign = "-" if name == "max" else ""
    if dtype.kind == "f":
        return f"{sign}INFINITY"
    if dtype.kind == "b":
        return "0" if name == "max" else "1"
    limits = numpy.iinfo(dtype)
    if dtype.kind == "u":
        return "0" if name == "max" else f"{limits.max}UL"
    return f"({sign}{limits.max}L - 1)" if name == "max" else f"{limits.max}L"


# NaN wins, as in NumPy.
_COMBINE = {
    "sum": "((p) + (q))",
    "prod": "((p) * (q))",
    "max": "((p) >= (q) || (p) != (p) ? (p) : (q))",
    "min": "((p) <= (q) || (p) != (p) ? (p) : (q))",
    "any": "((p) | (q))",
    "all": "((p) & (q))",
}


def _var(x: Any, axis: Shape, keepdims: bool, correction: float) -> Any:
    dtype, count = dtypes.floating(x.dtype), product_of(x.shape[a] for a in axis) - correction
    distances = x.astype(dtype) - numpy.mean(x, axis=axis, dtype=dtype, keepdims=True)
    total = numpy.asarray(numpy.sum(distances * distances, axis=axis, dtype=dtype, keepdims=keepdims))
    return numpy.asarray(total / dtype.type(count if count > 0 else numpy.nan))


@lru_cache
def _reduction(name: str, dtype: DType, divide_by: float = 0, centred: bool = False) -> Reduction:
    return Reduction(_COMBINE[name], _identity(name, dtype), dtype, divide_by, centred)


def _run(name: str, x: Array, axis: Shape, keepdims: bool, dtype: DType | None = None) -> Array:
    for produce in reducers(x.layout, axis, keepdims, _reduction(name, dtype or x.dtype)):
        x = produce(x)
    return x


def _run_mean(x: Array, axis: Shape, keepdims: bool) -> Array:
    dtype, count = dtypes.floating(x.dtype), product_of(x.shape[a] for a in axis)
    if count == 0:
        return _not_a_number(x, axis, keepdims)
    for produce in reducers(x.layout, axis, keepdims, _reduction("sum", dtype, count)):
        x = produce(x)
    return x


def _run_var(x: Array, axis: Shape, keepdims: bool, correction: float) -> Array:
    """Twice through the elements: for the mean, and for the distances from it."""
    dtype, count = dtypes.floating(x.dtype), product_of(x.shape[a] for a in axis) - correction
    if count <= 0:
        return _not_a_number(x, axis, keepdims)
    mean = _run_mean(x, axis, True)
    first, *rest = reducers(x.layout, axis, keepdims, _reduction("sum", dtype, count, True))
    output = first(x, mean)
    for produce in rest:
        output = produce(output)
    return output


def _not_a_number(x: Array, axis: Shape, keepdims: bool) -> Array:
    dtype = dtypes.floating(x.dtype)
    output = Array.new(reduced_shape(x.shape, axis, keepdims), dtype, x.device)
    assign(output, constant(float("nan"), dtype, x.device))
    return output


_SUM = primitive("sum", numpy=partial(_total, numpy.sum), opencl=partial(_run, "sum"))
_PROD = primitive("prod", numpy=partial(_total, numpy.prod), opencl=partial(_run, "prod"))
_MEAN = primitive("mean", numpy=_mean, opencl=_run_mean)
_VAR = primitive("var", numpy=_var, opencl=_run_var)
_MAX = primitive("max", numpy=partial(_chosen, numpy.max), opencl=partial(_run, "max"))
_MIN = primitive("min", numpy=partial(_chosen, numpy.min), opencl=partial(_run, "min"))
_ANY = primitive("any", numpy=partial(_chosen, numpy.any), opencl=partial(_run, "any"))
_ALL = primitive("all", numpy=partial(_chosen, numpy.all), opencl=partial(_run, "all"))
_ARGMAX = primitive("argmax", numpy=partial(_index_of, numpy.argmax), opencl=partial(choose, which="max"))
_ARGMIN = primitive("argmin", numpy=partial(_index_of, numpy.argmin), opencl=partial(choose, which="min"))


# --- the functions ------------------------------------------------------------------------------------------


def axes_of(where: str, x: Array, axis: Axis) -> Shape:
    """The axes that `axis` names, counted from 0 and in order; raises ShapeError."""
    return _axes(where, x.shape, axis if axis is None or isinstance(axis, int) else tuple(axis))


@lru_cache(maxsize=8192)
def _axes(where: str, shape: Shape, axis: Axis) -> Shape:
    ndim = len(shape)
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, int) else axis
    if not builtins.all(isinstance(a, int) for a in given):
        raise ShapeError(f"{where}: an axis is an integer, got {axis!r}.")
    if not builtins.all(-ndim <= a < ndim for a in given):
        raise ShapeError(f"{where}: axis {axis} does not exist in shape {shape}.")
    wanted = tuple(sorted({a % ndim for a in given}))
    if len(wanted) != len(given):
        raise ShapeError(f"{where}: axis {axis} names an axis of shape {shape} twice.")
    return wanted


def _chosen_axes(where: str, x: Array, axis: Axis) -> Shape:
    """The axes of an operation that picks one element, of which there has to be at least one."""
    if x.dtype.kind == "c":
        raise DTypeError(f"{where}: complex numbers have no order; expected real ones, got {x.dtype.name}.")
    axes = axes_of(where, x, axis)
    if 0 in (x.shape[a] for a in axes):
        raise ShapeError(f"{where}: nothing to choose from along axis {axis} of shape {x.shape}.")
    return axes


def total_dtype(dtype: DType, wanted: Any = None) -> DType:
    """The dtype of sums and products: `wanted`, else int64 and uint64 for integers and bool, else as it
    is."""
    if wanted is not None:
        return dtypes.as_dtype(wanted)
    if dtype.kind in "bi":
        return dtypes.int64
    return dtypes.uint64 if dtype.kind == "u" else dtype


def _summable(x: Array, dtype: Any) -> tuple[Array, DType]:
    """x and the dtype of its sum; converted first where the kernel could not do it on the way."""
    target = total_dtype(x.dtype, dtype)
    truncates = x.dtype.kind in "fc" and target.kind not in "fc"
    return (astype(x, target) if truncates else x), target


def sum(x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Sum over axes (all by default) in `dtype`; integers and bool are summed in int64 or uint64."""
    values, target = _summable(x, dtype)
    return _SUM(values, axis=axes_of("sum", x, axis), keepdims=keepdims, dtype=target)


def prod(x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Product over axes (all by default) in `dtype`; integers and bool are multiplied in int64 or uint64."""
    values, target = _summable(x, dtype)
    return _PROD(values, axis=axes_of("prod", x, axis), keepdims=keepdims, dtype=target)


def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes, in float32 for integers; NaN over no elements."""
    return _MEAN(x, axis=axes_of("mean", x, axis), keepdims=keepdims)


def var(x: Array, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Mean squared distance from the mean over axes: Σ(x − mean)² / (N − correction); NaN where N ≤
    correction."""
    return _VAR(x, axis=axes_of("var", x, axis), keepdims=keepdims, correction=correction)


def std(x: Array, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Standard deviation over axes: the square root of `var`."""
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; NaN if there is one."""
    return _MAX(x, axis=_chosen_axes("max", x, axis), keepdims=keepdims)


def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; NaN if there is one."""
    return _MIN(x, axis=_chosen_axes("min", x, axis), keepdims=keepdims)


def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether one element over axes is not 0; False over no elements."""
    return _ANY(_as_bool(x), axis=axes_of("any", x, axis), keepdims=keepdims)


def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element over axes is not 0; True over no elements."""
    return _ALL(_as_bool(x), axis=axes_of("all", x, axis), keepdims=keepdims)


def _as_bool(x: Array) -> Array:
    return x if x.dtype == dtypes.bool_ else not_equal(x, 0)


def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first largest element along an axis, or in the whole array; NaN is largest."""
    return _ARGMAX(x, axis=_chosen_axes("argmax", x, axis), keepdims=keepdims)


def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first smallest element along an axis, or in the whole array; NaN is smallest."""
    return _ARGMIN(x, axis=_chosen_axes("argmin", x, axis), keepdims=keepdims)
