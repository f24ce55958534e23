"""What happened, as facts for screens, logs and programs. Each is one line of versioned JSON."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

EVENT_VERSION = 1


@dataclass(frozen=True)
class Event:
    """Base of all events; `event` is its name in JSON."""

    event: ClassVar[str] = ""

    def to_json(self, time_s: float) -> dict[str, Any]:
        """The event as a JSON object; `time_s` is seconds since the epoch."""
        return {"v": EVENT_VERSION, "time": time_s, "event": self.event, **asdict(self)}


@dataclass(frozen=True)
class Listening(Event):
    """This peer can be joined at these addresses."""

    event = "listening"
    addresses: tuple[str, ...]
    port: int
    device: str
    peer: str


@dataclass(frozen=True)
class ViewBegun(Event):
    """A view is in effect; `members` are dicts of id, device, speed (samples/s), full."""

    event = "view"
    view: int
    step: int
    members: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StepFinal(Event):
    """A step is final: it can never be undone. `served`: buckets that this peer merged; `bytes_sent`
    since the event before.
    """

    event = "step"
    step: int
    view: int
    loss: float
    samples: int
    peers: int
    served: int
    bytes_sent: int
    digest: str
    seconds: float


@dataclass(frozen=True)
class Joined(Event):
    """A peer became a member, or rose from thin to full."""

    event = "joined"
    peer: str
    device: str
    full: bool


@dataclass(frozen=True)
class Left(Event):
    """A member went on purpose."""

    event = "left"
    peer: str


@dataclass(frozen=True)
class Lost(Event):
    """A member is gone; `why` is what was seen of it."""

    event = "lost"
    peer: str
    why: str


@dataclass(frozen=True)
class Evaluated(Event):
    """The weights after `step`, measured by `peer` on the test samples."""

    event = "evaluated"
    step: int
    accuracy: float
    loss: float
    peer: str


@dataclass(frozen=True)
class Saved(Event):
    """The state after `step` is on disk."""

    event = "saved"
    step: int
    path: str


@dataclass(frozen=True)
class Finished(Event):
    """This peer's part has ended; `why`: "finished" or "left"."""

    event = "finished"
    step: int
    why: str


@dataclass(frozen=True)
class Waiting(Event):
    """No progress is possible until somebody comes back; `peers` says who."""

    event = "waiting"
    peers: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Note(Event):
    """A sentence for the user."""

    event = "note"
    text: str
