"""What `asarray` takes besides arrays: numbers, nested lists of numbers and arrays, and objects of others.

Python's numbers have no dtype of their own: alone they become int64, float32, complex64 or bool, among
NumPy's numbers or arrays they take the dtype of those.
"""

from itertools import chain
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape, same_device
from tensor.dlpack import taken
from tensor.dtypes import DType, HostArray
from tensor.errors import DTypeError, ShapeError

_NUMBERS: frozenset[type] = frozenset((bool, int, float, complex))
_CONTAINERS: frozenset[type] = frozenset((list, tuple))
_DEEPEST = 64  # axes that NumPy has; a list that contains itself goes on for ever


def host_values(values: Any, dtype: DType | None) -> "HostArray | Array":
    """`values` as NumPy has them: their own memory if they have one, with dtype `dtype` if they have no own;
    one Array of lists that have Arrays in them.

    Raises ShapeError for ragged lists, and DTypeError for what is no number or does not fit, saying where.
    """
    if isinstance(values, list | tuple):
        return _of_list(values, dtype)
    if type(values) in _NUMBERS:
        return _checked(values, dtypes.as_dtype(type(values)) if dtype is None else dtype)
    if hasattr(values, "__dlpack__") and not isinstance(values, numpy.ndarray):
        return taken(values, "asarray")
    host = numpy.asarray(memoryview(values) if isinstance(values, bytes) else values)
    if dtypes.kind(host.dtype) not in "biufc" and not isinstance(values, numpy.ndarray):
        raise DTypeError(f"asarray: expected numbers or arrays, got {type(values).__name__}.")
    return host


def _of_list(values: Any, dtype: DType | None) -> "HostArray | Array":
    types = _leaf_types(values)
    if any(issubclass(each, Array) for each in types):
        return _stacked(values)
    if dtype is not None:
        return _checked(values, dtype)
    host = _checked(values, _common_dtype(types))
    if host.dtype.kind == "f" and types and types <= {bool, int}:  # of int64 and uint64 NumPy makes float64
        return _checked(values, dtypes.uint64)
    return host


def _checked(values: Any, dtype: DType | None) -> HostArray:
    """The NumPy array of numbers or nested lists; errors name the first place that is to blame."""
    try:
        host = numpy.asarray(values, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        _require_even(values)
        _require_numbers(values, dtype)
        raise DTypeError(f"asarray: {error}") from error
    if dtypes.kind(host.dtype) not in "biufc":
        _require_numbers(values, dtype)
    return host


def _leaf_types(values: Any) -> set[type]:
    """The types of what stands in nested lists and tuples, found level by level, as a million lists need."""
    found: set[type] = set()
    level = values
    for depth in range(_DEEPEST):
        types = set(map(type, level))
        found |= types - _CONTAINERS
        if types <= found:
            return found
        if depth > 4:  # the same list many times over would double the level each time
            level = {id(each): each for each in level}.values()
        if types & found:
            level = [each for each in level if type(each) in _CONTAINERS]
        level = list(chain.from_iterable(level))
    raise ShapeError(f"asarray: lists are nested more than {_DEEPEST} deep, or one contains itself.")


def _common_dtype(types: set[type]) -> DType | None:
    """The dtype of a list of numbers; None to let NumPy find one, with arrays in it or what is no number."""
    numbers = types & _NUMBERS
    others = types - _NUMBERS
    if any(not issubclass(each, numpy.number | numpy.bool_) for each in others):
        return None
    if not others:
        # The widest kind wins; an empty list is float32, as in the functions that make arrays.
        kinds = [each for each in (complex, float, int, bool) if each in numbers] or [float]
        return None if kinds[0] is int else dtypes.as_dtype(kinds[0])
    return numpy.result_type(*(numpy.dtype(each) for each in others), *(each() for each in numbers))


# --- lists with arrays in them ------------------------------------------------------------------------------


def _stacked(values: Any) -> Array:
    """One array of nested lists that have Arrays in them, on their device, in their common dtype."""
    from tensor.manipulation import stack  # which is made of creation, which is made of this

    _require_even(values)
    leaves = list(_leaves(values))
    arrays = [each for each in leaves if isinstance(each, Array)]
    device = same_device("asarray", *arrays)
    shape = _shape_of(values)
    parts = [
        each if isinstance(each, Array) else Array.upload(_number(each, arrays[0].dtype), device)
        for each in leaves
    ]
    inner = arrays[0].shape
    return stack(parts).reshape((*shape[: len(shape) - len(inner)], *inner))


def _number(value: Any, met: DType) -> HostArray:
    return _checked(value, dtypes.of_scalar(value, met) if type(value) in _NUMBERS else None)


def _leaves(values: Any) -> Any:
    for each in values:
        if isinstance(each, list | tuple):
            yield from _leaves(each)
        else:
            yield each


# --- errors -------------------------------------------------------------------------------------------------


def _shape_of(values: Any) -> Shape:
    """The shape that nested lists have if they are even: that of their first elements."""
    if isinstance(values, list | tuple):
        return (len(values), *(_shape_of(values[0]) if values else ()))
    return tuple(getattr(values, "shape", ()))


def _require_even(values: Any, where: str = "x") -> None:
    """Raise ShapeError at the first place of nested lists whose shape is not that of its neighbours."""
    if not isinstance(values, list | tuple):
        return
    for i, each in enumerate(values):
        _require_even(each, f"{where}[{i}]")
        if _shape_of(each) != _shape_of(values[0]):
            raise ShapeError(
                f"asarray: a ragged list: {where}[{i}] has shape {_shape_of(each)}, but {where}[0] has "
                f"{_shape_of(values[0])}."
            )


def _require_numbers(values: Any, dtype: DType | None, where: str = "x") -> None:
    """Raise DTypeError at the first place of nested lists that is no number, or one that does not fit."""
    if isinstance(values, list | tuple):
        for i, each in enumerate(values):
            _require_numbers(each, dtype, f"{where}[{i}]")
        return
    try:
        kind = dtypes.kind(numpy.asarray(values, dtype).dtype)
    except (ValueError, TypeError, OverflowError):
        kind = "O"
    if kind not in "biufc":
        fits = f"fit into {dtype.name}" if dtype is not None else "have a place in any array"
        raise DTypeError(
            f"asarray: {where} is {str(values)[:40]} ({type(values).__name__}), which does not {fits}."
        )
