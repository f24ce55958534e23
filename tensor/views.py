"""Views: other shapes and strides over the same memory; and copying between layouts, which is what they
replace."""

from math import prod
from typing import Any

from tensor.array import Array, Layout, Shape, contiguous_strides
from tensor.axes import sizes_of
from tensor.conversion import astype
from tensor.errors import ShapeError
from tensor.layout import broadcast_strides, collapse
from tensor.pointwise import launch, producer
from tensor.prepared import prepared
from tensor.primitive import Prepared, primitive

ViewKey = tuple[int | slice | None, ...]


# --- copies -------------------------------------------------------------------------------------------------


def _prepare_copy(x: Layout) -> Prepared:
    return producer("a", x.dtype, x.dtype, x)


_COPY = primitive("copy", numpy=lambda x: x.copy(), prepare=_prepare_copy, stores=True)


@prepared
def copy(x: Array) -> Array:
    """A contiguous copy with memory of its own."""
    return _COPY(x)


def contiguous(x: Array) -> Array:
    """x itself if it is contiguous, else a contiguous copy."""
    return x if x.is_contiguous else copy(x)


def _assign_numpy(target: Any, value: Any) -> None:
    target[...] = value


def _assign_opencl(target: Array, value: Array) -> None:
    launch("a", value.dtype, target, (value,))


_ASSIGN = primitive("assign", numpy=_assign_numpy, opencl=_assign_opencl, in_place=True, stores=True)


def assign(target: Array, value: Array) -> None:
    """target[...] = value, broadcast; both of one device."""
    if target.dtype != value.dtype:
        value = astype(value, target.dtype)
    require_broadcast("x[key] = value", value.shape, target.shape)
    if value.storage.may_overlap(target.storage):
        value = copy(value)
    _ASSIGN(target, value)


# --- reshape ------------------------------------------------------------------------------------------------


def _reshaped_strides(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Strides of the same elements under another shape, None if only a copy can have it."""
    sizes, (steps,) = collapse(shape, (strides,))
    sizes, steps = sizes[::-1], steps[::-1]
    result: list[int] = []
    block, inside = 0, 1  # the joined axis being cut, and how much of it is used
    for size in reversed(wanted):
        if size == 1:
            result.append(0)
            continue
        if inside == sizes[block] and block + 1 < len(sizes):
            block, inside = block + 1, 1
        if sizes[block] % (inside * size):
            return None
        result.append(steps[block] * inside)
        inside *= size
    return tuple(reversed(result))


def _reshape(x: Array, shape: Shape) -> Array:
    if x.is_contiguous:
        strides: Shape | None = contiguous_strides(shape)
    else:
        strides = _reshaped_strides(x.shape, x.strides, shape)
    if strides is None:
        x, strides = copy(x), contiguous_strides(shape)
    return Array(x.storage, shape, strides, x.offset, x.dtype)


_RESHAPE = primitive("reshape", view=_reshape)


def reshape(x: Array, /, shape: Any, *, copy: bool | None = None) -> Array:
    """The same elements in row-major order under another shape; one size may be −1. A view wherever strides
    allow, unless copy=True; raises ValueError where copy=False and they do not."""
    sizes = wanted = sizes_of("reshape", shape)
    known = prod(each for each in sizes if each != -1)
    if sizes.count(-1) == 1 and known and x.size % known == 0:
        sizes = tuple(x.size // known if each == -1 else each for each in sizes)
    if prod(sizes) != x.size or any(each < 0 for each in sizes):
        raise ShapeError(f"reshape: shape {x.shape} ({x.size} elements) cannot become {wanted}.")
    if copy:
        x = _COPY(x)
    if copy is False and not x.is_contiguous and _reshaped_strides(x.shape, x.strides, sizes) is None:
        raise ValueError(
            f"reshape(copy=False): strides {x.strides} of shape {x.shape} have no view as {sizes}."
        )
    return x if sizes == x.shape else _RESHAPE(x, shape=sizes)


# --- permute, broadcast -------------------------------------------------------------------------------------


def _permute(x: Array, axes: Shape) -> Array:
    return Array(
        x.storage, tuple(x.shape[a] for a in axes), tuple(x.strides[a] for a in axes), x.offset, x.dtype
    )


_PERMUTE_DIMS = primitive("permute_dims", view=_permute)


def permute_dims(x: Array, axes: Any) -> Array:
    """The view whose axis i is axis axes[i] of x."""
    wanted = tuple(int(a) % max(x.ndim, 1) for a in axes)
    if sorted(wanted) != list(range(x.ndim)):
        raise ShapeError(f"permute_dims: axes {tuple(axes)} do not name each axis of shape {x.shape} once.")
    return _PERMUTE_DIMS(x, axes=wanted)


def _broadcast(x: Array, shape: Shape) -> Array:
    return Array(x.storage, shape, broadcast_strides(x.shape, x.strides, shape), x.offset, x.dtype)


def require_broadcast(where: str, shape: Shape, wanted: Shape) -> None:
    """Raise ShapeError unless an array of `shape` can be broadcast to the `wanted` one."""
    missing = len(wanted) - len(shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, wanted[missing:], strict=True)):
        raise ShapeError(f"{where}: shape {shape} cannot be broadcast to {wanted}.")


_BROADCAST_TO = primitive("broadcast_to", view=_broadcast)


def broadcast_to(x: Array, shape: Any) -> Array:
    """The view of x repeated to `shape` by the rules of broadcasting."""
    wanted = tuple(shape)
    require_broadcast("broadcast_to", x.shape, wanted)
    return x if wanted == x.shape else _BROADCAST_TO(x, shape=wanted)


# --- indexing -----------------------------------------------------------------------------------------------


def _index(x: Array, key: ViewKey) -> Array:
    shape: list[int] = []
    strides: list[int] = []
    offset, axis = x.offset, 0
    for each in key:
        if each is None:
            shape.append(1)
            strides.append(0)
            continue
        if isinstance(each, slice):
            start, stop, step = each.indices(x.shape[axis])
            shape.append(len(range(start, stop, step)))
            strides.append(x.strides[axis] * step)
        else:
            start = each
        offset += start * x.strides[axis]
        axis += 1
    if 0 in shape:  # a slice may begin past the end, where no memory is
        offset = x.offset
    return Array(x.storage, tuple(shape), tuple(strides), offset, x.dtype)


_INDEX = primitive("index", view=_index)


def slice_view(x: Array, key: ViewKey) -> Array:
    """The view x[key] for a key with one entry per axis: integers not negative, slices, and None for new
    axes."""
    return _INDEX(x, key=key)
