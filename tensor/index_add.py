"""Adding with index arrays, where a repeated index counts as often as it stands there: numpy.add.at.

Sums of floats depend on their order, so the order is fixed: that of the entries. On a CPU they are added one
after the other (in_order.py). On a GPU they are sorted by place first, which keeps the order of equal ones,
and the first entry of each place adds them all.
"""

from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape, contiguous_strides
from tensor.creation import zeros
from tensor.dtypes import OPENCL_NAMES
from tensor.gather import in_range, picked_first, take_unchecked
from tensor.in_order import write_in_order
from tensor.kernel import built
from tensor.layout import item_sizes
from tensor.places import pack_longs, require_all_in_range, table
from tensor.pointwise import launch
from tensor.primitive import primitive
from tensor.scatter import one_step
from tensor.sorting import argsort
from tensor.table_walk import Walk, picked_walk


def _add(x: Any, values: Any, *indices: Any, axes: Shape, at: int, check: bool) -> None:
    target = picked_first(x, axes)
    common = values.ndim - (x.ndim - len(axes))
    moved = numpy.moveaxis(values, range(at, at + common), range(common))
    there, together = in_range(target.shape, indices)
    if there.all():
        numpy.add.at(target, indices, moved)
        return
    if check:
        require_all_in_range(x.shape, axes, indices)
    numpy.add.at(target, tuple(each[there] for each in together), moved[there])


def _add_opencl(x: Array, values: Array, *indices: Array, axes: Shape, at: int, check: bool) -> None:
    steps = table(x.shape, axes, indices, tuple(x.strides[axis] for axis in axes), check)
    if not values.size:
        return
    values, along = one_step(values, at, values.ndim - (x.ndim - len(axes)))
    way = picked_walk(x, values, axes, at, along, len(steps), has_fast_axis=True)
    if x.device.kind == "cpu":
        write_in_order("+=", OPENCL_NAMES[x.dtype], way, steps, x, values)
    else:
        sizes = tuple(x.shape[axis] for axis in axes)
        places = table(x.shape, axes, indices, contiguous_strides(sizes))
        _add_sorted(way, prod(sizes), places, steps, x, values)


def _add_sorted(way: Walk, count: int, places: Array, steps: Array, x: Array, values: Array) -> None:
    keys = Array.new(places.shape, dtypes.int32 if count < 2**31 else dtypes.int64, x.device)
    launch("a < 0 ? -1 : a", dtypes.int64, keys, (places,))  # half the bits are sorted in half the time
    order = argsort(keys, stable=True)
    ordered = take_unchecked(keys, order)
    defines = {"T": OPENCL_NAMES[x.dtype], "T_PLACE": OPENCL_NAMES[keys.dtype], "INDEX": way.index}
    kernel = built(x.device, "index_add.cl", "index_add", defines)
    total = prod(way.sizes)
    global_size, local_size = item_sizes(x.device.compute_units, total)
    head = (*pack_longs(way.sizes), len(way.sizes), way.table_axis, total, order.buffer, ordered.buffer)
    target = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    source = (values.buffer, values.offset, *way.strides[1])
    kernel(global_size, *head, *target, *source, local_size=local_size)


INDEX_ADD = primitive("index_add", numpy=_add, opencl=_add_opencl, in_place=True)


def gather_backward(gradient: Array, shape: Shape, *indices: Array, axes: Shape, at: int) -> Array:
    """The gradient of x (of this shape) from that of `gather(x, *indices)`: summed where x was read several
    times."""
    whole = zeros(shape, gradient.dtype, gradient.device)
    INDEX_ADD(whole, gradient, *indices, axes=axes, at=at, check=False)
    return whole
