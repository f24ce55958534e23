"""Record what a function enqueues, and replay it without running its Python again.

    step = tensor.record(train_step, images, labels)    # runs once
    images[...] = next_batch
    step.replay()                                       # the same launches on the same memory

A replay repeats launches with the buffers and numbers of the first run: whatever shall differ from run to
run (a batch, the learning rate, a random counter) has to live in device memory. Memory that is allocated
while recording comes from a pool of the recording's own, so nothing else is ever placed where a replay
writes; memory from outside is kept alive.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tensor.device import Device, OpenCLDevice
from tensor.discovery import default_device
from tensor.errors import RecordError
from tensor.memory import settle
from tensor.refusal import command_refused


class Recording:
    """The launches and host calls of one run, in order. `result` is what the function returned, in memory
    that each replay writes anew."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.pool: Any = None
        if isinstance(device, OpenCLDevice):
            self.pool = device.pools.for_recording(self)
            # A result may outlive the recording; the memory between is of no use then.
            weakref.finalize(self, self.pool.stop_holding).atexit = False
        self.result: Any = None
        self._actions: list[Callable[[], object]] = []
        self._names: list[str] = []  # of those that work on the host, for profiles
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._actions)

    def replay(self) -> Any:
        """Do it all again; returns `result`, whose arrays now hold the new values. Does not wait for the
        device."""
        if self.device.queue.recording is not None:
            raise RecordError("replay() inside record(): call the recorded function itself there.")
        settle()
        queue = self.device.queue
        try:
            if queue.profile is not None:
                queue.profile.replay(self._actions, self._names)
                return self.result
            for action in self._actions:
                action()
        except queue.refused as error:
            raise command_refused(self.device, "replaying", error) from error
        return self.result

    def add(self, action: Callable[[], object], arguments: Sequence[Any] = (), name: str = "") -> None:
        """Append an action; the memory among its arguments is kept alive."""
        self._actions.append(action)
        self._names.append(name)
        for each in arguments:
            address = getattr(each, "int_ptr", None)
            if address is not None:
                self._kept.setdefault(address, each)

    def own(self, buffer: Any) -> None:
        """Keep the memory of a buffer from this recording's pool, while the pool may hand it out again.

        The driver's object is kept, not the pool's: a pool that runs out gives what is free back to the
        driver, and a replay would write there.
        """
        import pyopencl

        if buffer.int_ptr not in self._kept:
            self._kept[buffer.int_ptr] = pyopencl.MemoryObject.from_int_ptr(buffer.int_ptr, retain=True)


def record(function: Callable[..., Any], *arguments: Any, device: "Device | None" = None) -> Recording:
    """Run `function(*arguments)` once and keep what it enqueues on `device` (the default device) for replays.

    Raises RecordError if it reads values on the host (use host_call), if it does nothing on that device, or
    if recordings nest.
    """
    target = default_device() if device is None else device
    queue = target.queue
    if queue.recording is not None:
        raise RecordError(
            "record() inside record(): one recording at a time; call the inner function itself."
        )
    recording = Recording(target)
    queue.recording = recording
    try:
        recording.result = function(*arguments)
    finally:
        queue.recording = None
    if not len(recording):
        raise RecordError(
            f"Nothing was done on {target.spec} inside record(). If the arrays live on another device, name "
            "it: record(function, device=x.device)."
        )
    return recording


def host_call(function: Callable[[], object], device: "Device | None" = None) -> None:
    """Run `function()` on the host now, and at this very point of every replay of the recording under way.

    Launches before it have been enqueued by then, not necessarily finished; reading an array waits for them.
    """
    (default_device() if device is None else device).queue.run(function, name="host_call")
