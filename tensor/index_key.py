"""What x[key] means: a key taken apart by NumPy's rules, before any element is touched.

A key is made of integers, slices, `...`, None, index arrays and masks. It is two steps one after the other:
a view, by what needs no copy, and then picking along some axes of that view by index arrays.

    x[1, ::2, [3, 0]]   is   x[1, ::2, :], and then axis 1 of that picked by [3, 0]

A mask is the index arrays of its true elements, one per axis that it covers. Index arrays are broadcast
together; their common axes stand in the result where the arrays stood in the key if those (and the integers
beside them) were neighbours, else in front. That is `at`.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from tensor.array import Array, Shape
from tensor.device import Device
from tensor.dtypes import HostArray
from tensor.errors import BadIndexError, BadIndexTypeError
from tensor.searching import nonzero

ViewKey = tuple[int | slice | None, ...]
Index = HostArray | Array
_ALL = slice(None)
_PLAIN = frozenset({int, slice, type(None), type(Ellipsis)})


@dataclass(frozen=True, eq=False)
class Pick:
    """What one array in the key picks: along `axes` of the view, which are those of x from `axis` on, by
    integers (of one axis) or by a mask."""

    axes: Shape
    by: Index
    axis: int

    @property
    def is_mask(self) -> bool:
        return self.by.dtype.kind == "b"


@dataclass(frozen=True, eq=False)
class Plan:
    """x[key] = the view x[view], picked; the axes that all picks make begin at axis `at` of the result."""

    shape: Shape  # of x
    view: ViewKey
    picks: tuple[Pick, ...]
    at: int

    @property
    def axes(self) -> Shape:
        """All axes of the view that are picked."""
        return tuple(axis for pick in self.picks for axis in pick.axes)

    @property
    def is_distinct(self) -> bool:
        """Whether the key surely names no element twice."""
        return len(self.picks) == 1 and self.picks[0].is_mask

    def must_check(self, device: Device) -> bool:
        """Whether there are indices that have not been checked yet, and can be: outside record()."""
        unknown = any(isinstance(pick.by, Array) and not pick.is_mask for pick in self.picks)
        return unknown and device.queue.recording is None

    def indices(self) -> tuple[Index, ...]:
        """One index array for each of `axes`, checked if it is on the host; raises BadIndexError.

        Counts device masks, which waits; raises RecordError for those in record().
        """
        found = [_indices_of(pick) for pick in self.picks]
        if all(prod(each[0].shape) for each in found):  # else nothing is picked, wherever the others lead
            for pick in self.picks:
                if isinstance(pick.by, numpy.ndarray) and not pick.is_mask:
                    require_in_range(pick.by, self.shape[pick.axis], pick.axis, self.shape)
        return tuple(index for each in found for index in each)


def parts_of(key: Any) -> tuple[Any, ...]:
    """The key as a tuple."""
    return key if isinstance(key, tuple) else (key,)


def is_plain(parts: tuple[Any, ...]) -> bool:
    """Whether the key obviously is a view, which then need not cost more than a view does."""
    return all(type(each) in _PLAIN for each in parts)


def view_key(shape: Shape, parts: tuple[Any, ...]) -> ViewKey:
    """A plain key with one entry per axis (and None for new ones), integers not negative."""
    missing = _missing_axes(shape, parts, sum(each is not None and each is not Ellipsis for each in parts))
    filled: list[Any] = []
    for each in parts:
        filled += [_ALL] * missing if each is Ellipsis else [each]
    if Ellipsis not in parts:
        filled += [_ALL] * missing
    axis, result = 0, []
    for each in filled:
        result.append(_view_entry(each, axis, shape))
        axis += each is not None
    return tuple(result)


def _missing_axes(shape: Shape, parts: tuple[Any, ...], taken: int) -> int:
    """How many axes the key says nothing about: those of `...`, or the last ones."""
    if taken > len(shape):
        raise BadIndexError(
            f"Index {parts!r} takes {taken} axes, an array of shape {shape} has {len(shape)}."
        )
    if sum(each is Ellipsis for each in parts) > 1:
        raise BadIndexError(f"Index {parts!r} has more than one `...`.")
    return len(shape) - taken


def _view_entry(entry: Any, axis: int, shape: Shape) -> int | slice | None:
    if isinstance(entry, int):
        size = shape[axis]
        if not -size <= entry < size:
            raise BadIndexError(f"Index {entry} is out of range for axis {axis} of shape {shape}.")
        return entry + size if entry < 0 else entry
    if isinstance(entry, slice) and entry.step == 0:
        raise BadIndexError("The step of a slice must not be 0.")
    return entry  # type: ignore[no-any-return]  # None or a slice


# --- keys with arrays ---------------------------------------------------------------------------------------


def plan_of(shape: Shape, parts: tuple[Any, ...]) -> Plan:
    """What any key of an array of this shape means; raises BadIndexError, BadIndexTypeError."""
    entries = [each if type(each) in _PLAIN else _entry(each) for each in parts]
    missing = _missing_axes(shape, parts, sum(map(_axes_taken, entries)))
    if not any(each is Ellipsis for each in entries):
        entries.append(Ellipsis)
    view: list[int | slice | None] = []
    picks: list[Pick] = []
    stood: list[tuple[int, int]] = []  # where arrays and integers stood: in the key, and in the result
    axis = kept = others = 0  # axes of x used up; axes of the view so far; those of them that are not picked
    for position, each in enumerate(entries):
        taken = missing if each is Ellipsis else _axes_taken(each)
        if isinstance(each, int | numpy.ndarray | Array):
            stood.append((position, others))
        if isinstance(each, numpy.ndarray | Array):
            made = max(taken, 1)  # a mask without axes picks along a new one
            picks.append(_pick(each, tuple(range(kept, kept + made)), axis, shape))
            view += [_ALL] * taken or [None]
        elif isinstance(each, int):
            made = 0
            view.append(_view_entry(each, axis, shape))
        else:
            made = missing if each is Ellipsis else 1
            others += made
            view += [_ALL] * missing if each is Ellipsis else [_view_entry(each, axis, shape)]
        axis, kept = axis + taken, kept + made
    return Plan(shape, tuple(view), tuple(picks), _at(stood))


def _at(stood: list[tuple[int, int]]) -> int:
    """NumPy's rule: where the arrays stood if they were neighbours, else in front."""
    if not stood:
        return 0
    (first, at), (last, _) = stood[0], stood[-1]
    return at if last - first == len(stood) - 1 else 0


def _entry(part: Any) -> Any:
    """A part of the key as an int, a slice, or an array of integers or bool."""
    if isinstance(part, slice):
        return part
    entry: Index = part if isinstance(part, Array) else _host_entry(part)
    if entry.dtype.kind not in "iub":
        raise BadIndexTypeError(f"An index array holds integers or bool, not {entry.dtype.name}; use astype.")
    on_host = not isinstance(entry, Array) or entry.device.queue.recording is None
    return int(entry) if entry.ndim == 0 and entry.dtype.kind != "b" and on_host else entry


def _host_entry(part: Any) -> HostArray:
    try:
        values = numpy.asarray(part)
    except ValueError as error:
        raise BadIndexError(f"The index {part!r} is not rectangular: {error}") from error
    if isinstance(part, list | tuple) and values.size == 0:
        return values.astype(numpy.int64)
    if values.dtype.kind not in "iub":
        raise BadIndexTypeError(
            "Arrays are indexed with integers, slices, `...`, None, and arrays or lists of integers or bool; "
            f"got {part!r}."
        )
    return values if values.dtype.kind == "b" else values.astype(numpy.int64, copy=False)


def _axes_taken(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    is_mask = isinstance(entry, numpy.ndarray | Array) and entry.dtype.kind == "b"
    return int(entry.ndim) if is_mask else 1


def _pick(by: Index, axes: Shape, axis: int, shape: Shape) -> Pick:
    """The pick along `axes` of the view, which are those of x from `axis` on; raises BadIndexError for a
    mask that does not fit."""
    covered = shape[axis : axis + by.ndim]
    if by.dtype.kind != "b":
        return Pick(axes, by, axis)
    if any(given not in (0, size) for given, size in zip(by.shape, covered, strict=True)):
        raise BadIndexError(f"A mask of shape {by.shape} does not fit axes of sizes {covered} of {shape}.")
    if by.shape != covered:  # as in NumPy, an empty mask fits any axis, and picks nothing
        by = numpy.zeros(covered, numpy.bool_)
    return Pick(axes, by, axis)


def _indices_of(pick: Pick) -> tuple[Index, ...]:
    by = pick.by
    if not pick.is_mask:
        return (by,)
    if by.ndim == 0:
        return (numpy.zeros(int(bool(by)), numpy.int64),)
    return nonzero(by) if isinstance(by, Array) else numpy.nonzero(by)


def require_in_range(indices: HostArray, size: int, axis: int, shape: Shape) -> None:
    """Raise BadIndexError, with the first bad index, if one is out of range."""
    if indices.size and (int(indices.max()) >= size or int(indices.min()) < -size):
        bad = indices[(indices >= size) | (indices < -size)].flat[0]
        raise BadIndexError(f"Index {bad} is out of range for axis {axis} of shape {shape}.")
