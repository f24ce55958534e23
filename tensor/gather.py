"""Reading with index arrays: axes of a view picked by indices, in NumPy's definition and as a kernel."""

from collections.abc import Sequence
from typing import Any

import numpy

from tensor.array import Array, Shape
from tensor.dtypes import DType, HostArray, kind
from tensor.kernel import built
from tensor.places import common_shape, require_all_in_range, table
from tensor.primitive import primitive
from tensor.table_walk import other_axes, split, walk

UNSIGNED = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}  # what moves elements of so many bytes


# --- shapes -------------------------------------------------------------------------------------------------


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
    return dtype.type(numpy.nan if kind(dtype) in "fc" else 0)


# --- the kernel ---------------------------------------------------------------------------------------------


def _gather_opencl(x: Array, *indices: Array, axes: Shape, at: int, check: bool) -> Array:
    steps = table(x.shape, axes, indices, tuple(x.strides[axis] for axis in axes), check)
    common = common_shape(tuple(each.shape for each in indices))
    output = Array.new(picked_shape(x.shape, axes, at, common), x.dtype, x.device)
    if not output.size:
        return output
    before, after = split(x, axes, at)
    way = walk(before[0], len(steps), after[0], (before[1], 0, after[1]))
    global_size, local_size = way.launch_sizes(x.device)
    kernel = built(x.device, "gather.cl", "gather", {"T": UNSIGNED[x.dtype.itemsize], "INDEX": way.index})
    bits = int.from_bytes(missing(x.dtype).tobytes(), "little")
    source = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    kernel(global_size, *way.head, *source, output.buffer, bits, local_size=local_size)
    return output


GATHER = primitive("gather", numpy=_gather, opencl=_gather_opencl, stores=True)


def take_unchecked(x: Array, indices: Array, axis: int = 0) -> Array:
    """As `take` for indices that are known to be in range: it waits for nothing."""
    return GATHER(x, indices, axes=(axis,), at=axis, check=False)
