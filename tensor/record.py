"""Record what a function enqueues, and replay it without running its Python again.

    step = tensor.record(train_step, images, labels)    # runs once
    images[...] = next_batch
    step.replay()                                       # the same launches on the same memory

A replay repeats launches with the buffers and numbers of the first run: whatever shall differ from run to
run (a batch, the learning rate, a random counter) has to live in device memory. Memory that is allocated
while recording is the recording's own, so nothing else is ever placed where a replay writes; memory from
outside is kept alive. Temporaries share memory (replay_memory.py), so a replay needs about what the first run
needed at its peak.
"""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import numpy

from tensor.array import Array, Layout
from tensor.device import Device, OpenCLDevice
from tensor.discovery import default_device
from tensor.errors import RecordError
from tensor.memory import Storage, settle
from tensor.refusal import command_refused
from tensor.replay_memory import Piece, Span, placed


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
        self._direct: list[Callable[[], int] | None] = []
        self._kept: dict[int, Any] = {}
        self._pieces: list[Piece] = []
        self._piece_at: dict[int, Piece] = {}  # the latest, by address
        self._slabs: list[Any] = []  # the memory that temporaries share
        self._parts: list[Any] = []

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
            direct = self._direct if queue.raw_or_none is not None else repeat(None)  # not after a fork
            for launch, action in zip(direct, self._actions, strict=False):
                if launch is None or launch():
                    action()  # also to say what is wrong
            queue.ends_soon = False
        except queue.refused as error:
            raise command_refused(self.device, "replaying", error) from error
        return self.result

    def add(
        self,
        action: Callable[[], object],
        arguments: Sequence[Any] = (),
        name: str = "",
        kernel: Any = None,
        direct: Callable[[], int] | None = None,
    ) -> None:
        """Append an action; the memory among its arguments is kept alive.

        Where the action is the launch of `kernel`, a bound pyopencl kernel with these arguments, they may be
        exchanged later for other memory. `direct` does the same as the action, quicker, and returns 0; if not
        0, it has done nothing.
        """
        number = len(self._actions)
        self._actions.append(action)
        self._names.append(name)
        self._direct.append(direct)
        for place, each in enumerate(arguments):
            address = self.device.address_of(each)
            piece = self._piece(address)
            if address is not None and piece is None:
                self._kept.setdefault(address, each)
            elif piece is not None and kernel is None:
                self._stay(piece, each)
            elif piece is not None:
                piece.use(number, partial(kernel.set_arg, place))

    def own(self, storage: Storage) -> None:
        """Take note of memory that was allocated for this recording."""
        buffer = storage.buffer
        address = self.device.address_of(buffer)
        assert address is not None
        piece = self._piece_at[address] = Piece(storage, address)
        self._pieces.append(piece)
        if piece.stays or self.pool is not None:  # for now: the pool might give it back to the driver
            self._kept.setdefault(address, self.device.kept_for_replays(buffer))

    def seats(self, arrays: Sequence[Array]) -> list[Any]:
        """NumPy's views of arrays for the action to be added next; those of its own memory are there when all
        is recorded."""
        views: list[Any] = [None] * len(arrays)
        for place, x in enumerate(arrays):
            piece = self._piece(self.device.address_of(x.buffer))
            if piece is None:
                views[place] = x.host()
            else:
                piece.use(len(self._actions), partial(_seat, views, place, x.layout, x.offset))
        return views

    def _piece(self, address: int | None) -> Piece | None:
        """What was allocated at an address, if that is what lies there now."""
        piece = None if address is None else self._piece_at.get(address)
        return piece if piece is not None and (self.pool is not None or piece.is_held) else None

    def _stay(self, piece: Piece, buffer: Any) -> None:
        piece.stays = True
        self._kept.setdefault(piece.address, self.device.kept_for_replays(buffer))

    def share_memory(self) -> None:
        """Move the temporaries of the first run to memory that they share; for when all is recorded."""
        going = []
        for piece in self._pieces:
            held = piece.held_buffer
            if held is not None:
                self._stay(piece, held)
            elif not piece.stays and piece.span is not None:
                going.append((piece, piece.span))
        staying = {piece.address for piece in self._pieces if piece.stays}
        if self.pool is None:
            for piece in self._pieces:
                if piece.stays:
                    piece.move(self._kept[piece.address])
        for piece, _ in going:
            if piece.address not in staying:
                self._kept.pop(piece.address, None)
        self._pieces, self._piece_at = [], {}
        if going:
            self._move(going)

    def _move(self, going: Sequence[tuple[Piece, Span]]) -> None:
        self.device.synchronize()  # the first run may still be using what goes
        if self.pool is not None:
            self.pool.free_held()
        places, sizes = placed([span for _, span in going], *self.device.slab_limits)
        slabs = self._slabs = [self.device.slab(size_bytes) for size_bytes in sizes]
        for (piece, span), place in zip(going, places, strict=True):
            memory = slabs[place.slab](place.offset_bytes, span.size_bytes)
            self._parts.append(memory)
            piece.move(memory)


def _seat(views: list[Any], place: int, layout: Layout, offset: int, memory: Any) -> None:
    size = layout.dtype.itemsize
    strides = tuple(size * each for each in layout.strides)
    views[place] = numpy.ndarray(layout.shape, layout.dtype, memory, offset * size, strides)


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
    recording.share_memory()
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
