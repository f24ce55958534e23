"""A launch of which only the memory changes from call to call: what an eager operation costs is decided
here."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Protocol

from tensor.array import Array, Layout
from tensor.device import OpenCLDevice
from tensor.dtypes import int64
from tensor.kernel import DeviceKernel
from tensor.kernel_arguments import packed
from tensor.memory import Storage
from tensor.queue import Size


class Launch(Protocol):
    """What does one operation on arrays, the one it writes first; everything but their memory is decided."""

    def __call__(self, *arrays: Array) -> None:
        """Launch, or record the launch."""

    def enqueue(self, arrays: Sequence[Array]) -> None:
        """Launch where nothing is recorded."""


class Preset:
    """A launch with everything set but the memory: call it with arrays.

    For kernels whose arguments begin with a buffer and an offset (in elements) for each array. A launch so
    costs little more than the driver's own enqueue; `kernel(…)` sets all arguments each time.
    """

    def __init__(
        self, kernel: DeviceKernel, global_size: Size, local_size: Size | None, numbers: Sequence[Any]
    ) -> None:
        self._kernel = kernel
        self._queue = kernel.device.queue
        self.sizes = global_size, local_size
        self._numbers = tuple(numbers)
        self._ends_soon = kernel.device.sleeps_at_once and global_size == local_size
        # An OpenCL kernel holds its arguments, so one thread at a time uses it: those that nobody uses now,
        # with the offsets that are set in them and what enqueues them.
        self._idle: list[tuple[Any, list[int], Callable[[], int] | None]] = []

    def __call__(self, *arrays: Array) -> None:
        if self._queue.active.recording is None:
            self.enqueue(arrays)
        else:
            self._queue.launch(self._kernel, *self.sizes, self._arguments(arrays))

    def enqueue(self, arrays: Sequence[Array]) -> None:
        try:
            own = self._idle.pop()
        except IndexError:
            ready = self._kernel.bound(self._arguments(arrays))
            own = ready, [each.offset for each in arrays], self._queue.direct(ready, *self.sizes)
        ready, offsets, direct = own
        for i, each in enumerate(arrays):
            storage = each.storage
            ready.set_arg(2 * i, storage._buffer or storage.buffer)
            if each.offset != offsets[i]:
                ready.set_arg(2 * i + 1, packed(each.offset, int64))
                offsets[i] = each.offset
        queue = self._queue
        if direct is None or queue.profile is not None or queue.raw_or_none is None or direct():
            queue.enqueue(ready, *self.sizes)
        else:
            queue.ends_soon = self._ends_soon
        self._idle.append(own)

    @property
    def idle_kernel(self) -> Any:
        """A pyopencl kernel as the last launch left it, arguments and all."""
        return self._idle[-1][0]

    def _arguments(self, arrays: Sequence[Array]) -> list[Any]:
        memory = [part for each in arrays for part in (each.storage.buffer, each.offset)]
        return [*memory, *self._numbers]


class Exchanged:
    """A launch that takes its two inputs the other way round."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def __call__(self, *arrays: Array) -> None:
        output, first, second = arrays
        self._launch(output, second, first)

    def enqueue(self, arrays: Sequence[Array]) -> None:
        output, first, second = arrays
        self._launch.enqueue((output, second, first))


class InTurn:
    """Launches one after the other, each on arrays that begin so many elements later."""

    def __init__(self, steps: Sequence[tuple[Launch, Sequence[int]]]) -> None:
        self._steps = steps

    def __call__(self, *arrays: Array) -> None:
        for launch, offsets in self._steps:
            launch(*map(_later, arrays, offsets))

    def enqueue(self, arrays: Sequence[Array]) -> None:
        for launch, offsets in self._steps:
            launch.enqueue(tuple(map(_later, arrays, offsets)))


def _later(array: Array, elements: int) -> Array:
    """The memory of an array from a later element on."""
    return Array(array.storage, (), (), array.offset + elements, array.dtype) if elements else array


class Producer:
    """A launch whose first array is made anew by each call: called with the other ones, it returns that
    one."""

    def __init__(self, output: Layout, launch: Launch | None) -> None:
        assert isinstance(output.device, OpenCLDevice)
        self._device, self._layout = output.device, output
        self._active = output.device.queue.active
        self._allocate = output.device.pools.allocate
        self._size_bytes = prod(output.shape) * output.dtype.itemsize
        self._launch = launch  # None if there is nothing to compute

    def __call__(self, *inputs: Array) -> Array:
        layout, launch, size_bytes = self._layout, self._launch, self._size_bytes
        if launch is None or self._active.recording is not None:
            output = Array.new(layout.shape, layout.dtype, self._device)
            if launch is not None:
                launch(output, *inputs)
            return output
        storage = Storage(self._device, self._allocate(size_bytes, None), size_bytes)
        output = Array(storage, layout.shape, layout.strides, 0, layout.dtype)
        output.layout = layout
        launch.enqueue((output, *inputs))
        return output
