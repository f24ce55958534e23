"""Conversion between dtypes, with one meaning on every device where C leaves it open."""

from functools import lru_cache
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Layout
from tensor.device import Device
from tensor.dtypes import DType
from tensor.errors import DTypeError
from tensor.pointwise import producer
from tensor.prepared import prepared
from tensor.primitive import Prepared, primitive


def _convert(x: Any, dtype: DType) -> Any:
    """C's conversion, except that float to integer saturates and NaN becomes 0, which C leaves open."""
    x = x.astype(dtypes.computed(x.dtype), copy=False)
    if x.dtype.kind == "f" and dtype.kind in "iu":
        limits = numpy.iinfo(dtype)
        low, above = float(limits.min), float(limits.max) + 1.0
        inside = (x > low) & (x < above)
        safe = numpy.where(inside, x, numpy.float32(0)).astype(dtype)
        return numpy.where(inside, safe, numpy.where(x >= above, dtype.type(limits.max), _low(x, dtype)))
    return x.astype(dtypes.computed(dtype), copy=False).astype(dtype)


def _low(x: Any, dtype: DType) -> Any:
    """What is left below or at the smallest integer: that integer, or 0 for NaN."""
    return numpy.where(numpy.isnan(x), dtype.type(0), dtype.type(numpy.iinfo(dtype).min))


@lru_cache
def _conversion(source: DType, target: DType) -> str:
    """The OpenCL expression of `_convert`."""
    if target == dtypes.bool_:
        return "a != 0"
    if source.kind == "f" and target.kind in "iu":
        limits, name = numpy.iinfo(target), dtypes.OPENCL_NAMES[target]
        above, low = float(limits.max) + 1.0, float(limits.min)
        highest = f"({name}){limits.max}{'UL' if target.kind == 'u' else 'L'}"
        lowest = f"(-{limits.max}L - 1)" if target.kind == "i" else "0"
        return f"a != a ? 0 : a >= {above!r}f ? {highest} : a <= {low!r}f ? ({name}){lowest} : ({name})a"
    return "a"


def _prepare(x: Layout, dtype: DType) -> Prepared:
    compute = dtypes.computed(x.dtype)
    return producer(_conversion(compute, dtype), compute, dtype, x)


_ASTYPE = primitive("astype", numpy=_convert, prepare=_prepare, stores=True)


@prepared
def astype(x: Array, dtype: Any, /, *, copy: bool = True, device: "Device | str | None" = None) -> Array:
    """x in another dtype (or x itself, with copy=False, if it has it); on `device` if that is given.

    Float to integer truncates, saturates, and makes NaN 0; to float16 and bfloat16 it rounds to nearest, by
    way of float32. Raises DTypeError for complex to real: take
    real(x).
    """
    target = dtypes.as_dtype(dtype)
    source = x if device is None else x.to_device(device)
    if target == x.dtype:
        return source.copy() if copy and source is x else source
    if x.dtype.kind == "c" and target.kind not in "bc":
        raise DTypeError(
            f"astype: {x.dtype.name} has no place in {target.name}; use tensor.real(x) or abs(x) first."
        )
    return _ASTYPE(source, dtype=target)
