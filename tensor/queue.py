"""The one door to a device: every launch and every host call passes through its Queue, so that it can be
recorded.

Enqueuing a kernel whose arguments are set costs 2–5 µs on PoCL; finding the kernel and setting arguments
costs several times that. A recording therefore gives every launch a kernel object of its own with the
arguments bound, and replaying is a loop of raw enqueues.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from tensor.direct import direct_launch
from tensor.errors import DeviceError
from tensor.refusal import is_short_of_memory, launch_refused

if TYPE_CHECKING:
    from tensor.device import OpenCLDevice
    from tensor.memory import Storage

Size = tuple[int, ...]


class Launchable(Protocol):
    """What the queue needs to know of a kernel; `tensor.kernel.DeviceKernel` is one."""

    name: str

    def prepared(self, arguments: Sequence[Any]) -> Any:
        """This thread's pyopencl kernel with the arguments set."""

    def bound(self, arguments: Sequence[Any]) -> Any:
        """A new pyopencl kernel of its own with the arguments set."""


class Recorder(Protocol):
    """What the queue tells while something is recorded; `tensor.record.Recording` is one."""

    pool: Any

    def add(
        self,
        action: Callable[[], object],
        arguments: Sequence[Any] = (),
        name: str = "",
        kernel: Any = None,
        direct: Callable[[], int] | None = None,
    ) -> None:
        """Append one action of the replay."""

    def own(self, storage: "Storage") -> None:
        """Take note of memory that was allocated for the recording."""

    def seats(self, arrays: Sequence[Any]) -> list[Any]:
        """NumPy's views of arrays, for the action to be added next."""


class _Active(threading.local):
    recording: Recorder | None = None


class Queue:
    """The in-order queue of one device around pyopencl's command queue, or around None on NumPy."""

    refused: type[Exception] | tuple[()] = ()  # what a driver raises
    ends_soon = False  # the last launch was of one group, on PoCL: it pays to wait awake

    def __init__(self, raw: Any, device: "OpenCLDevice | None" = None) -> None:
        self.raw_or_none = raw
        self._outside_profiles = raw
        self._device = device
        self.active = _Active()
        self.driver_enqueue: Any = None
        self.profile: Any = None  # what measures this queue at the moment
        if raw is not None:
            import pyopencl

            self.driver_enqueue = pyopencl.enqueue_nd_range_kernel
            self.refused = pyopencl.Error
            _queues.add(self)

    @property
    def raw(self) -> Any:
        """pyopencl's command queue. Raises DeviceError in the child of a fork."""
        if self.raw_or_none is None:
            raise DeviceError(
                "This process was forked after its parent had begun to use OpenCL, whose threads a fork "
                'leaves behind. Start processes with multiprocessing.get_context("spawn"), or use OpenCL '
                "in the child alone."
            )
        return self.raw_or_none

    def exchange(self, raw: Any, enqueue: Any, profile: Any) -> tuple[Any, Any]:
        """Go on with another command queue and another function that enqueues kernels; returns the former
        two. The device has to be idle."""
        before = self.raw_or_none, self.driver_enqueue
        self.raw_or_none, self.driver_enqueue, self.profile = raw, enqueue, profile
        return before

    def leave_to_parent(self) -> None:
        """Use the command queue no more: in the child of a fork it waits for threads that are not there."""
        _of_parent.append(self.raw_or_none)  # never released, which would wait too
        self.raw_or_none = None

    @property
    def recording(self) -> Recorder | None:
        """The recording under way in this thread."""
        return self.active.recording

    @recording.setter
    def recording(self, recording: Recorder | None) -> None:
        self.active.recording = recording

    def launch(
        self, kernel: Launchable, global_size: Size, local_size: Size | None, arguments: Sequence[Any]
    ) -> None:
        """Enqueue one kernel; sizes in work-items, arguments as pyopencl takes them."""
        recording = self.active.recording
        ready = kernel.prepared(arguments) if recording is None else kernel.bound(arguments)
        self.enqueue(ready, global_size, local_size)
        if recording is not None:
            again = lambda: self.driver_enqueue(self.raw, ready, global_size, local_size)  # noqa: E731
            direct = self.direct(ready, global_size, local_size)
            recording.add(again, arguments, kernel=ready, direct=direct)

    def direct(self, ready: Any, global_size: Size, local_size: Size | None) -> Callable[[], int] | None:
        """What enqueues a pyopencl kernel whose arguments are set, past pyopencl: see tensor/direct.py.

        Not for use while a profile measures, nor after a fork.
        """
        return direct_launch(self._outside_profiles, ready, global_size, local_size)

    def enqueue(self, ready: Any, global_size: Size, local_size: Size | None) -> None:
        """Enqueue a pyopencl kernel whose arguments are set; unrecorded."""
        self.ends_soon = False
        try:
            self.driver_enqueue(self.raw_or_none or self.raw, ready, global_size, local_size)
        except self.refused as error:
            self.enqueue_again(ready, global_size, local_size, error)

    def enqueue_again(self, ready: Any, global_size: Size, local_size: Size | None, error: Any) -> None:
        """Once more if memory was short, with all that is held given back; else explain the refusal."""
        assert self._device is not None
        if is_short_of_memory(error):
            self._device.release_memory()
            try:
                self.driver_enqueue(self.raw, ready, global_size, local_size)
                return
            except self.refused as again:
                error = again
        raise launch_refused(self._device, ready, global_size, local_size, error) from error

    def run(self, action: Callable[[], object], arguments: Sequence[Any] = (), name: str = "") -> None:
        """Do something that is no kernel launch (a copy, NumPy's work), now and whenever this is replayed.

        `arguments` are the buffers that the action uses and that a recording has to keep alive. Work on the
        host has a `name`, under which profiles show its replays.
        """
        recording = self.active.recording
        if recording is None:
            action()
            return
        with self.not_recording():
            action()
        recording.add(action, arguments, name)

    @contextmanager
    def not_recording(self) -> Iterator[None]:
        """What is enqueued in this block is not recorded."""
        recording = self.active.recording
        self.active.recording = None
        try:
            yield
        finally:
            self.active.recording = recording


_queues: weakref.WeakSet[Queue] = weakref.WeakSet()
_of_parent: list[Any] = []


def _after_fork() -> None:
    for each in _queues:
        each.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
