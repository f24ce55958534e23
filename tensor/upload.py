"""Values on their way to a device while that computes, from another thread than the one that gives it work.

`Array.upload` copies in the device's one queue, behind all that was enqueued before, and from memory that the
driver may have to copy once more. An Uploader has page-locked memory, a queue of its own, and a few places in
device memory that it fills in turn. A copy waits for nothing but the work that read its place the last time,
so a device with a long queue gets the values for what comes after it meanwhile.
"""

from typing import Any

import numpy

from tensor.array import Array, contiguous_strides
from tensor.device import Device, OpenCLDevice
from tensor.dtypes import HostArray
from tensor.errors import DeviceError
from tensor.memory import Storage, outside_scopes
from tensor.refusal import command_refused


class Upload:
    """Values that have arrived. `array` is to be read by work that is enqueued before `release`."""

    def __init__(self, array: Array, place: "_Place | None" = None) -> None:
        self.array = array
        self._place = place

    def release(self) -> None:
        """Let the place be filled again, once what is enqueued on the device by now is done."""
        if self._place is not None:
            self._place.free_after = _marker(self.array.device)
            self._place = None


class _Place:
    """A piece of device memory, and the event after which it may be written to; None: it is in use."""

    def __init__(self, device: OpenCLDevice, size_bytes: int) -> None:
        with outside_scopes():
            self.storage: Storage = device.allocate_bytes(size_bytes)
        self.free_after: Any = _marker(device)  # what the pool gives may still be in use


class Uploader:
    """Brings values to one device, from one thread; another one may read and release them.

    There may be `places` uploads at a time that are not released.
    """

    def __init__(self, device: Device, places: int) -> None:
        self.device = device
        self._places: list[_Place | None] = [None] * places
        self._next = 0
        self._queue: Any = None
        self._pinned: HostArray | None = None  # uint8, as large as the largest upload so far
        self._buffer: Any = None  # what `_pinned` is a mapping of

    def upload(self, values: HostArray) -> Upload:
        """The values on the device, when they are there; they may be changed afterwards.

        Raises OutOfMemoryError, and DeviceError where the driver refuses or no place has been released.
        """
        device = self.device
        if not isinstance(device, OpenCLDevice) or not device.computes(values.dtype) or not values.size:
            return Upload(Array.upload(values.copy(), device))
        import pyopencl

        try:
            place = self._place(device, values.nbytes)
            source, before = self._staged(device, values), place.free_after
            pyopencl.enqueue_copy(
                self._queue, place.storage.buffer, source, is_blocking=True, wait_for=[before]
            )
        except pyopencl.Error as error:
            raise command_refused(device, "uploading values", error) from error
        place.free_after = None
        strides = contiguous_strides(values.shape)
        return Upload(Array(place.storage, values.shape, strides, 0, values.dtype), place)

    def _place(self, device: OpenCLDevice, size_bytes: int) -> _Place:
        """The place whose turn it is."""
        number = self._next % len(self._places)
        place = self._places[number]
        if place is None or place.storage.size_bytes < size_bytes:
            place = self._places[number] = _Place(device, size_bytes)
        if place.free_after is None:
            raise DeviceError(
                f"upload: all {len(self._places)} places are in use; release() one before, or make more."
            )
        self._next += 1
        return place

    def _staged(self, device: OpenCLDevice, values: HostArray) -> HostArray:
        """The values in page-locked memory."""
        import pyopencl

        if self._queue is None:
            self._queue = pyopencl.CommandQueue(device.context)
        if self._pinned is None or self._pinned.size < values.nbytes:
            self._pinned = None
            flags = pyopencl.mem_flags.READ_WRITE | pyopencl.mem_flags.ALLOC_HOST_PTR
            self._buffer = pyopencl.Buffer(device.context, flags, values.nbytes)
            access = pyopencl.map_flags.READ | pyopencl.map_flags.WRITE
            enqueue_map: Any = pyopencl.enqueue_map_buffer  # its annotations know no dtypes
            self._pinned, _ = enqueue_map(
                self._queue, self._buffer, access, 0, (values.nbytes,), numpy.uint8, is_blocking=True
            )
        staged = numpy.ndarray(values.shape, values.dtype, self._pinned[: values.nbytes].data)
        numpy.copyto(staged, values)
        return staged


def _marker(device: Device) -> Any:
    """An event that comes when all is done that is enqueued by now; another queue may wait for it."""
    import pyopencl

    try:
        event = pyopencl.enqueue_marker(device.queue.raw)
        device.queue.raw.flush()  # else the other queue might wait in vain
    except pyopencl.Error as error:
        raise command_refused(device, "marking the end of its work", error) from error
    return event
