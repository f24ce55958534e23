"""A launch of which only the memory changes from call to call."""

import threading
from collections.abc import Sequence
from typing import Any

from tensor.array import Array
from tensor.dtypes import int64
from tensor.kernel import DeviceKernel
from tensor.kernel_arguments import packed
from tensor.queue import Size


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
        self._sizes = global_size, local_size
        self._numbers = tuple(numbers)
        self._lock = threading.Lock()  # an OpenCL kernel object holds its arguments
        self._ready: Any = None
        self._offsets: list[int] = []

    def __call__(self, *arrays: Array) -> None:
        queue = self._queue
        if queue.recording is not None:
            memory = [part for each in arrays for part in (each.storage.buffer, each.offset)]
            queue.launch(self._kernel, *self._sizes, [*memory, *self._numbers])
            return
        with self._lock:
            ready = self._ready or self._begin(arrays)
            offsets = self._offsets
            place = 0
            for each in arrays:
                ready.set_arg(place, each.storage.buffer)
                if each.offset != offsets[place]:
                    offsets[place] = each.offset
                    ready.set_arg(place + 1, packed(each.offset, int64))
                place += 2
            queue.enqueue(ready, *self._sizes)

    def _begin(self, arrays: Sequence[Array]) -> Any:
        memory = [part for each in arrays for part in (each.storage.buffer, each.offset)]
        self._ready = self._kernel.bound([*memory, *self._numbers])
        self._offsets = [each.offset for each in arrays for _ in range(2)]
        return self._ready
