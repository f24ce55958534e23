"""Making arrays: from host data, filled with one value, counted up."""

from math import ceil
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.axes import sizes_of
from tensor.constants import constant
from tensor.conversion import astype
from tensor.device import Device, NumpyDevice
from tensor.discovery import device as find_device
from tensor.dtypes import DType, HostArray
from tensor.errors import ExchangeError, ShapeError
from tensor.host_memory import array_over
from tensor.nested import host_values
from tensor.views import assign


def asarray(
    values: Any, /, dtype: Any = None, device: "Device | str | None" = None, copy: bool | None = None
) -> Array:
    """An array with the values of an Array (itself where nothing changes), a number, nested lists of numbers
    and Arrays, or any object that NumPy or DLPack can read: arrays of others, buffers.

    NumPy data keeps its dtype; Python's numbers become int64, float32, complex64 or bool. Host data is
    copied, unless copy=False, which shares its memory (see `from_dlpack`) or raises ExchangeError, a
    ValueError.
    Raises ShapeError for ragged lists and DTypeError for what is no number, saying where.
    """
    if isinstance(values, Array):
        return _as_wanted(values, dtype, device, copy)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    host = host_values(values, wanted)
    if isinstance(host, Array):
        return _as_wanted(host, dtype, device, None if copy else copy)
    wanted = dtypes.as_dtype(host.dtype) if wanted is None else wanted
    target = find_device(device)
    if copy is False:
        has_memory = not isinstance(values, list | tuple | range | bool | int | float | complex)
        return _shared(host, wanted, target, has_memory)
    if isinstance(target, NumpyDevice):
        return Array.adopt(host.astype(wanted), target)  # a copy: it shares memory with nobody
    return Array.upload(host.astype(wanted, copy=False), target)


def _shared(host: HostArray, wanted: DType, device: Device, has_memory: bool) -> Array:
    shared = array_over(host, device) if has_memory and host.dtype == wanted else None
    if shared is None:
        raise ExchangeError(
            f"asarray(copy=False): these values of dtype {host.dtype.name} have to be copied to become "
            f"{wanted.name} on {device.spec}."
        )
    return shared


def _as_wanted(x: Array, dtype: Any, device: "Device | str | None", copy: bool | None) -> Array:
    wanted = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    moves = device is not None and find_device(device) is not x.device
    if copy is False and (moves or wanted != x.dtype):
        raise ExchangeError(
            f"asarray(copy=False): {x.dtype.name} on {x.device.spec} has to be copied to become {wanted.name}"
            f" on {x.device.spec if device is None else find_device(device).spec}."
        )
    return astype(x, wanted, copy=bool(copy), device=device)


def _shape(shape: Any) -> Shape:
    sizes = sizes_of("A new array", shape)
    if any(each < 0 for each in sizes):
        raise ShapeError(f"An array cannot have shape {sizes}: sizes are not negative.")
    return sizes


def empty(shape: Any, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An array of this shape with whatever values its memory holds; float32 unless a dtype is given."""
    return Array.new(_shape(shape), dtypes.as_dtype(float if dtype is None else dtype), find_device(device))


def full(shape: Any, fill_value: complex, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An array of this shape filled with one number; its dtype is that of the number unless given."""
    wanted = dtypes.as_dtype(type(fill_value) if dtype is None else dtype)
    array = empty(shape, dtype=wanted, device=device)
    assign(array, constant(dtypes.number(fill_value, wanted), wanted, array.device))
    return array


def zeros(shape: Any, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An array of zeros; float32 unless a dtype is given."""
    return full(shape, 0, dtype=float if dtype is None else dtype, device=device)


def ones(shape: Any, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An array of ones; float32 unless a dtype is given."""
    return full(shape, 1, dtype=float if dtype is None else dtype, device=device)


def empty_like(x: Array, /, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """An uninitialised array with the shape of x, and its dtype and device unless others are given."""
    return empty(x.shape, **_like(x, dtype, device))


def zeros_like(x: Array, /, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """Zeros with the shape of x, and its dtype and device unless others are given."""
    return zeros(x.shape, **_like(x, dtype, device))


def ones_like(x: Array, /, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """Ones with the shape of x, and its dtype and device unless others are given."""
    return ones(x.shape, **_like(x, dtype, device))


def full_like(
    x: Array, /, fill_value: complex, dtype: Any = None, device: "Device | str | None" = None
) -> Array:
    """One number with the shape of x, and its dtype and device unless others are given."""
    return full(x.shape, fill_value, **_like(x, dtype, device))


def _like(x: Array, dtype: Any, device: "Device | str | None") -> dict[str, Any]:
    return {"dtype": x.dtype if dtype is None else dtype, "device": x.device if device is None else device}


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: "Device | str | None" = None,
) -> Array:
    """start, start + step, … below stop (0 … start − 1 with one argument); int64 if all are integers, else
    float32."""
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ShapeError("arange: the step must not be 0.")
    count = max(0, ceil((last - first) / step))
    natural = int if all(isinstance(each, int) for each in (first, last, step)) else float
    values = first + step * numpy.arange(count)
    return asarray(values, natural if dtype is None else dtype, device)
