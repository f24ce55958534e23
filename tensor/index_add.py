"""Adding with index arrays, where a repeated index counts as often as it stands there: numpy.add.at.

Sums of floats depend on their order, so the order is fixed: that of the entries. On a CPU each work-item
owns some of the places and goes through all entries. On a GPU they are sorted by place first, which keeps the
order of equal ones, and the first entry of each place adds them all.
"""

from math import prod
from typing import Any

import numpy

from tensor.array import Array, Shape, contiguous_strides
from tensor.creation import zeros
from tensor.dtypes import OPENCL_NAMES
from tensor.gather import in_range, picked_first, take_unchecked
from tensor.kernel import DeviceKernel, built
from tensor.layout import CPU_ELEMENTS_EACH, item_sizes
from tensor.places import common_shape, pack_longs, require_all_in_range, table
from tensor.primitive import primitive
from tensor.scatter import one_step
from tensor.sorting import argsort
from tensor.table_walk import Walk, split, walk

_COLUMNS = 64  # at least, for one work-item on a CPU


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
    sizes = tuple(x.shape[axis] for axis in axes)
    places = table(x.shape, axes, indices, contiguous_strides(sizes))
    common = len(common_shape(tuple(each.shape for each in indices)))
    before, after = split(x, axes, at)
    values, along = one_step(values, at, common)
    sides = (before[1], 0, after[1]), (values.strides[:at], along, values.strides[at + common :])
    way = walk(before[0], len(steps), after[0], *sides, has_fast_axis=True)
    target = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    source = (values.buffer, values.offset, *way.strides[1])
    kernel = built(x.device, "index_add.cl", "index_add", {"T": OPENCL_NAMES[x.dtype], "INDEX": way.index})
    launch = _launch_cpu if x.device.kind == "cpu" else _launch_gpu
    launch(kernel, way, prod(sizes), places, (*target, *source))


def _launch_cpu(kernel: DeviceKernel, way: Walk, count: int, places: Array, sides: tuple[Any, ...]) -> None:
    """Columns, rows and places cut so that all units have something to do."""
    rows, columns, entries = prod(way.sizes[:-1]) // len(places), way.sizes[-1], len(places)
    each_row = max(1, CPU_ELEMENTS_EACH // (entries * columns))
    row_blocks = -(-rows // each_row)
    wanted = 2 * kernel.device.compute_units if entries * columns * rows > CPU_ELEMENTS_EACH else 1
    column_blocks = min(-(-wanted // row_blocks), max(1, columns // _COLUMNS))
    each_column = -(-columns // column_blocks)
    parts = min(-(-wanted // (row_blocks * column_blocks)), count)
    head = (*pack_longs(way.sizes), len(way.sizes), way.table_axis, rows, each_row, each_column)
    global_size = (-(-columns // each_column), row_blocks, parts)
    kernel(global_size, *head, count, places.buffer, *sides, local_size=(1, 1, 1))


def _launch_gpu(kernel: DeviceKernel, way: Walk, count: int, places: Array, sides: tuple[Any, ...]) -> None:
    order = argsort(places, stable=True)
    ordered = take_unchecked(places, order)
    total = prod(way.sizes)
    global_size, local_size = item_sizes(kernel.device.compute_units, total)
    head = (*pack_longs(way.sizes), len(way.sizes), way.table_axis, total)
    kernel(global_size, *head, order.buffer, ordered.buffer, *sides, local_size=local_size)


INDEX_ADD = primitive("index_add", numpy=_add, opencl=_add_opencl, in_place=True)


def gather_backward(gradient: Array, shape: Shape, *indices: Array, axes: Shape, at: int) -> Array:
    """The gradient of x (of this shape) from that of `gather(x, *indices)`: summed where x was read several
    times."""
    whole = zeros(shape, gradient.dtype, gradient.device)
    INDEX_ADD(whole, gradient, *indices, axes=axes, at=at, check=False)
    return whole
