"""The one door to a device: every launch and every host call passes through its Queue, so that it can be
recorded.

Enqueuing a kernel whose arguments are set costs 2–5 µs on PoCL; finding the kernel and setting arguments
costs several times that. A recording therefore gives every launch a kernel object of its own with the
arguments bound, and replaying is a loop of raw enqueues.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

Size = tuple[int, ...]


class Launchable(Protocol):
    """What the queue needs to know of a kernel; `tensor.kernel.DeviceKernel` is one."""

    def prepared(self, arguments: Sequence[Any]) -> Any:
        """This thread's pyopencl kernel with the arguments set."""

    def bound(self, arguments: Sequence[Any]) -> Any:
        """A new pyopencl kernel of its own with the arguments set."""


class Recorder(Protocol):
    """What the queue tells while something is recorded; `tensor.record.Recording` is one."""

    pool: Any

    def add(self, action: Callable[[], object], arguments: Sequence[Any] = ()) -> None:
        """Append one action of the replay."""

    def own(self, buffer: Any) -> None:
        """Take note that `buffer` comes from the recording's own pool."""


class _Active(threading.local):
    recording: Recorder | None = None


class Queue:
    """The in-order queue of one device; `raw` is pyopencl's command queue, None on NumPy."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._active = _Active()
        if raw is not None:
            import pyopencl

            self._enqueue = pyopencl.enqueue_nd_range_kernel

    @property
    def recording(self) -> Recorder | None:
        """The recording under way in this thread."""
        return self._active.recording

    @recording.setter
    def recording(self, recording: Recorder | None) -> None:
        self._active.recording = recording

    def launch(
        self, kernel: Launchable, global_size: Size, local_size: Size | None, arguments: Sequence[Any]
    ) -> None:
        """Enqueue one kernel; sizes in work-items, arguments as pyopencl takes them."""
        recording = self._active.recording
        if recording is None:
            self._enqueue(self.raw, kernel.prepared(arguments), global_size, local_size)
            return
        bound = kernel.bound(arguments)

        def replay() -> None:
            self._enqueue(self.raw, bound, global_size, local_size)

        replay()
        recording.add(replay, arguments)

    def run(self, action: Callable[[], object], arguments: Sequence[Any] = ()) -> None:
        """Do something that is no kernel launch (a copy, NumPy's work), now and whenever this is replayed.

        `arguments` are the buffers that the action uses and that a recording has to keep alive.
        """
        recording = self._active.recording
        if recording is None:
            action()
            return
        with self.not_recording():
            action()
        recording.add(action, arguments)

    @contextmanager
    def not_recording(self) -> Iterator[None]:
        """What is enqueued in this block is not recorded."""
        recording = self._active.recording
        self._active.recording = None
        try:
            yield
        finally:
            self._active.recording = recording
