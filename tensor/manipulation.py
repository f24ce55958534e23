"""Arrays from other arrays' elements: views where strides can say it, else one copy launched per part."""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.axes import one_axis, sizes_of, some_axes
from tensor.conversion import astype
from tensor.creation import asarray
from tensor.elementwise import not_equal, subtract
from tensor.errors import ShapeError
from tensor.gather import take_unchecked
from tensor.layout import broadcast_shape
from tensor.pointwise import launch
from tensor.primitive import primitive, require_known_size
from tensor.views import broadcast_to, permute_dims, reshape

Axes = int | Sequence[int]
_SIDE_BY_SIDE = 8  # repetitions of single elements for which copies with strides beat very short rows


def along(axis: int, key: Any) -> tuple[Any, ...]:
    """The key that takes x[key] along one axis and everything along the others."""
    return (*(slice(None),) * axis, key)


# --- other views --------------------------------------------------------------------------------------------


def expand_dims(x: Array, /, axis: Axes = 0) -> Array:
    """The view with an axis of length 1 at each of these places of the result."""
    ndim = x.ndim + (len(axis) if isinstance(axis, Sequence) else 1)
    new = some_axes("expand_dims", axis, (1,) * ndim)
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if place in new else next(sizes) for place in range(ndim)))


def squeeze(x: Array, /, axis: Axes) -> Array:
    """The view without these axes. Raises ShapeError if one is not of length 1."""
    gone = some_axes("squeeze", axis, x.shape)
    if any(x.shape[each] != 1 for each in gone):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} has another length than 1.")
    return reshape(x, tuple(size for place, size in enumerate(x.shape) if place not in gone))


def moveaxis(x: Array, source: Axes, destination: Axes, /) -> Array:
    """The view with the axes `source` at the places `destination`, the others in their order."""
    old, new = some_axes("moveaxis", source, x.shape), some_axes("moveaxis", destination, x.shape)
    if len(old) != len(new):
        raise ShapeError(f"moveaxis: {len(old)} axes cannot go to {len(new)} places.")
    order = [place for place in range(x.ndim) if place not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, order)


def matrix_transpose(x: Array, /) -> Array:
    """The view with the last two axes exchanged."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: expected matrices […, M, N], got shape {x.shape}.")
    return moveaxis(x, -1, -2)


def flip(x: Array, /, *, axis: Axes | None = None) -> Array:
    """The view with the order of elements along axes (all by default) reversed."""
    turned = some_axes("flip", axis, x.shape)
    return x[tuple(slice(None, None, -1 if place in turned else 1) for place in range(x.ndim))]


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """Views of all arrays in their common shape."""
    shape = broadcast_shape("broadcast_arrays", *(each.shape for each in arrays)) if arrays else ()
    return [broadcast_to(each, shape) for each in arrays]


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The views x[0], x[1], … along an axis."""
    place = one_axis("unstack", axis, x.shape)
    return tuple(x[along(place, each)] for each in range(x.shape[place]))


# --- joining ------------------------------------------------------------------------------------------------


def _concat_opencl(*parts: Array, axis: int) -> Array:
    first = parts[0]
    ends = list(accumulate((each.shape[axis] for each in parts), initial=0))
    shape = (*first.shape[:axis], ends[-1], *first.shape[axis + 1 :])
    output = Array.new(shape, first.dtype, first.device)
    for part, begin in zip(parts, ends, strict=False):
        target = output[along(axis, slice(begin, begin + part.shape[axis]))]
        launch("a", part.dtype, target, (part,))
    return output


_CONCAT = primitive(
    "concat", numpy=lambda *parts, axis: numpy.concatenate(parts, axis), opencl=_concat_opencl
)


def _promoted(where: str, arrays: Sequence[Array]) -> list[Array]:
    if len(arrays) == 0:
        raise ShapeError(f"{where}: expected at least one array, got none.")
    common = reduce(lambda a, b: dtypes.promote(a, b, where), (each.dtype for each in arrays))
    return [astype(each, common, copy=False) for each in arrays]


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """The arrays one after another along an axis, in their common dtype; None flattens them first."""
    parts = _promoted("concat", arrays)
    if axis is None:
        return _CONCAT(*(reshape(each, (-1,)) for each in parts), axis=0)
    place, shape = one_axis("concat", axis, parts[0].shape), parts[0].shape
    for each in parts:
        same = len(each.shape) == len(shape) and all(
            n == m or a == place for a, (n, m) in enumerate(zip(each.shape, shape, strict=True))
        )
        if not same:
            raise ShapeError(
                f"concat: shapes {shape} and {each.shape} have to be the same but for axis {axis}."
            )
    return _CONCAT(*parts, axis=place)


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """The arrays, all of one shape, side by side along a new axis, in their common dtype."""
    for each in arrays:
        if each.shape != arrays[0].shape:
            raise ShapeError(f"stack: expected arrays of one shape, got {arrays[0].shape} and {each.shape}.")
    parts = _promoted("stack", arrays)
    place = one_axis("stack", axis, (1, *parts[0].shape))
    return _CONCAT(*(expand_dims(each, axis=place) for each in parts), axis=place)


def roll(x: Array, /, shift: Axes, *, axis: Axes | None = None) -> Array:
    """x with its elements moved on by `shift` places along axes, those beyond the end coming in at the
    beginning; without axes as if x were flat."""
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    shifts, axes = numpy.broadcast_arrays(shift, axis)
    for by, each in zip(shifts.flat, axes.flat, strict=True):
        place = one_axis("roll", int(each), x.shape)
        cut = int(-by) % max(x.shape[place], 1)
        if cut:
            x = _CONCAT(x[along(place, slice(cut, None))], x[along(place, slice(cut))], axis=place)
    return x


# --- repeating ----------------------------------------------------------------------------------------------


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    """Each element along an axis (of the flat array by default) `repeats` times, or as often as an integer
    array says for each; that array is read on the host."""
    if axis is None:
        return repeat(reshape(x, (-1,)), repeats, axis=0)
    place = one_axis("repeat", axis, x.shape)
    if isinstance(repeats, Array) and repeats.size != 1:
        require_known_size("repeat", repeats)
        if repeats.shape != x.shape[place : place + 1]:
            raise ShapeError(
                f"repeat: {repeats.shape} counts do not fit the {x.shape[place]} places of axis {axis}."
            )
        return take_unchecked(x, _chosen(repeats), axis=place)
    times = _count("repeat", int(repeats))
    if 1 < times <= _SIDE_BY_SIDE and x.shape[place + 1 :] == ():
        return reshape(stack([x] * times, axis=-1), (*x.shape[:place], x.shape[place] * times))
    wide = (*x.shape[: place + 1], times, *x.shape[place + 1 :])
    joined = (*x.shape[:place], x.shape[place] * times, *x.shape[place + 1 :])
    return reshape(broadcast_to(expand_dims(x, axis=place + 1), wide), joined)


def _count(where: str, times: int) -> int:
    if times < 0:
        raise ShapeError(f"{where}: nothing can be repeated {times} times.")
    return times


def _chosen(repeats: Array) -> Array:
    counts = repeats.numpy()
    return asarray(numpy.repeat(numpy.arange(len(counts)), counts), device=repeats.device)


def tile(x: Array, repetitions: int | tuple[int, ...], /) -> Array:
    """x laid side by side `repetitions` times along each axis; axes that x or the tuple lack are added in
    front."""
    given = tuple(_count("tile", each) for each in sizes_of("tile", repetitions))
    ndim = max(x.ndim, len(given))
    times = (1,) * (ndim - len(given)) + given
    sizes = (1,) * (ndim - x.ndim) + x.shape
    apart: Shape = tuple(n for size in sizes for n in (1, size))
    wide: Shape = tuple(n for pair in zip(times, sizes, strict=True) for n in pair)
    joined = tuple(n * m for n, m in zip(times, sizes, strict=True))
    return reshape(broadcast_to(reshape(x, apart), wide), joined)


# --- differences --------------------------------------------------------------------------------------------


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """The differences between neighbours along an axis, n times over; for bool, whether they differ.

    `prepend` and `append` are joined to x along that axis first.
    """
    place = one_axis("diff", axis, x.shape)
    parts = [each for each in (prepend, x, append) if each is not None]
    result = concat(parts, axis=place) if len(parts) > 1 else x
    apart = not_equal if result.dtype == dtypes.bool_ else subtract
    for _ in range(n):
        result = apart(result[along(place, slice(1, None))], result[along(place, slice(-1))])
    return result
