"""What the event loop asks of the compute thread, and what comes back.

The compute thread does its tasks strictly in the order in which they were submitted. That is the whole
synchronisation: a gradient submitted after an Apply sees the applied weights, a Save submitted before it
does not.
"""

from dataclasses import dataclass

import numpy as np

from mesh.message import Payload, Push
from mesh.plan import Plan
from mesh.view import ViewKey

# ---- tasks ----


@dataclass(frozen=True)
class Gradient:
    """Compute the gradient sum over the samples `ids` of `step`; a BucketReady for each bucket, then
    GradientDone.
    """

    view: ViewKey
    step: int
    ids: np.ndarray


@dataclass(frozen=True)
class Merge:
    """Add the pushes of one bucket in the given order, divide by their samples, encode: Merged."""

    view: ViewKey
    step: int
    bucket: int
    pushes: tuple[Push, ...]


@dataclass(frozen=True)
class Apply:
    """Feed the decoded UPDATEs of `step`, one payload a bucket, to the optimizer: Applied."""

    step: int
    payloads: tuple[Payload, ...]


@dataclass(frozen=True)
class Shadow:
    """Bring the thin peers' weights Ŵ to `step` (from nothing if `fresh`): a ShadowReady for each of
    `buckets`.
    """

    view: ViewKey
    step: int
    fresh: bool
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class Follow:
    """A thin peer's own weights: Ŵ (0 if `fresh`) plus the decoded payloads."""

    step: int
    fresh: bool
    payloads: tuple[Payload, ...]


@dataclass(frozen=True)
class Snapshot:
    """Copy the exact state, which is that after `step`, for `peer` to fetch: SnapshotReady."""

    peer: str
    step: int


@dataclass(frozen=True)
class Install:
    """A learner's exact state after `step`, whole."""

    step: int
    parts: tuple[Payload, ...]


@dataclass(frozen=True)
class Replay:
    """A learner's exact state goes from `step` − 1 to `step`."""

    step: int
    payloads: tuple[Payload, ...]


@dataclass(frozen=True)
class Promote:
    """From here on the exact state, that after `step`, is the one that computes: Applied.

    An `orphan` has none: Ŵ is its state, with a fresh optimizer state.
    """

    step: int
    orphan: bool


@dataclass(frozen=True)
class Evaluate:
    """Measure the present weights, those after `step`, on the test samples: Measured."""

    step: int


@dataclass(frozen=True)
class Save:
    """Write the present state, that after `step`, to the run's folder: Saved."""

    step: int


Task = (
    Gradient | Merge | Apply | Shadow | Follow | Snapshot | Install | Replay | Promote | Evaluate | Save
)  # fmt: skip

# ---- results ----


@dataclass(frozen=True)
class Prepared:
    """Network, data and device are ready for the job; `speed` samples/s were measured on this device."""

    plan: Plan
    device: str
    speed: float


@dataclass(frozen=True)
class BucketReady:
    """One bucket of this peer's encoded gradient sum."""

    view: ViewKey
    step: int
    bucket: int
    samples: int
    loss: float
    digest: int
    payload: Payload


@dataclass(frozen=True)
class GradientDone:
    """All buckets of a gradient are ready; its samples took that long."""

    view: ViewKey
    step: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class Merged:
    """One bucket's UPDATE payload."""

    view: ViewKey
    step: int
    bucket: int
    payload: Payload


@dataclass(frozen=True)
class Spoiled:
    """The push number `number` of a merge does not decode: `reason` says why."""

    task: Merge
    number: int
    reason: str


@dataclass(frozen=True)
class Applied:
    """The weights are those after `step`; `digest` is theirs."""

    step: int
    digest: int


@dataclass(frozen=True)
class ShadowReady:
    """One bucket for the thin peers."""

    view: ViewKey
    step: int
    bucket: int
    digest: int
    payload: Payload


@dataclass(frozen=True)
class SnapshotReady:
    """The state after `step` lies ready for `peer`, in parts."""

    peer: str
    step: int
    parts: tuple[Payload, ...]


@dataclass(frozen=True)
class Measured:
    """The weights after `step` on the test samples."""

    step: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Saved:
    """The state after `step` is on disk."""

    step: int
    path: str


@dataclass(frozen=True)
class Failed:
    """The compute thread cannot go on; a sentence for the user, and the exit code that goes with it."""

    reason: str
    exit_code: int


Result = (
    Prepared | BucketReady | GradientDone | Merged | Spoiled | Applied | ShadowReady | SnapshotReady
    | Measured | Saved | Failed
)  # fmt: skip
