"""Making arrays: from host data, filled with one value, counted up."""

from math import ceil
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.constants import constant
from tensor.device import Device, NumpyDevice
from tensor.discovery import device as find_device
from tensor.errors import ShapeError
from tensor.views import assign


def asarray(values: Any, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An array with the values of a NumPy array, a number, nested lists, or an Array (itself where nothing
    changes).

    float64 becomes float32; Python integers become int32 if they fit, else int64. NumPy data is copied.
    """
    if isinstance(values, Array):
        moved = values if device is None else values.to_device(device)
        return moved if dtype is None else moved.astype(dtype)
    target = find_device(device)
    host = numpy.asarray(values)
    wanted = dtypes.as_dtype(dtype) if dtype is not None else _natural_dtype(values, host)
    converted = host.astype(wanted)  # always a copy: an array on the NumPy device shares memory with nobody
    return (
        Array.adopt(converted, target) if isinstance(target, NumpyDevice) else Array.upload(converted, target)
    )


def _natural_dtype(values: Any, host: numpy.ndarray[Any, Any]) -> dtypes.DType:
    if host.dtype == dtypes.int64 and not isinstance(values, numpy.ndarray | numpy.generic):
        limits = numpy.iinfo(numpy.int32)
        fits = host.size == 0 or (host.min() >= limits.min and host.max() <= limits.max)
        return dtypes.int32 if fits else dtypes.int64
    return dtypes.storable(host.dtype)


def _shape(shape: Any) -> Shape:
    sizes = (shape,) if isinstance(shape, int) else tuple(int(each) for each in shape)
    if any(each < 0 for each in sizes):
        raise ShapeError(f"An array cannot have shape {sizes}: sizes are not negative.")
    return sizes


def empty(shape: Any, dtype: Any = dtypes.float32, device: "Device | str | None" = None) -> Array:
    """An array of this shape with whatever values its memory holds."""
    return Array.new(_shape(shape), dtypes.as_dtype(dtype), find_device(device))


def full(
    shape: Any, value: bool | int | float, dtype: Any = None, device: "Device | str | None" = None
) -> Array:
    """An array of this shape filled with one value; its dtype is that of the value unless given."""
    wanted = dtypes.as_dtype(type(value) if dtype is None else dtype)
    array = empty(shape, wanted, device)
    assign(array, constant(dtypes.number(value, wanted), wanted, array.device))
    return array


def zeros(shape: Any, dtype: Any = dtypes.float32, device: "Device | str | None" = None) -> Array:
    """An array of zeros."""
    return full(shape, 0, dtype, device)


def ones(shape: Any, dtype: Any = dtypes.float32, device: "Device | str | None" = None) -> Array:
    """An array of ones."""
    return full(shape, 1, dtype, device)


def empty_like(x: Array) -> Array:
    """An uninitialised array with the shape, dtype and device of x."""
    return Array.new(x.shape, x.dtype, x.device)


def zeros_like(x: Array) -> Array:
    """Zeros with the shape, dtype and device of x."""
    return zeros(x.shape, x.dtype, x.device)


def ones_like(x: Array) -> Array:
    """Ones with the shape, dtype and device of x."""
    return ones(x.shape, x.dtype, x.device)


def full_like(x: Array, value: bool | int | float) -> Array:
    """One value with the shape, dtype and device of x."""
    return full(x.shape, value, x.dtype, x.device)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: "Device | str | None" = None,
) -> Array:
    """start, start + step, … below stop (0 … start − 1 with one argument); int32 if all are integers, else
    float32."""
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ShapeError("arange: the step must not be 0.")
    count = max(0, ceil((last - first) / step))
    natural = dtypes.int32 if all(isinstance(each, int) for each in (first, last, step)) else dtypes.float32
    values = first + step * numpy.arange(count)
    return asarray(values, natural if dtype is None else dtype, device)
