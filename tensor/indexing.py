"""x[key] and x[key] = value for every key that NumPy knows, and picking along one axis."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.axes import one_axis
from tensor.constants import constant
from tensor.conversion import astype
from tensor.errors import BadIndexTypeError, DTypeError, ShapeError
from tensor.gather import GATHER, picked_shape
from tensor.index_add import INDEX_ADD
from tensor.index_key import Index, Plan, is_plain, parts_of, plan_of, view_key
from tensor.memory import settle
from tensor.places import common_shape, on_device
from tensor.pointwise import launch
from tensor.primitive import primitive
from tensor.scatter import SCATTER
from tensor.table_walk import other_axes
from tensor.views import assign, broadcast_to, copy, require_broadcast, reshape, slice_view

# --- reading ------------------------------------------------------------------------------------------------


def index(x: Array, key: Any) -> Array:
    """x[key]: a view for integers, slices, `...` and None; a copy for index arrays and masks.

    Raises BadIndexError (an IndexError) out of range: that waits for index arrays on a device. Inside
    record() nothing is waited for, and such an element is NaN, or 0 where there is no NaN.
    """
    parts = parts_of(key)
    if is_plain(parts):
        return slice_view(x, view_key(x.shape, parts))
    plan = plan_of(x.shape, parts)
    view = slice_view(x, plan.view)
    return _picked(view, plan) if plan.picks else view


def _picked(view: Array, plan: Plan) -> Array:
    indices = plan.indices()
    common_shape(tuple(each.shape for each in indices))
    inputs = on_device(indices, view.device)
    return GATHER(view, *inputs, axes=plan.axes, at=plan.at, check=plan.must_check(view.device))


def take(x: Array, indices: Any, /, axis: int | None = None) -> Array:
    """The elements of x at integer indices along one axis, whose place the axes of indices take.

    Without an axis, of x in one dimension. Negative indices count from the end; errors as in x[indices].
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return index(x, (slice(None),) * one_axis("take", axis, x.shape) + (_integers("take", indices),))


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """The elements out[i, j, …] = x[indices[i, j, …], j, …] (for axis 0), the other axes broadcast.

    Negative indices count from the end; errors as in x[indices].
    """
    return index(x, _key_along_axis(x, indices, one_axis("take_along_axis", axis, x.shape)))


def _key_along_axis(x: Array, indices: Array, axis: int) -> tuple[Index, ...]:
    if indices.ndim != x.ndim:
        raise ShapeError(f"take_along_axis: expected indices with {x.ndim} axes as x; got {indices.shape}.")
    shape = (1,) * x.ndim
    along = (numpy.arange(n).reshape(*shape[:a], n, *shape[a + 1 :]) for a, n in enumerate(x.shape))
    given = _integers("take_along_axis", indices)
    return tuple(given if a == axis else each for a, each in enumerate(along))


def _integers(where: str, indices: Any) -> Index:
    found = indices if isinstance(indices, Array) else numpy.asarray(indices)
    if isinstance(indices, list | tuple) and not indices:
        found = numpy.zeros(0, numpy.int64)
    if found.dtype.kind not in "iu":
        raise BadIndexTypeError(f"{where}: indices must be integers, got {found.dtype.name}.")
    return found


# --- writing ------------------------------------------------------------------------------------------------


def set_item(x: Array, key: Any, value: Any) -> None:
    """x[key] = value in place: an Array of the same device, a NumPy array, a list or a number, broadcast.

    Of several values for one place the last one is kept. Errors as in reading; inside record() an index out
    of range writes nothing.
    """
    parts = parts_of(key)
    if is_plain(parts):
        _set_view(slice_view(x, view_key(x.shape, parts)), value)
        return
    plan = plan_of(x.shape, parts)
    target = slice_view(x, plan.view)
    if not plan.picks:
        _set_view(target, value)
        return
    values = _values(value, target)
    if not _set_where(target, plan, values):
        _set_picked(target, plan, values)


def _set_view(target: Array, value: Any) -> None:
    if isinstance(value, Array) or _is_number(value):
        if not _is_itself(value, target):
            assign(target, _values(value, target))
        return
    values = numpy.asarray(value)
    try:
        values = numpy.broadcast_to(values, target.shape)
    except ValueError as error:
        raise ShapeError(f"x[key] = value: shape {values.shape} does not fit {target.shape}.") from error
    settle()
    target.write(values.astype(target.dtype, copy=target.storage.is_shared))  # which they may lie in


def _is_itself(value: Any, target: Array) -> bool:
    """Whether nothing is to be written: Python ends `x[key] += y` with x[key] = the view that y was added
    to."""
    return (
        isinstance(value, Array)
        and value.storage is target.storage
        and (value.offset, value.shape, value.strides) == (target.offset, target.shape, target.strides)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex)


def _values(value: Any, target: Array) -> Array:
    """What is assigned as an Array of the target's dtype that does not share its memory."""
    if _is_number(value):
        return constant(dtypes.number(value, target.dtype), target.dtype, target.device)
    if not isinstance(value, Array):
        return Array.upload(numpy.asarray(value).astype(target.dtype), target.device)
    if value.dtype != target.dtype:
        return astype(value, target.dtype)
    return copy(value) if value.storage.may_overlap(target.storage) else value


def _set_picked(target: Array, plan: Plan, values: Array) -> None:
    values, indices, options = _prepared(target, plan, values)
    SCATTER(target, values, *indices, distinct=plan.is_distinct, **options)


def _prepared(target: Array, plan: Plan, values: Array) -> tuple[Array, tuple[Array, ...], dict[str, Any]]:
    """What the primitives that write take: values in the shape that the plan picks, indices, parameters."""
    indices = plan.indices()
    common = common_shape(tuple(each.shape for each in indices))
    values = _fitted(values, picked_shape(target.shape, plan.axes, plan.at, common))
    options = {"axes": plan.axes, "at": plan.at, "check": plan.must_check(target.device)}
    return values, on_device(indices, target.device), options


def index_add(x: Array, key: Any, values: Any) -> None:
    """x[key] += values in place, where an index that is repeated counts each time, as numpy.add.at does.

    Equal places are added up in the order of the key, to the same bits on every device. Errors as in x[key].
    """
    if x.dtype == dtypes.bool_:
        raise DTypeError("index_add: bool cannot be added up; use astype(x, tensor.int64) first.")
    plan = plan_of(x.shape, parts_of(key))
    target = slice_view(x, plan.view)
    if plan.picks:
        values, indices, options = _prepared(target, plan, _values(values, target))
        INDEX_ADD(target, values, *indices, **options)
    else:
        target += _fitted(_values(values, target), target.shape)


def _fitted(values: Array, shape: Shape) -> Array:
    """Values broadcast to `shape`; as in NumPy they may have axes of size 1 too many in front."""
    extra = values.ndim - len(shape)
    if extra > 0 and values.shape[:extra] == (1,) * extra:
        values = reshape(values, values.shape[extra:])
    require_broadcast("x[key] = value", values.shape, shape)
    return broadcast_to(values, shape)


# --- x[mask] = the same value for all that a mask picks -------------------------------------------------


def _where_numpy(x: Any, mask: Any, values: Any) -> None:
    numpy.copyto(x, values, where=mask)


def _where_opencl(x: Array, mask: Array, values: Array) -> None:
    launch("a ? b : c", x.dtype, x, (mask, values, x), overwrites=True)


_ASSIGN_WHERE = primitive("assign_where", numpy=_where_numpy, opencl=_where_opencl, in_place=True)


def _set_where(target: Array, plan: Plan, values: Array) -> bool:
    """Assign without counting what the mask picks, hence without waiting, if the values do not ask for it."""
    if not plan.is_distinct or not plan.axes or plan.picks[0].by.ndim == 0:
        return False
    others = other_axes(target.ndim, plan.axes)
    shape = (1,) * (1 + len(others) - values.ndim) + values.shape
    extra = len(shape) - 1 - len(others)
    if shape[:extra] != (1,) * extra or shape[extra + plan.at] != 1:
        return False
    rest = shape[extra : extra + plan.at] + shape[extra + plan.at + 1 :]
    first, covered = plan.axes[0], len(plan.axes)
    values = reshape(values, (*rest[:first], *(1,) * covered, *rest[first:]))
    require_broadcast("x[mask] = value", values.shape, target.shape)
    (mask,) = on_device((plan.picks[0].by,), target.device)
    mask = copy(mask) if mask.storage.may_overlap(target.storage) else mask
    mask = reshape(mask, mask.shape + (1,) * (target.ndim - first - covered))
    _ASSIGN_WHERE(target, mask, values)
    return True
