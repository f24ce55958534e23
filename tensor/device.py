"""A device: where arrays live and what computes them. Two kinds of backend, one face.

`NumpyDevice` is the host through NumPy, there always. `OpenCLDevice` is one device of one OpenCL platform
with its context, its one in-order queue and its memory pool, all made on first use, by whichever thread comes
first.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy

from tensor.allocation import HostPieces, Pools
from tensor.dtypes import OPENCL_NAMES, STORED, float64
from tensor.errors import DeviceError
from tensor.memory import Memory, Storage
from tensor.queue import Queue
from tensor.refusal import command_refused
from tensor.waiting import stay_awake_for

Backend = Literal["numpy", "opencl"]
Kind = Literal["cpu", "gpu", "accelerator", "host"]
POCL = "Portable Computing Language"  # its platform's name


class Device:
    """One device. `spec` is the unambiguous name that `tensor.device(spec)` takes."""

    backend: Backend
    kind: Kind
    name: str
    spec: str
    driver: str
    compute_units: int
    memory_bytes: int
    uses_host_memory: bool
    rounds_as_numpy: bool  # float32's sums, products, quotients and square roots, denormals too, bit for bit
    queue: Queue

    def computes(self, dtype: numpy.dtype[Any]) -> bool:
        """Whether kernels compute in this dtype; with what the device does not even hold, the host does."""
        raise NotImplementedError

    def holds(self, dtype: numpy.dtype[Any]) -> bool:
        """Whether arrays of this dtype lie in the device's memory: what it computes in, float16, bfloat16."""
        return self.computes(dtype) or dtype in STORED

    def synchronize(self) -> None:
        """Wait until all work enqueued on this device is done."""
        raise NotImplementedError

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        """Uninitialised memory for `count` elements; raises OutOfMemoryError."""
        raise NotImplementedError

    def memory(self) -> Memory:
        """What arrays occupy on this device now."""
        raise NotImplementedError

    def reset_peak_memory(self) -> None:
        """Let `memory().peak_bytes` begin again, at what is in use now."""
        raise NotImplementedError

    def release_memory(self) -> int:
        """Give memory that no array uses back to the driver; returns the bytes."""
        raise NotImplementedError

    # What recordings ask for

    slab_limits: tuple[int, int]  # what parts of a slab have to be aligned to, and its most bytes

    def address_of(self, argument: Any) -> int | None:
        """What tells one piece of this device's memory from another one; None for what is no memory."""
        raise NotImplementedError

    def kept_for_replays(self, buffer: Any) -> Any:
        """What keeps the memory of a buffer alive, while pools may hand it out again."""
        raise NotImplementedError

    def slab(self, size_bytes: int) -> Callable[[int, int], Any]:
        """New memory, of which (offset in bytes, bytes) gives a part that may be used as a buffer."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Device {self.spec}: {self.name}>"


class NumpyDevice(Device):
    """The host through NumPy: the definition of every primitive runs as it stands."""

    backend: Backend = "numpy"
    kind: Kind = "host"
    spec = "numpy"
    uses_host_memory = True
    rounds_as_numpy = True

    def __init__(self, name: str, compute_units: int, memory_bytes: int) -> None:
        self.name = name
        self.compute_units = compute_units
        self.memory_bytes = memory_bytes
        self.driver = f"NumPy {numpy.__version__}"
        self.queue = Queue(None)
        self._pieces = HostPieces(self)

    def computes(self, dtype: numpy.dtype[Any]) -> bool:
        return True

    def synchronize(self) -> None:
        """Nothing to wait for: NumPy computes at once."""

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        buffer = self._pieces.allocate(count, dtype)
        storage = Storage(self, buffer, buffer.nbytes)
        if self.queue.recording is not None:
            self.queue.recording.own(storage)
        return storage

    def adopt(self, buffer: numpy.ndarray[Any, Any]) -> Storage:
        """The storage around a flat NumPy array that nobody else writes to."""
        return Storage(self, self._pieces.count(buffer), buffer.nbytes)

    def memory(self) -> Memory:
        tally = self._pieces.tally
        limit_bytes = self.memory_bytes
        return Memory(
            self.spec, tally.bytes, 0, tally.peak_bytes, limit_bytes, limit_bytes, allocations=tally.pieces
        )

    def reset_peak_memory(self) -> None:
        self._pieces.reset_peak()

    def release_memory(self) -> int:
        """Nothing is held: NumPy gives back what arrays leave."""
        return 0

    slab_limits = (64, sys.maxsize)

    def address_of(self, argument: Any) -> int | None:
        return int(argument.ctypes.data) if isinstance(argument, numpy.ndarray) else None

    def kept_for_replays(self, buffer: Any) -> Any:
        return buffer

    def slab(self, size_bytes: int) -> Callable[[int, int], Any]:
        memory = self._pieces.allocate(size_bytes, numpy.dtype(numpy.uint8))
        return lambda offset_bytes, size_bytes: memory[offset_bytes : offset_bytes + size_bytes]


class OpenCLDevice(Device):
    """One OpenCL device; `raw` is pyopencl's object, `context`, `queue` and `pools` are made on first use."""

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
        self.uses_host_memory = bool(raw.host_unified_memory)
        self.sleeps_at_once = self.kind == "cpu" and raw.platform.name.strip() == POCL
        exact = pyopencl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT | pyopencl.device_fp_config.DENORM
        self.rounds_as_numpy = raw.single_fp_config & exact == exact
        self.largest_buffer_bytes: int = raw.max_mem_alloc_size
        self._native = dtypes_of(raw.extensions)
        self._pieces = HostPieces(self)  # of the other dtypes
        self.kernels: dict[Any, Any] = {}
        self.programs: dict[Any, Any] = {}  # built ones, by options and source
        self.sources: dict[int, str] = {}  # of the built programs, by their address
        self.build_lock = threading.RLock()
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name not in ("context", "queue", "pools"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        with self._lock:
            if name not in self.__dict__:  # else another thread was first
                self._begin()
        return self.__dict__[name]

    def _begin(self) -> None:
        """Make the context of this device alone, its one queue, and the pools of freed buffers."""
        import pyopencl

        try:
            self.context = pyopencl.Context([self.raw])
            self.queue = Queue(pyopencl.CommandQueue(self.context), self)
        except pyopencl.Error as error:
            raise DeviceError(
                f"{self.name} is listed but cannot be used ({error}). Choose another device, such as numpy."
            ) from error
        self.pools = Pools(self)

    def computes(self, dtype: numpy.dtype[Any]) -> bool:
        return dtype in self._native

    def synchronize(self) -> None:
        import pyopencl

        queue, raw = self.queue, self.queue.raw
        try:
            if queue.ends_soon:
                last = pyopencl.enqueue_marker(raw)
                raw.flush()
                stay_awake_for(last)
                queue.ends_soon = False
            raw.finish()
        except pyopencl.Error as error:
            raise command_refused(self, "waiting for its work", error) from error

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> Storage:
        if self.holds(dtype):
            return self.allocate_bytes(count * dtype.itemsize)
        values = self._pieces.allocate(count, dtype)
        return Storage(self, values, values.nbytes)

    def allocate_bytes(self, size_bytes: int) -> Storage:
        """Uninitialised memory of `size_bytes`."""
        recording = self.queue.recording
        storage = Storage(self, self.pools.allocate(size_bytes, recording), size_bytes)
        if recording is not None:
            recording.own(storage)
        return storage

    def read(self, buffer: Any, offset_bytes: int, values: numpy.ndarray[Any, Any]) -> None:
        """Fill a contiguous NumPy array from a buffer; waits."""
        import pyopencl

        queue = self.queue
        try:
            at_once = not queue.ends_soon
            event = pyopencl.enqueue_copy(
                queue.raw, _bytes(values), buffer, src_offset=offset_bytes, is_blocking=at_once
            )
            if not at_once:
                queue.raw.flush()
                stay_awake_for(event)
                event.wait()
                queue.ends_soon = False
        except pyopencl.Error as error:
            raise command_refused(self, "reading values", error) from error
        if queue.profile is not None:
            queue.profile.copied("to the host", event, values.nbytes)

    def write(self, buffer: Any, offset_bytes: int, values: numpy.ndarray[Any, Any]) -> None:
        """Fill a buffer from a contiguous NumPy array; a recording writes the same values at each replay."""
        import pyopencl

        queue = self.queue
        kept = _bytes(values.copy() if queue.recording is not None else values)

        def copy() -> None:
            try:
                event = pyopencl.enqueue_copy(
                    queue.raw, buffer, kept, dst_offset=offset_bytes, is_blocking=True
                )
            except pyopencl.Error as error:
                raise command_refused(self, "writing values", error) from error
            if queue.profile is not None:
                queue.profile.copied("to the device", event, values.nbytes)

        queue.run(copy, (buffer,))

    def memory(self) -> Memory:
        return replace(self.pools.memory(), on_host_bytes=self._pieces.tally.bytes)

    def reset_peak_memory(self) -> None:
        self.pools.reset_peak()

    def release_memory(self) -> int:
        return self.pools.release()

    @property
    def slab_limits(self) -> tuple[int, int]:  # type: ignore[override]  # asked for when it is needed
        # A launch on a part of a buffer costs NVIDIA 10 µs more (docs/log.md): there, whole ones are shared.
        most_bytes = self.largest_buffer_bytes if self.kind == "cpu" else 0
        return max(self.raw.mem_base_addr_align // 8, 128), most_bytes

    def address_of(self, argument: Any) -> int | None:
        return getattr(argument, "int_ptr", None)

    def kept_for_replays(self, buffer: Any) -> Any:
        """The driver's object and not the pool's: a pool that runs out gives what is free back to the driver,
        and a replay would write there."""
        import pyopencl

        return pyopencl.MemoryObject.from_int_ptr(buffer.int_ptr, retain=True)

    def slab(self, size_bytes: int) -> Callable[[int, int], Any]:
        buffer = self.pools.for_replays(size_bytes)
        return buffer.get_sub_region if self.kind == "cpu" else lambda *_: buffer


def _bytes(values: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """The memory of a contiguous array, whatever its dtype: drivers do not know bfloat16."""
    return values.reshape(-1).view(numpy.uint8)


def dtypes_of(extensions: str) -> frozenset[numpy.dtype[Any]]:
    """The dtypes that an OpenCL device with these extensions computes with."""
    has_float64 = "cl_khr_fp64" in extensions
    return frozenset(each for each in OPENCL_NAMES if has_float64 or each != float64)
