"""Where the elements are that are not zero, and how many."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.constants import constant
from tensor.dtypes import OPENCL_NAMES
from tensor.elementwise import not_equal
from tensor.errors import ShapeError
from tensor.kernel import built
from tensor.pointwise import launch
from tensor.primitive import primitive, require_known_size
from tensor.reduction import Axis, sum
from tensor.scan import scan
from tensor.views import contiguous

_CPU_BLOCK = 16384  # elements whose places one work-item finds
_GPU_BLOCK = 2048  # … or one work-group


def _nonzero(x: Any) -> Any:
    return numpy.stack(numpy.nonzero(x))


def _nonzero_opencl(x: Array) -> Array:
    flat = _flat_places(contiguous(x))
    if x.ndim == 1:
        return flat.reshape((1, len(flat)))
    output = Array.new((x.ndim, len(flat)), dtypes.int64, x.device)
    inner = 1
    for axis in range(x.ndim - 1, -1, -1):
        sizes = [constant(each, dtypes.int64, x.device) for each in (inner, x.shape[axis])]
        launch("a / b % c", dtypes.int64, output[axis], (flat, *sizes))
        inner *= x.shape[axis]
    return output


def _flat_places(x: Array) -> Array:
    """The places, in memory, of the elements of contiguous x that are not 0: int64, ascending."""
    device = x.device
    each, items = (_CPU_BLOCK, 1) if device.kind == "cpu" else (_GPU_BLOCK, 256)
    blocks = -(-x.size // each)
    if blocks == 0:
        return Array.new((0,), dtypes.int64, device)
    defines = {"T": OPENCL_NAMES[x.dtype]}
    counts = Array.new((1, blocks, 1), dtypes.int64, device)
    source = (x.size, each, x.buffer, x.offset)
    built(device, "compact.cl", "count", defines)(
        (blocks * items,), *source, counts.buffer, local_size=(items,)
    )
    before = Array.new((1, blocks + 1, 1), dtypes.int64, device)
    scan("cumulative_sum", counts, before, True)
    output = Array.new((int(before[0, -1, 0].peek()),), dtypes.int64, device)
    built(device, "compact.cl", "places", defines)(
        (blocks * items,), *source, before.buffer, output.buffer, local_size=(items,)
    )
    return output


_NONZERO = primitive("nonzero", numpy=_nonzero, opencl=_nonzero_opencl)


def nonzero_places(x: Array) -> Array:
    """The places of the elements that are not 0 in row-major order, as `nonzero`, in one array [x.ndim,
    count]."""
    if x.ndim == 0:
        raise ShapeError("nonzero: an array without axes has no places; use x.reshape(1).")
    require_known_size("nonzero", x)
    return _NONZERO(x)


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """The places of the elements that are not 0, in row-major order: an int64 array of indices for each axis.

    Waits for the device, which has to say how many there are; raises RecordError inside record().
    """
    places = nonzero_places(x)
    return tuple(places[axis] for axis in range(x.ndim))


def count_nonzero(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many elements along axes (all by default) are not 0, as int64."""
    return sum(x if x.dtype == dtypes.bool_ else not_equal(x, 0), axis=axis, keepdims=keepdims)
