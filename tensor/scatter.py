"""Writing with index arrays: values into places picked by indices. Of several values for one place the last
one wins, on every device, as in NumPy.

Kernels run in no order. On a CPU entries are therefore written one after the other (in_order.py). On a GPU
they first claim their places: claim[place] becomes the largest entry number that leads there, by an integer
maximum, whose result no order changes, and only that entry writes then.
"""

from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape, contiguous_strides
from tensor.errors import ShapeError
from tensor.gather import UNSIGNED, in_range, picked_first
from tensor.in_order import write_in_order
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH
from tensor.places import launch_sizes, require_all_in_range, table
from tensor.primitive import primitive
from tensor.table_walk import Walk, picked_walk
from tensor.views import copy


def _scatter(x: Any, values: Any, *indices: Any, axes: Shape, at: int, check: bool, distinct: bool) -> None:
    target = picked_first(x, axes)
    common = values.ndim - (x.ndim - len(axes))
    moved = numpy.moveaxis(values, range(at, at + common), range(common))
    try:
        target[indices] = moved
    except IndexError:
        if check:
            require_all_in_range(x.shape, axes, indices)
        there, together = in_range(target.shape, indices)
        target[tuple(each[there] for each in together)] = moved[there]


def _scatter_opencl(
    x: Array, values: Array, *indices: Array, axes: Shape, at: int, check: bool, distinct: bool
) -> None:
    steps = table(x.shape, axes, indices, tuple(x.strides[axis] for axis in axes), check)
    if not values.size:
        return
    values, along = one_step(values, at, values.ndim - (x.ndim - len(axes)))
    if distinct or along == 0:  # where all entries have the same value, any may win
        _write(x, values, steps, picked_walk(x, values, axes, at, along, len(steps)))
        return
    if x.device.kind == "cpu":
        way = picked_walk(x, values, axes, at, along, len(steps), has_fast_axis=True)
        write_in_order("=", UNSIGNED[x.dtype.itemsize], way, steps, x, values)
        return
    sizes = tuple(x.shape[axis] for axis in axes)
    places = table(x.shape, axes, indices, contiguous_strides(sizes))
    way = picked_walk(x, values, axes, at, along, len(steps))
    _write(x, values, steps, way, (places, _claimed(places, prod(sizes))))


def _write(
    x: Array, values: Array, steps: Array, way: Walk, claims: tuple[Array, Array] | None = None
) -> None:
    places, claim = claims or (steps, steps)  # there has to be some buffer
    kernel = built(x.device, "scatter.cl", "scatter", {"T": UNSIGNED[x.dtype.itemsize], "INDEX": way.index})
    target = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    source = (values.buffer, values.offset, *way.strides[1])
    global_size, local_size = way.launch_sizes(x.device)
    last = (int(claims is not None), places.buffer, claim.buffer)
    kernel(global_size, *way.head, *target, *source, *last, local_size=local_size)


def one_step(values: Array, at: int, common: int) -> tuple[Array, int]:
    """The values, copied if need be, so that one step leads along all the common axes; and that step."""
    sizes, strides = values.shape[at : at + common], values.strides[at : at + common]
    if all(n == 1 or step == 0 for n, step in zip(sizes, strides, strict=True)):
        return values, 0
    step = strides[-1]
    if any(
        n != 1 and s != step * w for n, s, w in zip(sizes, strides, contiguous_strides(sizes), strict=True)
    ):
        values = copy(values)
        step = prod(values.shape[at + common :])
    return values, step


def _claimed(places: Array, count: int) -> Array:
    """For each of `count` places that is used, the last entry that leads there."""
    entries = len(places)
    if entries >= 2**32:
        raise ShapeError(f"x[key] = values: {entries} indices at once; at most {2**32 - 1} can be.")
    claim = Array.new((count,), dtypes.uint32, places.device)
    global_size, local_size = launch_sizes(places.device, entries)
    for name in ("begin_claims", "claims"):
        kernel = built(places.device, "places.cl", name)
        kernel(global_size, entries, CPU_ELEMENTS_EACH, places.buffer, claim.buffer, local_size=local_size)
    return claim


SCATTER = primitive("scatter", numpy=_scatter, opencl=_scatter_opencl, in_place=True)
