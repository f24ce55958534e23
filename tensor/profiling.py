"""Where the time goes: `with tensor.profile() as p: …`, then `print(p)` and `p.trace("trace.json")`.

Inside the block the device works through a second command queue, one that stamps its commands with their
times; the device is waited for at both borders, so the order of work stays what it was. Outside, nothing is
measured and nothing is paid: what launches kernels is exchanged, not asked.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, OpenCLDevice
from tensor.discovery import device as find_device
from tensor.errors import DeviceError
from tensor.primitive import watching_calls
from tensor.profile_report import Row, Span, rows, table_text, write_trace
from tensor.program import kernel_label

_MOST_PENDING = 10_000  # events that wait for the device; drivers keep something for each
_MOVES_ALL_ONCE = ("elementwise", "reduction")  # files of kernels that do


@dataclass
class _Operation:
    """The primitive under way in a thread."""

    name: str = ""
    start_ns: int = 0
    launches: int = 0
    size_bytes: int | None = None
    outer: "_Operation | None" = None  # of which it is a part


class _Here(threading.local):
    operation: _Operation | None = None


@dataclass(frozen=True)
class _Command:
    """An enqueued command: its event, and what it is."""

    event: Any
    what: Any  # a pyopencl kernel, or the name of a copy
    operation: _Operation | None = None
    size_bytes: int | None = None
    sizes: str = ""


class profile:  # noqa: N801 - reads as a statement: `with tensor.profile() as p:`
    """Measure what a device (the default one) does inside the block: kernels, copies, and work on the host.

    Afterwards `print(p)` shows a table, `p.table()` gives its rows, `p.trace(path)` writes a file for
    ui.perfetto.dev. Launches of all threads are seen, by OpenCL's own clocks, replays too; the names of
    operations are known for this thread's, as is the time that NumPy takes. Raises DeviceError inside another
    profile of the same device.
    """

    def __init__(self, spec: Device | str | None = None) -> None:
        self.device = find_device(spec)
        self.wall_ms = 0.0
        self._here = _Here()
        self._spans: list[Span] = []
        self._pending: deque[_Command] = deque()
        self._clock_shift_ns = 0  # what the device's clock lacks to Python's
        self._lock = threading.Lock()

    # --- the block ------------------------------------------------------------------------------------------

    def __enter__(self) -> "profile":
        queue = self.device.queue
        if queue.profile is not None:
            raise DeviceError(f"profile() inside profile() of {self.device.spec}: one at a time.")
        self.device.synchronize()
        self._before = queue.exchange(*self._measuring(), profile=self)
        self._watching = watching_calls(self)
        self._watching.__enter__()
        self._start_ns = perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.__exit__(kind, error, traceback)
        try:
            self.device.synchronize()
        finally:
            self.device.queue.exchange(*self._before, profile=None)
        self.wall_ms = (perf_counter_ns() - self._start_ns) / 1e6
        self._harvest(len(self._pending))

    def _measuring(self) -> tuple[Any, Any]:
        """A command queue with clocks, and what enqueues kernels on it."""
        if not isinstance(self.device, OpenCLDevice):
            return None, None
        import pyopencl

        self._enqueue = pyopencl.enqueue_nd_range_kernel
        clocks = pyopencl.command_queue_properties.PROFILING_ENABLE
        raw = pyopencl.CommandQueue(self.device.context, properties=clocks)
        asked_ns = perf_counter_ns()
        first = pyopencl.enqueue_copy(raw, self.device.pools.main.allocate(4), numpy.zeros(1, numpy.int32))
        first.wait()
        self._clock_shift_ns = asked_ns - first.profile.queued
        return raw, self._launch

    # --- what the queue and the primitives call -------------------------------------------------------------

    def _launch(self, raw: Any, kernel: Any, global_size: Any, local_size: Any, **options: Any) -> Any:
        event = self._enqueue(raw, kernel, global_size, local_size, **options)
        operation = self._here.operation
        if operation is not None:
            operation.launches += 1
        sizes = f"{global_size} by {local_size}"
        self._add(_Command(event, kernel, operation, sizes=sizes))
        return event

    def copied(self, name: str, event: Any, size_bytes: int) -> None:
        """Note a copy between host and device that has been enqueued."""
        self._add(_Command(event, name, self._here.operation, size_bytes))

    def begin(self, name: str) -> None:
        """A primitive or a fused function is about to run in this thread."""
        self._here.operation = _Operation(name, perf_counter_ns(), outer=self._here.operation)

    def end(self, inputs: Sequence[Array], output: Array | None) -> None:
        """It has run; `output` is None if it failed, or was fused of many."""
        operation = self._here.operation
        if operation is None:
            return
        self._here.operation = operation.outer
        if output is not None and output.device is self.device:
            operation.size_bytes = sum(map(_touched_bytes, [*inputs, output]))
            self._host(operation.name, operation.start_ns, operation.launches == 0)

    def replay(self, actions: Sequence[Callable[[], object]], names: Sequence[str]) -> None:
        """Run the actions of a recording; those of the host have names."""
        self._here.operation = _Operation("(replay)")
        try:
            for action, name in zip(actions, names, strict=True):
                start_ns = perf_counter_ns()
                action()
                if name:
                    self._host(name, start_ns, True)
        finally:
            self._here.operation = None

    def _host(self, name: str, start_ns: int, in_table: bool) -> None:
        self._spans.append(Span("host", "on the host", name, start_ns, perf_counter_ns(), in_table=in_table))

    # --- events ---------------------------------------------------------------------------------------------

    def _add(self, command: _Command) -> None:
        self._pending.append(command)
        if len(self._pending) >= _MOST_PENDING:
            self._harvest(_MOST_PENDING // 2)

    def _harvest(self, count: int) -> None:
        """Read the times of the oldest commands; waits for them."""
        with self._lock:
            for _ in range(min(count, len(self._pending))):
                self._spans.append(self._measured(self._pending.popleft()))

    def _measured(self, command: _Command) -> Span:

        command.event.wait()
        stamps = command.event.profile
        shift = self._clock_shift_ns
        is_copy = isinstance(command.what, str)
        assert isinstance(self.device, OpenCLDevice)
        name = command.what if is_copy else kernel_label(self.device, command.what)
        operation = command.operation or _Operation()
        size_bytes = command.size_bytes
        if operation.launches == 1 and name.startswith(_MOVES_ALL_ONCE):
            size_bytes = operation.size_bytes
        return Span(
            "copy" if is_copy else "kernel",
            name,
            operation.name,
            stamps.start + shift,
            stamps.end + shift,
            size_bytes,
            stamps.queued + shift,
            stamps.submit + shift,
            command.sizes,
        )

    # --- results --------------------------------------------------------------------------------------------

    def table(self) -> list[Row]:
        """What was measured, summed by operation and kernel; what took longest first."""
        return rows(self._spans)

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Write what was measured as a file for ui.perfetto.dev or chrome://tracing."""
        write_trace(Path(path), self._spans, f"{self.device.spec}: {self.device.name}")

    def __str__(self) -> str:
        found = self.table()
        busy_ms = sum(each.total_ms for each in found)
        head = f"{self.device.spec}: {busy_ms:,.3f} ms measured in {self.wall_ms:,.3f} ms"
        return f"{head}\n{table_text(found)}"


def _touched_bytes(x: Array) -> int:
    """The bytes of the elements that exist: a broadcast axis has one."""
    sizes = [count for count, stride in zip(x.shape, x.strides, strict=True) if stride or count == 0]
    return math.prod(sizes) * x.dtype.itemsize
