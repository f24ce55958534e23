"""Reductions over some or all axes, by the array API standard."""

import builtins
from functools import lru_cache, partial
from math import prod as product_of
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Layout, Shape
from tensor.constants import constant
from tensor.conversion import astype
from tensor.dtypes import DType
from tensor.elementwise import not_equal, sqrt
from tensor.errors import DTypeError, ShapeError
from tensor.prepared import prepared
from tensor.primitive import Prepared, primitive
from tensor.reduce_launch import Reduction, chooser, reduced_shape, reducer, spread
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
def _reduction(name: str, dtype: DType, divide_by: float = 0) -> Reduction:
    return Reduction(_COMBINE[name], _identity(name, dtype), dtype, divide_by)


def _prepare(name: str, x: Layout, axis: Shape, keepdims: bool, dtype: DType | None = None) -> Prepared:
    return reducer(x, axis, keepdims, _reduction(name, dtype or x.dtype))


def _prepare_mean(x: Layout, axis: Shape, keepdims: bool) -> Prepared:
    dtype, count = dtypes.floating(x.dtype), product_of(x.shape[a] for a in axis)
    if count == 0:
        return _not_a_number(x, axis, keepdims)
    return reducer(x, axis, keepdims, _reduction("sum", dtype, count))


def _prepare_var(x: Layout, axis: Shape, keepdims: bool, correction: float) -> Prepared:
    dtype, count = dtypes.floating(x.dtype), product_of(x.shape[a] for a in axis) - correction
    if count <= 0:
        return _not_a_number(x, axis, keepdims)
    return spread(x, axis, keepdims, dtype, count)


def _not_a_number(x: Layout, axis: Shape, keepdims: bool) -> Prepared:
    dtype, shape = dtypes.floating(x.dtype), reduced_shape(x.shape, axis, keepdims)

    def launch(values: Array) -> Array:
        output = Array.new(shape, dtype, values.device)
        assign(output, constant(float("nan"), dtype, values.device))
        return output

    return launch


_SUM = primitive("sum", numpy=partial(_total, numpy.sum), prepare=partial(_prepare, "sum"))
_PROD = primitive("prod", numpy=partial(_total, numpy.prod), prepare=partial(_prepare, "prod"))
_MEAN = primitive("mean", numpy=_mean, prepare=_prepare_mean)
_VAR = primitive("var", numpy=_var, prepare=_prepare_var)
_MAX = primitive("max", numpy=partial(_chosen, numpy.max), prepare=partial(_prepare, "max"))
_MIN = primitive("min", numpy=partial(_chosen, numpy.min), prepare=partial(_prepare, "min"))
_ANY = primitive("any", numpy=partial(_chosen, numpy.any), prepare=partial(_prepare, "any"))
_ALL = primitive("all", numpy=partial(_chosen, numpy.all), prepare=partial(_prepare, "all"))
_ARGMAX = primitive("argmax", numpy=partial(_index_of, numpy.argmax), prepare=partial(chooser, which="max"))
_ARGMIN = primitive("argmin", numpy=partial(_index_of, numpy.argmin), prepare=partial(chooser, which="min"))


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
    truncates = dtypes.kind(x.dtype) in "fc" and dtypes.kind(target) not in "fc"
    return (astype(x, target) if truncates else x), target


@prepared
def sum(x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Sum over axes (all by default) in `dtype`; integers and bool are summed in int64 or uint64."""
    values, target = _summable(x, dtype)
    return _SUM(values, axis=axes_of("sum", x, axis), keepdims=keepdims, dtype=target)


@prepared
def prod(x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Product over axes (all by default) in `dtype`; integers and bool are multiplied in int64 or uint64."""
    values, target = _summable(x, dtype)
    return _PROD(values, axis=axes_of("prod", x, axis), keepdims=keepdims, dtype=target)


@prepared
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes, in float32 for integers; NaN over no elements."""
    return _MEAN(x, axis=axes_of("mean", x, axis), keepdims=keepdims)


@prepared
def var(x: Array, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Mean squared distance from the mean over axes: Σ(x − mean)² / (N − correction); NaN where N ≤
    correction."""
    return _VAR(x, axis=axes_of("var", x, axis), keepdims=keepdims, correction=correction)


def std(x: Array, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Standard deviation over axes: the square root of `var`."""
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


@prepared
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; NaN if there is one."""
    return _MAX(x, axis=_chosen_axes("max", x, axis), keepdims=keepdims)


@prepared
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; NaN if there is one."""
    return _MIN(x, axis=_chosen_axes("min", x, axis), keepdims=keepdims)


@prepared
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether one element over axes is not 0; False over no elements."""
    return _ANY(_as_bool(x), axis=axes_of("any", x, axis), keepdims=keepdims)


@prepared
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element over axes is not 0; True over no elements."""
    return _ALL(_as_bool(x), axis=axes_of("all", x, axis), keepdims=keepdims)


def _as_bool(x: Array) -> Array:
    return x if x.dtype == dtypes.bool_ else not_equal(x, 0)


@prepared
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first largest element along an axis, or in the whole array; NaN is largest."""
    return _ARGMAX(x, axis=_chosen_axes("argmax", x, axis), keepdims=keepdims)


@prepared
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first smallest element along an axis, or in the whole array; NaN is smallest."""
    return _ARGMIN(x, axis=_chosen_axes("argmin", x, axis), keepdims=keepdims)
