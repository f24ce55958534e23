"""Picking elements by an array of indices."""

from math import prod
from typing import Any

import numpy

from tensor.array import Array
from tensor.dtypes import OPENCL_NAMES
from tensor.errors import DTypeError, ShapeError
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH, item_sizes
from tensor.primitive import primitive
from tensor.views import contiguous


def _missing(dtype: Any) -> Any:
    """What stands where an index does not exist: NaN, or 0 where there is no NaN."""
    return float("nan") if dtype.kind == "f" else 0


def _take(x: Any, indices: Any, axis: int) -> Any:
    valid = (indices >= 0) & (indices < x.shape[axis])
    if x.shape[axis] == 0:
        shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
        return numpy.full(shape, _missing(x.dtype), x.dtype)
    taken = numpy.take(x, numpy.where(valid, indices, 0), axis)
    taken[(slice(None),) * axis + (~valid,)] = _missing(x.dtype)
    return taken


def _take_opencl(x: Array, indices: Array, axis: int) -> Array:
    x, indices = contiguous(x), contiguous(indices)
    outer, length, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    count = len(indices)
    output = Array.new((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype, x.device)
    if output.size:
        defines = {"T": OPENCL_NAMES[x.dtype], "T_INDEX": OPENCL_NAMES[indices.dtype]}
        kernel = built(x.device, "take.cl", "take", defines)
        each = max(1, CPU_ELEMENTS_EACH // inner)
        cpu_sizes = ((-(-outer * count // each),), (1,))
        sizes = cpu_sizes if x.device.kind == "cpu" else item_sizes(x.device.compute_units, output.size)
        sources = (x.buffer, x.offset, indices.buffer, indices.offset, _missing(x.dtype))
        kernel(sizes[0], outer, length, inner, count, each, *sources, output.buffer, local_size=sizes[1])
    return output


_TAKE = primitive("take", numpy=_take, opencl=_take_opencl)


def take(x: Array, indices: Array, axis: int = 0) -> Array:
    """The elements of x at an integer array [M] of places along one axis: […, M, …].

    The values of indices are not looked at on the host: one that is out of range gives NaN, or 0 for
    integers.
    """
    if indices.ndim != 1 or not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"take: expected indices [M] and an axis of {x.shape}; got {indices.shape}, axis {axis}."
        )
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"take: indices must be integers, got {indices.dtype.name}.")
    return _TAKE(x, indices, axis=axis % x.ndim)
