"""The facts of this instant, for screens and for `mesh status`. Nothing in it was not measured."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class MemberFacts:
    """One member: `share` is its part of every step's samples, `speed` samples/s that it computes at."""

    id: str
    device: str
    address: str
    role: str  # "full", "learning" or "thin"
    me: bool
    share: int
    speed: float


@dataclass(frozen=True)
class Snapshot:
    """One peer's knowledge of the job. Rates are over the last few seconds; `accuracy` is None until
    something was measured.
    """

    job: str  # its digest
    data: str
    codec: str
    state: str  # "preparing", "joining", "training", "waiting", "finished"
    step: int
    steps: int
    view: int
    loss: float | None
    accuracy: float | None
    samples_s: float
    bytes_s: float
    parameters: int
    members: tuple[MemberFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and the wire."""
        return asdict(self)
