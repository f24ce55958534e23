"""A node that plays events from a list: the face of mesh is tested without a mesh."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nn
from mesh.events import Evaluated, Event, Finished, Joined, Listening, Saved, StepFinal, ViewBegun
from mesh.snapshot import MemberFacts, Snapshot

LISTENING = Listening(("127.0.0.1:7680",), 7680, "a device", "abcdef012345")


def step(number: int, loss: float = 0.5) -> StepFinal:
    return StepFinal(number, 1, loss, 120, 1, 2, 1000, "00ff", 0.25)


EVENTS: tuple[Event, ...] = (
    LISTENING,
    Joined("abcdef012345", "a device", True),
    ViewBegun(1, 1, ({"id": "abcdef012345", "device": "a device", "speed": 100.0, "full": True},)),
    step(1, 2.25),
    step(2, 0.125),
    Evaluated(2, 0.9731, 0.25, "abcdef012345"),
    Saved(2, "somewhere/checkpoint.safetensors"),
    Finished(2, "finished"),
)


def facts(members: int = 1, **changes: Any) -> Snapshot:
    peers = tuple(
        MemberFacts(f"{number:06d}abcdef", "a device", "127.0.0.1:7680", "full", number == 0, 40, 1234.0)
        for number in range(members)
    )
    values: dict[str, Any] = {
        "job": "00ff",
        "data": "digits",
        "codec": "dettmers8",
        "state": "training",
        "step": 250,
        "steps": 1000,
        "view": 3,
        "loss": 0.03125,
        "accuracy": 0.9731,
        "samples_s": 4211.4,
        "bytes_s": 1.25e6,
        "parameters": 131_080,
        "members": peers,
    }
    return Snapshot(**{**values, **changes})


class FakeNode:
    """Has what the face uses of a Node; `arguments` are what it was made with."""

    arguments: dict[str, Any]

    computes = False

    def __init__(self, events: Sequence[Event] = EVENTS, failure: Exception | None = None) -> None:
        self._events = events
        self._failure = failure
        self.has_left = False
        self.network = nn.Sequential(relu=nn.ReLU())
        self.during_run: Callable[[], None] = lambda: None

    def start(self, job: Any, **options: Any) -> "FakeNode":
        self.arguments = {"job": job, **options}
        return self

    def join(self, host: str, port: int, **options: Any) -> "FakeNode":
        self.arguments = {"host": host, "port": port, **options}
        return self

    def run(self, on_event: Callable[[Event], None], on_tick: Callable[[], None] | None = None) -> None:
        for event in self._events:
            on_event(event)
            if on_tick is not None:
                on_tick()
        self.during_run()
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        self.has_left = True

    def snapshot(self) -> Snapshot:
        return facts()


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
