"""A device: where arrays live and what computes them. Two kinds of backend, one face.

`NumpyDevice` is the host through NumPy, there always. `OpenCLDevice` is one device of one OpenCL platform
with its context, its one in-order queue and its memory pool, all made on first use, by whichever thread comes
first.
"""

import threading
import weakref
from typing import Any, Literal

import numpy

from tensor.errors import DeviceError, OutOfMemoryError
from tensor.memory import Memory, Storage
from tensor.queue import Queue

Backend = Literal["numpy", "opencl"]
Kind = Literal["cpu", "gpu", "accelerator", "host"]


class Device:
    """One device. `spec` is the unambiguous name that `tensor.device(spec)` takes."""

    backend: Backend
    kind: Kind
    name: str
    spec: str
    driver: str
    compute_units: int
    memory_bytes: int
    queue: Queue

    def synchronize(self) -> None:
        """Wait until all work enqueued on this device is done."""
        raise NotImplementedError

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        """Uninitialised memory for `count` elements; raises OutOfMemoryError."""
        raise NotImplementedError

    def memory(self) -> Memory:
        """What arrays occupy on this device now."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Device {self.spec}: {self.name}>"


class NumpyDevice(Device):
    """The host through NumPy: the definition of every primitive runs as it stands."""

    backend: Backend = "numpy"
    kind: Kind = "host"
    spec = "numpy"

    def __init__(self, name: str, compute_units: int, memory_bytes: int) -> None:
        self.name = name
        self.compute_units = compute_units
        self.memory_bytes = memory_bytes
        self.driver = f"NumPy {numpy.__version__}"
        self.queue = Queue(None)
        self._in_use: dict[int, int] = {}

    def synchronize(self) -> None:
        """Nothing to wait for: NumPy computes at once."""

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        try:
            buffer = numpy.empty(count, dtype)
        except MemoryError as error:
            raise out_of_memory(self, count * dtype.itemsize) from error
        return self.adopt(buffer)

    def adopt(self, buffer: numpy.ndarray[Any, Any]) -> Storage:
        """The storage around a flat NumPy array that nobody else writes to."""
        storage = Storage(self, buffer, buffer.nbytes)
        self._in_use[id(buffer)] = buffer.nbytes
        weakref.finalize(buffer, self._in_use.pop, id(buffer)).atexit = False
        return storage

    def memory(self) -> Memory:
        return Memory(self.spec, sum(self._in_use.values()), 0, self.memory_bytes)


class OpenCLDevice(Device):
    """One OpenCL device; `raw` is pyopencl's object, `context`, `queue` and `pool` are made on first use."""

    backend: Backend = "opencl"

    def __init__(self, raw: Any, spec: str) -> None:
        import pyopencl

        kinds: dict[int, Kind] = {pyopencl.device_type.CPU: "cpu", pyopencl.device_type.GPU: "gpu"}
        self.raw = raw
        self.spec = spec
        self.kind = next((kind for flag, kind in kinds.items() if raw.type & flag), "accelerator")
        self.name = f"{raw.name.strip()} ({raw.platform.name.strip()})"
        self.driver = f"{raw.driver_version} {raw.platform.version}".strip()
        self.compute_units = raw.max_compute_units
        self.memory_bytes = raw.global_mem_size
        self.largest_buffer_bytes: int = raw.max_mem_alloc_size
        self.kernels: dict[Any, Any] = {}
        self.programs: dict[Any, Any] = {}  # built ones, by options and source
        self.build_lock = threading.RLock()
        self._recordings: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name not in ("context", "queue", "pool"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        with self._lock:
            if name not in self.__dict__:  # else another thread was first
                self._begin()
        return self.__dict__[name]

    def _begin(self) -> None:
        """Make the context of this device alone, its one queue, and the pool of freed buffers."""
        import pyopencl

        try:
            self.context = pyopencl.Context([self.raw])
            self.queue = Queue(pyopencl.CommandQueue(self.context))
        except pyopencl.Error as error:
            raise DeviceError(
                f"{self.name} is listed but cannot be used ({error}). Choose another device, such as numpy."
            ) from error
        self.pool = self._new_pool()

    def _new_pool(self) -> Any:
        from pyopencl.tools import ImmediateAllocator, MemoryPool

        return MemoryPool(ImmediateAllocator(self.queue.raw))

    def pool_for(self, recording: Any) -> Any:
        """A pool of a recording's own, so that nobody else gets what it writes to; counted while it lives."""
        pool = self._new_pool()
        with self._lock:
            self._recordings.add(recording)
        return pool

    def synchronize(self) -> None:
        self.queue.raw.finish()

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        return self.allocate_bytes(count * dtype.itemsize)

    def allocate_bytes(self, size_bytes: int) -> Storage:
        """Uninitialised memory of `size_bytes`, at least four bytes since OpenCL has no empty buffers."""
        import pyopencl

        recording = self.queue.recording
        pool = self.pool if recording is None else recording.pool
        try:
            buffer = pool.allocate(size_bytes if size_bytes > 4 else 4)
        except pyopencl.Error as error:
            raise out_of_memory(self, size_bytes) from error
        if recording is not None:
            recording.own(buffer)
        return Storage(self, buffer, size_bytes)

    def read(self, buffer: Any, offset_bytes: int, values: numpy.ndarray[Any, Any]) -> None:
        """Fill a contiguous NumPy array from a buffer; waits."""
        import pyopencl

        pyopencl.enqueue_copy(self.queue.raw, values, buffer, src_offset=offset_bytes, is_blocking=True)

    def write(self, buffer: Any, offset_bytes: int, values: numpy.ndarray[Any, Any]) -> None:
        """Fill a buffer from a contiguous NumPy array; a recording writes the same values at each replay."""
        import pyopencl

        kept = values.copy() if self.queue.recording is not None else values

        def copy() -> None:
            pyopencl.enqueue_copy(self.queue.raw, buffer, kept, dst_offset=offset_bytes, is_blocking=True)

        self.queue.run(copy, (buffer,))

    def memory(self) -> Memory:
        with self._lock:  # a set that grows while it is walked raises
            pools = [self.pool, *(each.pool for each in self._recordings)]
        in_use = sum(each.active_bytes for each in pools)
        held = sum(each.managed_bytes for each in pools) - in_use
        return Memory(self.spec, in_use, held, self.memory_bytes)


def out_of_memory(device: Device, size_bytes: int) -> OutOfMemoryError:
    """The error that names what was asked for and what there is."""
    memory = device.memory()
    largest = getattr(device, "largest_buffer_bytes", device.memory_bytes)
    return OutOfMemoryError(
        f"{device.name} cannot hold another array of {_mebibytes(size_bytes)}: "
        f"{_mebibytes(memory.in_use_bytes)} are in use of {_mebibytes(memory.limit_bytes)}, "
        f"and one array may have {_mebibytes(largest)}. "
        "Use a smaller batch, or another device."
    )


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
