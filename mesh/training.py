"""Training from Python: `mesh.start` and `mesh.join` do what the commands of the same names do."""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol, Unpack

import nn
from mesh.choices import Choices
from mesh.defaults import DEFAULT_PORT
from mesh.events import Evaluated, Event, Finished, Saved, StepFinal
from mesh.job import Job
from mesh.node import Node
from mesh.run import RunFolder


@dataclass(frozen=True)
class Result:
    """What came of a run, as this peer saw it.

    `steps` are final; `accuracy` (a fraction of the test samples) and `loss` (the mean over the last step's
    batch) are None where nothing was measured; `why` it ended: "finished" or "left".
    """

    steps: int
    accuracy: float | None
    loss: float | None
    why: str
    network: nn.Layer


class Reporter(Protocol):
    """Whoever is told what happens: a screen, a folder, a stream."""

    def event(self, event: Event, time_s: float) -> None:
        """Something happened at `time_s` seconds since the epoch."""

    def tick(self) -> None:
        """About a tenth of a second has passed."""


class Outcome:
    """Gathers from the events what a run came to."""

    def __init__(self) -> None:
        self.steps = 0
        self.accuracy: float | None = None
        self.loss: float | None = None
        self.why = "left"
        self.path: str | None = None

    def event(self, event: Event, time_s: float) -> None:
        """Keep the newest of each fact."""
        match event:
            case StepFinal():
                self.steps, self.loss = event.step, event.loss
            case Evaluated():
                self.accuracy = event.accuracy
            case Saved():
                self.path = event.path
            case Finished():
                self.steps, self.why = event.step, event.why

    def tick(self) -> None:
        """Nothing to do between events."""


class _Callback:
    """A user's function as a Reporter."""

    def __init__(self, function: Callable[[Event], None]) -> None:
        self._function = function

    def event(self, event: Event, time_s: float) -> None:
        self._function(event)

    def tick(self) -> None:
        pass


def start(
    job: Job,
    *,
    port: int = DEFAULT_PORT,
    on_event: Callable[[Event], None] | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Train `job`, alone at first; others may join at `port` (0: any free one). Blocks until the end.

    Each peer chooses for itself:

    - `device`: what `tensor.device` takes; by default the best one.
    - `insecure`: other machines can join, too, unencrypted.
    - `run`: a folder for events, metrics and the saved network; without it nothing is written.
    - `uses`: files with layers of one's own.
    - `checkpoint`: that of `nn.value_and_grad`: less memory here, the same results.

    `on_event` is called in this thread. Ctrl-C leaves in order, then raises KeyboardInterrupt. Raises
    subclasses of MeshError: no data or device, a port in use, a loss that is not finite.
    """
    return _trained(partial(Node.start, job, port=port), on_event, choices)


def join(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    thin: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Take part in the job of the peer at `host`:`port` until it is done. Blocks until the end.

    `thin`: compute with 8-bit weights and keep no optimizer state. The other arguments are those of
    `start`. Raises UnreachableError where no peer answers, RefusedError where one says no.
    """
    return _trained(partial(Node.join, host, port, thin=thin), on_event, choices)


def follow(node: Node, reporters: Sequence[Reporter]) -> Outcome:
    """Run `node` to its end and tell the reporters all of it."""
    outcome = Outcome()

    def on_event(event: Event) -> None:
        time_s = time.time()
        for reporter in (outcome, *reporters):
            reporter.event(event, time_s)

    def on_tick() -> None:
        for reporter in reporters:
            reporter.tick()

    node.run(on_event, on_tick)
    return outcome


def _trained(
    make_node: Callable[..., Node], on_event: Callable[[Event], None] | None, choices: Choices
) -> Result:
    """The run's folder is opened first: a full disk is found before a port is taken."""
    run = choices.get("run")
    with ExitStack() as stack:
        reporters: list[Reporter] = []
        if run is not None:
            reporters.append(stack.enter_context(RunFolder(Path(run), _warn)))
        if on_event is not None:
            reporters.append(_Callback(on_event))
        node = make_node(**choices)
        with _leaving_on_interrupt(node):
            outcome = follow(node, reporters)
    return Result(outcome.steps, outcome.accuracy, outcome.loss, outcome.why, node.network)


@contextmanager
def _leaving_on_interrupt(node: Node) -> Iterator[None]:
    """Ctrl-C leaves the mesh in order before it raises KeyboardInterrupt; a second one raises it at once.

    Where the program has a handler of its own, or this is not its main thread, nothing is changed.
    """
    usual = signal.default_int_handler
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is usual
    if not ours:
        yield
        return
    seen = False

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            usual(number, frame)
        seen = True
        node.leave()

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if seen:
        raise KeyboardInterrupt


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
