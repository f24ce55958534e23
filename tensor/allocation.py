"""Where the bytes of arrays come from, how they are counted, and what happens when there are none left.

OpenCL devices take from pools: one for everybody, and one for each recording, whose replays write to its
memory. When the driver refuses, all that pools hold is given back and it is asked once more. Devices that use
the host's memory are not asked for more than the host has, since they would promise it (machine_memory.py).

A driver may put off what a buffer needs to its first use, so a pool uses new memory at once, to hear of a
refusal while something can be done. pyopencl has buffers migrated for that. NVIDIA's driver crashes then if
another thread waits for the device meanwhile (docs/log.md); there, we fill the first bytes instead.
"""

import gc
import threading
import warnings
import weakref
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy

from tensor import machine_memory
from tensor.errors import OutOfMemoryError
from tensor.memory import Memory, mebibytes
from tensor.nvidia import compute_capability
from tensor.refusal import is_short_of_memory

if TYPE_CHECKING:
    from tensor.device import Device, OpenCLDevice

_LOOK_EVERY_BYTES = 64 * 2**20  # of growth; to ask the system costs 50 µs
_ZERO = numpy.zeros(1, numpy.uint32)


class Tally:
    """Bytes and pieces in use, and the most bytes at once; counts from any thread."""

    def __init__(self) -> None:
        self.bytes = 0
        self.pieces = 0
        self.peak_bytes = 0
        self._lock = threading.RLock()  # a collection inside `add` may call `remove`

    def add(self, size_bytes: int) -> None:
        with self._lock:
            self.pieces += 1
            self.bytes += size_bytes
            if self.bytes > self.peak_bytes:
                self.peak_bytes = self.bytes

    def remove(self, size_bytes: int) -> None:
        with self._lock:
            self.pieces -= 1
            self.bytes -= size_bytes

    def reset_peak(self) -> None:
        with self._lock:
            self.peak_bytes = self.bytes

    def follow(self, owner: Any, size_bytes: int) -> None:
        """Count these bytes for as long as `owner` lives."""
        self.add(size_bytes)
        weakref.finalize(owner, self.remove, size_bytes).atexit = False


class HostPieces:
    """NumPy arrays that hold the values of a device's arrays."""

    def __init__(self, device: "Device") -> None:
        self.tally = Tally()
        self._room = HostRoom(device)

    def allocate(self, count: int, dtype: numpy.dtype[Any]) -> numpy.ndarray[Any, Any]:
        """An uninitialised flat array, counted while it lives; raises OutOfMemoryError."""
        size_bytes = count * dtype.itemsize
        in_use_bytes = self.tally.bytes + size_bytes
        if in_use_bytes > self.tally.peak_bytes:
            self._room.require(size_bytes, in_use_bytes)
        try:
            values = numpy.empty(count, dtype)
        except (MemoryError, ValueError) as error:  # ValueError: more bytes than addresses
            raise out_of_memory(self._room.device, size_bytes) from error
        return self.count(values)

    def reset_peak(self) -> None:
        """Forget the peak: it is what is in use now."""
        self.tally.reset_peak()
        self._room.look_again()

    def count(self, values: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        """Count an array that was made elsewhere, while it lives."""
        self.tally.follow(values, values.nbytes)
        return values


class HostRoom:
    """Refuses growth that the host's memory cannot hold; looks again after every 64 MiB of it."""

    def __init__(self, device: "Device") -> None:
        self.device = device
        self._total_bytes = machine_memory.total_bytes()
        self._fine_until_bytes = _LOOK_EVERY_BYTES

    def require(self, size_bytes: int, in_use_bytes: int) -> None:
        """Raise OutOfMemoryError unless `size_bytes` are free, by which `in_use_bytes` are reached."""
        if in_use_bytes <= self._fine_until_bytes:
            return
        if self._is_short(size_bytes, in_use_bytes):
            self.device.release_memory()
            if self._is_short(size_bytes, in_use_bytes):
                raise out_of_memory(self.device, size_bytes)
        self._fine_until_bytes = in_use_bytes + _LOOK_EVERY_BYTES

    def look_again(self) -> None:
        """Ask the system at the next growth, since memory has been given back."""
        self._fine_until_bytes = 0

    def _is_short(self, size_bytes: int, in_use_bytes: int) -> bool:
        if (
            0 < self._total_bytes < in_use_bytes
        ):  # much of it may not have been touched, so the rest looks free
            return True
        available_bytes = machine_memory.available_bytes()
        return available_bytes is not None and size_bytes > available_bytes


class Pools:
    """The pools of one OpenCL device: `main` for all, and one for each recording that is alive."""

    def __init__(self, device: "OpenCLDevice") -> None:
        import pyopencl

        self.main = _new_pool(device)
        self.peak_bytes = 0
        self._seen_bytes = 0  # of the main pool: beyond it the peak moves
        self._device = device
        self._room = HostRoom(device) if device.uses_host_memory else None
        self._exact = Tally()
        self._slabs = Tally()
        self._fills = _fills_new_memory(device)
        self._filled_bytes = 0  # what the main pool had from the driver when it was last filled
        self._of_recordings: tuple[tuple[weakref.ref[Any], Any], ...] = ()
        self._lock = threading.RLock()
        self._error = pyopencl.Error

    def allocate(self, size_bytes: int, recording: Any) -> Any:
        """An uninitialised buffer of at least four bytes, since OpenCL has no empty ones; raises
        OutOfMemoryError."""
        pool = self.main if recording is None else recording.pool
        if size_bytes < 4:
            size_bytes = 4
        if size_bytes > self._device.largest_buffer_bytes:
            raise out_of_memory(self._device, size_bytes)
        try:
            buffer = pool.allocate(size_bytes)
            if self._fills and pool.managed_bytes != self._filled_bytes:
                self._fill(pool, buffer)
        except self._error as error:
            buffer = self._allocate_again(pool, size_bytes, error)
        if pool is not self.main or pool.active_bytes > self._seen_bytes:
            self._note_growth(size_bytes)
        return buffer

    def _fill(self, pool: Any, buffer: Any) -> None:
        """Use a buffer that may be new."""
        import pyopencl

        pyopencl.enqueue_fill_buffer(self._device.queue.raw, buffer, _ZERO, 0, _ZERO.nbytes)
        if pool is self.main:
            self._filled_bytes = pool.managed_bytes

    def _note_growth(self, size_bytes: int) -> None:
        """Move the peak; refuse what the host does not have, which it has only promised so far."""
        in_use_bytes = self.in_use_bytes()
        if in_use_bytes > self.peak_bytes:
            if self._room is not None:
                self._room.require(size_bytes, in_use_bytes)
            self.peak_bytes = in_use_bytes
        self._seen_bytes = self.peak_bytes - (in_use_bytes - self.main.active_bytes)

    def in_use_bytes(self) -> int:
        """What arrays occupy now."""
        in_use_bytes: int = self.main.active_bytes + self._exact.bytes
        for _, pool in self._of_recordings:
            in_use_bytes += pool.active_bytes
        return in_use_bytes

    def for_recording(self, recording: Any) -> Any:
        """A pool of a recording's own, so that nobody else gets what it writes to."""
        pool = _new_pool(self._device)
        with self._lock:
            self._of_recordings = (*self._alive(), (weakref.ref(recording), pool))
        return pool

    def memory(self) -> Memory:
        with self._lock:
            self._of_recordings = self._alive()
            pools = [self.main, *(pool for _, pool in self._of_recordings)]
        in_use_bytes = self.in_use_bytes()
        return Memory(
            self._device.spec,
            in_use_bytes=in_use_bytes,
            held_bytes=self._slabs.bytes + sum(each.managed_bytes - each.active_bytes for each in pools),
            peak_bytes=max(self.peak_bytes, in_use_bytes),
            limit_bytes=self._device.memory_bytes,
            largest_array_bytes=self._device.largest_buffer_bytes,
            allocations=self._exact.pieces + sum(each.active_blocks for each in pools),
        )

    def reset_peak(self) -> None:
        """Forget the peak: it is what is in use now."""
        self.peak_bytes = self.in_use_bytes()
        self._seen_bytes = self.main.active_bytes
        if self._room is not None:
            self._room.look_again()

    def release(self) -> int:
        """Give back to the driver what the main pool holds; waits for the device. Returns the bytes."""
        self._device.synchronize()  # the driver frees what no enqueued work uses
        before: int = self.main.managed_bytes
        self.main.free_held()
        if self._room is not None:
            self._room.look_again()
        return before - int(self.main.managed_bytes)

    def _alive(self) -> tuple[tuple[weakref.ref[Any], Any], ...]:
        """The pools that a recording may replay on, or whose arrays have outlived it."""
        return tuple(each for each in self._of_recordings if each[0]() is not None or each[1].active_blocks)

    def _allocate_again(self, pool: Any, size_bytes: int, error: Any) -> Any:
        """Once more, with all memory that nobody uses given back."""
        exactly = pool.alloc_size(pool.bin_number(size_bytes)) > self._device.largest_buffer_bytes
        if not exactly and not is_short_of_memory(error):
            raise out_of_memory(self._device, size_bytes) from error
        gc.collect()
        self.release()
        try:
            if exactly:
                return self._allocate_exactly(size_bytes)
            buffer = pool.allocate(size_bytes)
            if self._fills:
                self._fill(pool, buffer)
            return buffer
        except self._error as again:
            raise out_of_memory(self._device, size_bytes) from again

    def for_replays(self, size_bytes: int) -> Any:
        """A buffer for the temporaries of a recording; raises OutOfMemoryError."""
        try:
            return self._exact_buffer(size_bytes, self._slabs)
        except self._error:
            gc.collect()
            self.release()
        try:
            return self._exact_buffer(size_bytes, self._slabs)
        except self._error as error:
            raise out_of_memory(self._device, size_bytes) from error

    def _allocate_exactly(self, size_bytes: int) -> Any:
        """A buffer of just this size, which pools would round up beyond what the device allows."""
        buffer = self._exact_buffer(size_bytes, self._exact)
        self._note_growth(size_bytes)
        return buffer

    def _exact_buffer(self, size_bytes: int, tally: Tally) -> Any:
        import pyopencl

        buffer = _exact_buffer_class()(self._device.context, pyopencl.mem_flags.READ_WRITE, size_bytes)
        tally.follow(buffer, size_bytes)
        return buffer


def _fills_new_memory(device: "OpenCLDevice") -> bool:
    return compute_capability(device.raw) > (0, 0)


_warnings_lock = threading.Lock()  # what is ignored for a moment is so for all threads


def _new_pool(device: "OpenCLDevice") -> Any:
    from pyopencl.tools import DeferredAllocator, ImmediateAllocator, MemoryPool

    if not _fills_new_memory(device):
        return MemoryPool(ImmediateAllocator(device.queue.raw))
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that such a pool does not hear of a refusal at once
        return MemoryPool(DeferredAllocator(device.context))


@cache
def _exact_buffer_class() -> Any:
    """pyopencl's Buffer with weak references, which a class of ours gives it."""
    import pyopencl

    class ExactBuffer(pyopencl.Buffer):
        pass

    return ExactBuffer


def out_of_memory(device: "Device", size_bytes: int) -> OutOfMemoryError:
    """The error that names what was asked for and what there is."""
    memory = device.memory()
    available_bytes = machine_memory.available_bytes() if device.uses_host_memory else None
    free = "" if available_bytes is None else f", this machine has {mebibytes(available_bytes)} free"
    return OutOfMemoryError(
        f"{device.name} cannot hold another array of {mebibytes(size_bytes)}: "
        f"{mebibytes(memory.in_use_bytes)} are in use of {mebibytes(memory.limit_bytes)}{free}, and one "
        f"array may have {mebibytes(memory.largest_array_bytes)}. Use a smaller batch, tensor.scope(), or "
        "another device."
    )
