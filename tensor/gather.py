"""Reading with index arrays: axes of a view picked by indices, in NumPy's definition and as a kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy

from tensor.array import Array, Shape
from tensor.device import Device
from tensor.dtypes import DType, HostArray
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH, collapse, item_sizes
from tensor.places import Packed, common_shape, pack_longs, require_all_in_range, table
from tensor.primitive import primitive

UNSIGNED = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}  # what moves elements of so many bytes


# --- shapes -------------------------------------------------------------------------------------------------


def other_axes(ndim: int, axes: Shape) -> Shape:
    """The axes that are not picked."""
    return tuple(axis for axis in range(ndim) if axis not in axes)


def picked_shape(shape: Shape, axes: Shape, at: int, common: Shape) -> Shape:
    """The shape of the result: the other axes, with the common axes of the index arrays at `at`."""
    others = tuple(shape[axis] for axis in other_axes(len(shape), axes))
    return (*others[:at], *common, *others[at:])


# --- NumPy's definition -------------------------------------------------------------------------------------


def _gather(x: Any, *indices: Any, axes: Shape, at: int, check: bool) -> Any:
    source = picked_first(x, axes)
    try:
        picked = source[indices]
    except IndexError:
        if check:
            require_all_in_range(x.shape, axes, indices)
        picked = _gather_what_is_there(source, indices)
    common = picked.ndim - (x.ndim - len(axes))
    return numpy.moveaxis(picked, range(common), range(at, at + common))


def picked_first(x: HostArray, axes: Shape) -> HostArray:
    """The view with the picked axes in front."""
    return x.transpose(*axes, *other_axes(x.ndim, axes))


def in_range(shape: Shape, indices: Any) -> tuple[HostArray, Sequence[HostArray]]:
    """Which entries of indices along the first axes of `shape` exist, and the indices broadcast together."""
    together = numpy.broadcast_arrays(*indices)
    pairs = zip(together, shape, strict=False)
    there = numpy.logical_and.reduce([(each >= -size) & (each < size) for each, size in pairs])
    return there, together


def _gather_what_is_there(source: HostArray, indices: Any) -> HostArray:
    there, together = in_range(source.shape, indices)
    picked = numpy.full((*there.shape, *source.shape[len(indices) :]), missing(source.dtype), source.dtype)
    picked[there] = source[tuple(each[there] for each in together)]
    return picked


def missing(dtype: DType) -> Any:
    """What is read where an index leads nowhere: NaN, or 0 where there is no NaN."""
    return dtype.type(numpy.nan if dtype.kind in "fc" else 0)


# --- the kernel ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walk:
    """How a kernel walks over the picked shape: the table's axis, the sizes, and each side's strides."""

    global_size: Shape
    local_size: Shape
    index: str
    head: tuple[object, ...]
    strides: tuple[Packed, ...]


@lru_cache(maxsize=4096)
def walk(device: Device, count: int, before: Shape, after: Shape, *sides: tuple[Shape, int, Shape]) -> Walk:
    """Over axes of sizes `before`, then the table's `count` entries, then axes of sizes `after`.

    Each side has its strides along those three; that along a table is given as 0.
    """
    first, first_steps = _joined(before, [side[0] for side in sides])
    last, last_steps = _joined(after, [side[2] for side in sides])
    sizes = [*first, count, *last]
    rows, columns = prod(sizes[:-1]), sizes[-1]
    each_column = min(columns, CPU_ELEMENTS_EACH)
    each_row = max(1, CPU_ELEMENTS_EACH // each_column)
    if device.kind == "cpu":
        global_size: Shape = (-(-columns // each_column), -(-rows // each_row))
        local_size: Shape = (1, 1)
    else:
        global_size, local_size = item_sizes(device.compute_units, rows * columns)
    head = (*pack_longs(sizes), len(sizes), len(first), rows, each_row, each_column)
    strides = (
        pack_longs([*front, side[1], *back])
        for front, side, back in zip(first_steps, sides, last_steps, strict=True)
    )
    index = "uint" if rows * columns < 2**31 else "ulong"
    return Walk(global_size, local_size, index, head, tuple(strides))


def _joined(sizes: Shape, strides: list[Shape]) -> tuple[list[int], list[list[int]]]:
    """As `collapse`, but possibly no axes at all."""
    return ([], [[] for _ in strides]) if prod(sizes) == 1 else collapse(sizes, tuple(strides))


def _gather_opencl(x: Array, *indices: Array, axes: Shape, at: int, check: bool) -> Array:
    steps = table(x.shape, axes, indices, tuple(x.strides[axis] for axis in axes), check)
    common = common_shape(tuple(each.shape for each in indices))
    output = Array.new(picked_shape(x.shape, axes, at, common), x.dtype, x.device)
    if not output.size:
        return output
    before, after = split(x, axes, at)
    way = walk(x.device, len(steps), before[0], after[0], (before[1], 0, after[1]))
    kernel = built(x.device, "gather.cl", "gather", {"T": UNSIGNED[x.dtype.itemsize], "INDEX": way.index})
    bits = int.from_bytes(missing(x.dtype).tobytes(), "little")
    source = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    kernel(way.global_size, *way.head, *source, output.buffer, bits, local_size=way.local_size)
    return output


def split(x: Array, axes: Shape, at: int) -> tuple[tuple[Shape, Shape], tuple[Shape, Shape]]:
    """Sizes and strides of the axes that are not picked, in front of `at` and behind."""
    others = other_axes(x.ndim, axes)
    sizes, strides = tuple(x.shape[a] for a in others), tuple(x.strides[a] for a in others)
    return (sizes[:at], strides[:at]), (sizes[at:], strides[at:])


GATHER = primitive("gather", numpy=_gather, opencl=_gather_opencl)
