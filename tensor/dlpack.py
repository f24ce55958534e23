"""Handing arrays over to other libraries and taking theirs, by DLPack, without copying where memory is
shared.

NumPy's own implementation makes and takes the capsules: what it is given is a live view (host_memory.py).
Both sides then see what either writes, and either side may be deleted first. A library that only asks for
values gets a copy: `x.numpy()`, `numpy.asarray(x)`.
"""

from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, NumpyDevice
from tensor.discovery import device as find_device
from tensor.discovery import devices
from tensor.dtypes import HostArray, as_dtype, bfloat16
from tensor.errors import ExchangeError, RecordError
from tensor.host_memory import array_over, host_view, is_reachable

_HOST = (1, 0)  # kDLCPU
_OPENCL = 4  # kDLOpenCL

DLPackDevice = tuple[int, int]


def dlpack_device(x: Array) -> DLPackDevice:
    """(1, 0), the host, where host and device share memory; else (4, number of the OpenCL device)."""
    if is_reachable(x):
        return _HOST
    known = devices()
    return _OPENCL, known.index(x.device) if x.device in known else 0


def dlpack_capsule(
    x: Array,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: DLPackDevice | None = None,
    copy: bool | None = None,
) -> Any:
    """The DLPack capsule of an array in host memory; of the array's own memory wherever that is possible.

    `dl_device` (1, 0) brings values of another device to the host, by a copy. Raises ExchangeError (a
    BufferError and a ValueError) for what cannot be, RecordError inside record().
    """
    if stream is not None:
        raise ExchangeError(f"__dlpack__: host memory has no streams; expected stream=None, got {stream!r}.")
    if x.dtype == bfloat16:  # DLPack has it, but NumPy, which makes the capsule, has not
        raise ExchangeError("__dlpack__: NumPy hands no bfloat16 over; use x.astype(float32).")
    wanted = dlpack_device(x) if dl_device is None else (int(dl_device[0]), int(dl_device[1]))
    if wanted != _HOST:
        raise ExchangeError(
            f"__dlpack__: no library takes memory of {x.device.name} as DLPack device {wanted}. Copy it to "
            'the host: numpy.from_dlpack(x, device="cpu"), or x.numpy().'
        )
    values = x.numpy() if copy else live_view(x, "__dlpack__", required=copy is False)
    return values.__dlpack__(max_version=max_version)


def live_view(x: Array, where: str, required: bool = True) -> HostArray:
    """NumPy's view of the memory of x; else a copy, or ExchangeError if a view is required."""
    if x.device.queue.recording is not None:
        raise RecordError(
            f"{where} inside record(): a replay does not wait for the host. Use it after the replay."
        )
    view = host_view(x)
    if view is None and required:
        raise ExchangeError(
            f"{where} with copy=False: the host cannot reach the memory of {x.device.name}; use x.numpy()."
        )
    return x.numpy() if view is None else view


def moved(x: Array, device: Device) -> Array:
    """The values of x on another device, copied once if the host sees either memory."""
    if isinstance(device, NumpyDevice) and not is_reachable(x):
        return Array.adopt(x.numpy(), device)
    return Array.upload(live_view(x, "x.to_device()", required=False), device)


def from_dlpack(x: Any, /, *, device: "Device | str | None" = None, copy: bool | None = None) -> Array:
    """An array from any object with `__dlpack__`, such as a NumPy array or a PyTorch tensor.

    It shares memory with `x` where the device (the default one, or that of an Array) computes in host memory
    and `x` is writable there; then each sees what the other writes. Otherwise the values are copied. `copy`:
    True for a copy always, False for ExchangeError (a BufferError and a ValueError) instead of one.
    """
    if isinstance(x, Array) and device is None:
        return x.copy() if copy else Array(x.storage, x.shape, x.strides, x.offset, x.dtype)
    target = find_device(device)
    values = taken(x, "from_dlpack", copy)
    as_dtype(values.dtype)  # raises DTypeError
    shared = None if copy else array_over(values, target)
    if shared is None and copy is False:
        raise ExchangeError(
            f"from_dlpack with copy=False: {target.name} cannot compute in this memory, which has to be "
            "writable host memory of aligned elements, on a device that is the host's CPU."
        )
    return Array.upload(values, target) if shared is None else shared


def taken(x: Any, where: str, copy: bool | None = None) -> HostArray:
    """What x hands over, as NumPy sees it: its own memory if that is the host's; raises ExchangeError."""
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise ExchangeError(f"{where}: {type(x).__name__} has no __dlpack__; use tensor.asarray.")
    is_here = int(x.__dlpack_device__()[0]) == _HOST[0]
    try:
        return numpy.from_dlpack(x) if is_here else numpy.from_dlpack(x, device="cpu", copy=copy)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ExchangeError(f"{where}: {type(x).__name__} does not hand its values over: {error}") from error
