"""Values on their way to a device while that computes, from another thread than the one that gives it work.

`Array.upload` copies in the device's one queue, behind all that was enqueued before, and from memory that the
driver may have to copy once more. An Uploader has page-locked memory and a queue of its own. Its copies wait
for what was enqueued before them, since the pool may have given them memory that this still uses, and run
beside what comes after.
"""

import threading
from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, OpenCLDevice
from tensor.dtypes import HostArray
from tensor.memory import outside_scopes
from tensor.refusal import command_refused


class Uploader:
    """Makes arrays on one device out of NumPy's; one upload at a time, from any thread."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._lock = threading.Lock()
        self._queue: Any = None
        self._pinned: HostArray | None = None  # uint8, as large as the largest upload so far
        self._buffer: Any = None  # what `_pinned` is a mapping of

    def upload(self, values: HostArray) -> Array:
        """A new array with these values, which may be changed afterwards; waits until they are there.

        Raises OutOfMemoryError, or DeviceError where the driver refuses.
        """
        device = self.device
        if not isinstance(device, OpenCLDevice) or not device.computes(values.dtype) or not values.size:
            return Array.upload(values.copy(), device)
        import pyopencl

        with self._lock, outside_scopes():
            array = Array.new(values.shape, values.dtype, device)
            try:
                source = self._staged(device, values)
                before = pyopencl.enqueue_marker(device.queue.raw)
                device.queue.raw.flush()  # else another queue might wait for it in vain
                pyopencl.enqueue_copy(self._queue, array.buffer, source, is_blocking=True, wait_for=[before])
            except pyopencl.Error as error:
                raise command_refused(device, "uploading values", error) from error
            return array

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
