"""Memory that host and device share: NumPy's view of an array, and arrays over memory of NumPy's. Nothing is
copied.

Buffers of an OpenCL device that is the CPU itself lie in the same RAM, and the address at which one is mapped
is the one that kernels use. OpenCL promises neither that nor that a mapped buffer may be computed with, so
each device is tried once (`shares_host_memory`).
"""

import ctypes
import weakref
from functools import cache
from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, NumpyDevice, OpenCLDevice
from tensor.dtypes import HostArray
from tensor.errors import DeviceError
from tensor.memory import Storage
from tensor.refusal import command_refused

_TRIED_BYTES = 4096


def host_view(x: Array) -> HostArray | None:
    """The very memory of `x` as NumPy sees it, or None where the host cannot reach it; waits for the device.

    It is live: what kernels write later appears in it, what is written to it is what later kernels read. It
    keeps the memory alive, also when the scope of `x` ends.
    """
    device = x.device
    if x.on_host:
        x.storage.is_shared = True
        return x.host()
    if not isinstance(device, OpenCLDevice) or not shares_host_memory(device):
        return None
    device.synchronize()
    x.storage.is_shared = True
    size = x.dtype.itemsize
    memory = _mapped(device, x.buffer, max(x.storage.size_bytes, 1))
    return numpy.ndarray(x.shape, x.dtype, memory, x.offset * size, [size * each for each in x.strides])


def is_reachable(x: Array) -> bool:
    """Whether `host_view(x)` would give one."""
    device = x.device
    return x.on_host or (isinstance(device, OpenCLDevice) and shares_host_memory(device))


def array_over(values: HostArray, device: Device) -> Array | None:
    """An array on `device` whose memory is that of `values`, or None where that cannot be.

    It can be on NumPy and on devices that share host memory, for writable, aligned values in the machine's
    byte order. The array keeps `values` alive.
    """
    size = values.dtype.itemsize
    steps = [step for step, count in zip(values.strides, values.shape, strict=True) if count > 1]
    usable = values.flags.writeable and values.flags.aligned and values.dtype.isnative
    if not usable or any(step % size for step in steps):
        return None
    if not values.size:
        return Array.new(values.shape, values.dtype, device)
    upwards: Any = [slice(None, None, -1 if step < 0 else 1) for step in values.strides]
    lowest = values[(*upwards, ...)]
    count = 1 + sum(abs(step) // size * (n - 1) for step, n in zip(values.strides, values.shape, strict=True))
    flat = numpy.lib.stride_tricks.as_strided(lowest, (count,), (size,))
    storage, before = _storage_over(flat, device)
    if storage is None:
        return None
    storage.is_shared = True
    strides = tuple(
        step // size if n > 1 else 0 for step, n in zip(values.strides, values.shape, strict=True)
    )
    offset = (values.ctypes.data - flat.ctypes.data) // size + before
    return Array(storage, values.shape, strides, offset, values.dtype)


def _storage_over(flat: HostArray, device: Device) -> tuple[Storage | None, int]:
    """Storage over a flat NumPy array, and the number of elements that lie in it before the array's first."""
    if isinstance(device, NumpyDevice):
        return device.adopt(flat), 0
    if not device.holds(flat.dtype):  # then NumPy does it there
        return Storage(device, flat, flat.nbytes), 0
    if not isinstance(device, OpenCLDevice) or not shares_host_memory(device):
        return None, 0
    before = flat.ctypes.data % (device.raw.mem_base_addr_align // 8)  # kernels rely on an aligned beginning
    if before % flat.dtype.itemsize or before + flat.nbytes > device.largest_buffer_bytes:
        return None, 0
    buffer = _buffer_over(flat, before, device)
    return Storage(device, buffer, flat.nbytes + before), before // flat.dtype.itemsize


def _buffer_over(flat: HostArray, before: int, device: OpenCLDevice) -> Any:
    """An OpenCL buffer that begins `before` bytes, on the same page, in front of a flat NumPy array."""
    import pyopencl

    memory = (ctypes.c_char * (before + flat.nbytes)).from_address(flat.ctypes.data - before)
    flags = pyopencl.mem_flags.READ_WRITE | pyopencl.mem_flags.USE_HOST_PTR
    buffer = _host_buffer_class()(device.context, flags, hostbuf=memory)
    weakref.finalize(buffer, _let_go, device, flat).atexit = False
    return buffer


@cache
def _host_buffer_class() -> Any:
    """pyopencl's Buffer, with which weak references can be made only in a subclass."""
    import pyopencl

    return type("HostBuffer", (pyopencl.Buffer,), {})


def _let_go(device: OpenCLDevice, memory: HostArray) -> None:
    """Wait for the kernels that may still use `memory`, which lives as long as this call."""
    try:
        device.synchronize()
    except DeviceError:  # in the child of a fork, whose parent goes on with it
        _of_parent.append(memory)


_of_parent: list[HostArray] = []


class _Mapped:
    """What the NumPy view of a buffer rests on: the mapping, and the buffer, which no pool then hands out."""

    def __init__(self, mapping: HostArray, buffer: Any) -> None:
        self.__array_interface__ = mapping.__array_interface__
        self._kept = (mapping, buffer)


def _mapped(device: OpenCLDevice, buffer: Any, size_bytes: int) -> HostArray:
    import pyopencl

    enqueue_map: Any = pyopencl.enqueue_map_buffer  # its annotations know no dtypes
    flags = pyopencl.map_flags.READ | pyopencl.map_flags.WRITE
    try:
        mapping, _ = enqueue_map(
            device.queue.raw, buffer, flags, 0, (size_bytes,), numpy.uint8, is_blocking=True
        )
    except pyopencl.Error as error:
        raise command_refused(device, "mapping memory", error) from error
    return numpy.asarray(_Mapped(mapping, buffer))


@cache
def shares_host_memory(device: OpenCLDevice) -> bool:
    """Whether kernels and the host see each other's writes in the same memory, mapped or made from NumPy's.

    Tried once: on CPUs only, since others may keep copies in caches.
    """
    if device.kind != "cpu" or not device.raw.host_unified_memory:
        return False
    ours = device.pools.main.allocate(_TRIED_BYTES)
    flat = numpy.zeros(_TRIED_BYTES, numpy.uint8)
    before = flat.ctypes.data % (device.raw.mem_base_addr_align // 8)
    theirs = _buffer_over(flat, before, device)
    return _both_see(device, ours, 0, _mapped(device, ours, _TRIED_BYTES)) and _both_see(
        device, theirs, before, flat
    )


def _both_see(device: OpenCLDevice, buffer: Any, offset: int, seen: HostArray) -> bool:
    """Whether what a command writes into the buffer is seen by the host, and the other way round."""
    import pyopencl

    queue = device.queue.raw
    pyopencl.enqueue_fill_buffer(queue, buffer, numpy.array(7, numpy.uint8), offset, _TRIED_BYTES)
    queue.finish()
    here = bool((seen == 7).all())
    seen[:] = 9
    read = numpy.empty(_TRIED_BYTES, numpy.uint8)
    pyopencl.enqueue_copy(queue, read, buffer, src_offset=offset, is_blocking=True)
    return here and bool((read == 9).all())
