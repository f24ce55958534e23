"""What a run says where there is no terminal: plain lines, or events as JSON."""

import json
import time
from collections.abc import Callable
from typing import TextIO

from mesh.events import Event, Listening, ViewBegun
from mesh.sentences import bytes_per_second, invitation, percent, plural, sentence
from mesh.snapshot import Snapshot

PROGRESS_PERIOD_S = 2.0


class Lines:
    """One line for each event, and one on the progress every two seconds while steps are made."""

    def __init__(
        self, stream: TextIO, snapshot: Callable[[], Snapshot], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._snapshot = snapshot
        self._clock = clock
        self._said_at_s = clock()
        self._said_step = 0
        self._listening: Listening | None = None

    def event(self, event: Event, time_s: float) -> None:
        """Say what happened, as it happens; and with the first view, how to add a peer."""
        text = sentence(event)
        if text is not None:
            self._say(text)
        if isinstance(event, Listening):
            self._listening = event
        elif isinstance(event, ViewBegun) and self._listening is not None:
            self._say(" ".join(invitation(self._listening)))
            self._listening = None

    def tick(self) -> None:
        """Say how far training is, now and then."""
        now_s = self._clock()
        if now_s - self._said_at_s < PROGRESS_PERIOD_S:
            return
        self._said_at_s = now_s
        facts = self._snapshot()
        if facts.step > self._said_step:
            self._said_step = facts.step
            self._say(progress(facts))

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class JsonLines:
    """Every event as one JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def event(self, event: Event, time_s: float) -> None:
        """Write the event; a program at the other end of a pipe has it at once."""
        self._stream.write(json.dumps(event.to_json(time_s)) + "\n")
        self._stream.flush()

    def tick(self) -> None:
        """Nothing to do between events."""


def progress(facts: Snapshot) -> str:
    """The facts of this instant in one line; what was not measured is left out."""
    parts = [f"step {facts.step:,}/{facts.steps:,}"]
    if facts.loss is not None:
        parts.append(f"loss {facts.loss:.4f}")
    if facts.accuracy is not None:
        parts.append(f"accuracy {percent(facts.accuracy)}")
    parts += [
        f"{facts.samples_s:,.0f} samples/s",
        f"{bytes_per_second(facts.bytes_s)} sent",
        plural(len(facts.members), "peer"),
        f"view {facts.view}",
    ]
    return "  ".join(parts)
