"""The places of values among sorted ones."""

from typing import Literal

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.conversion import astype
from tensor.dtypes import OPENCL_NAMES
from tensor.errors import ShapeError
from tensor.indexing import take
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH, item_sizes
from tensor.primitive import primitive
from tensor.views import contiguous


def _searchsorted_opencl(x: Array, values: Array, right: bool) -> Array:
    x, values, device = contiguous(x), contiguous(values), x.device
    output = Array.new(values.shape, dtypes.int64, device)
    if output.size:
        size, local_size = item_sizes(0 if device.kind == "cpu" else device.compute_units, output.size)
        arguments = (len(x), output.size, CPU_ELEMENTS_EACH, int(right), x.buffer, x.offset)
        kernel = built(device, "search.cl", "search", {"T": OPENCL_NAMES[x.dtype]})
        kernel(size, *arguments, values.buffer, values.offset, output.buffer, local_size=local_size)
    return output


_SEARCHSORTED = primitive(
    "searchsorted",
    numpy=lambda x, values, right: numpy.asarray(numpy.searchsorted(x, values, "right" if right else "left")),
    opencl=_searchsorted_opencl,
)


def searchsorted(
    x1: Array, x2: Array, /, *, side: Literal["left", "right"] = "left", sorter: Array | None = None
) -> Array:
    """Where the values x2, of any shape, belong among ascending x1 [N]: int64 places from 0 to N.

    Equal elements lie behind the place for side "left", before it for "right"; NaN counts as largest.
    `sorter` [N] puts x1 in order, as `argsort(x1)` does.
    """
    if x1.ndim != 1 or side not in ("left", "right"):
        raise ShapeError(
            f'searchsorted: expected a vector and side "left" or "right", got {x1.shape} and {side!r}.'
        )
    dtype = dtypes.promote(x1.dtype, x2.dtype, "searchsorted")
    ascending = x1 if sorter is None else take(x1, sorter)
    values = [astype(each, dtype, copy=False) for each in (ascending, x2)]
    return _SEARCHSORTED(*values, right=side == "right")
