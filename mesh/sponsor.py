"""What a full peer does for learners: a copy of its exact state, handed out part by part."""

from collections.abc import Collection

from mesh.host import Host
from mesh.message import State, StateWant
from mesh.tasks import Snapshot, SnapshotReady


class Sponsor:
    """The snapshots that this peer keeps, at most one a learner."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._snapshots: dict[str, SnapshotReady] = {}
        self._making: set[str] = set()

    def asked(self, learner: str, want: StateWant, applied: int) -> None:
        """A learner asks: for a snapshot of the state after `applied`, or for a part of one that it
        has begun on.
        """
        snapshot = self._snapshots.get(learner)
        if want.step < 0 or snapshot is None or snapshot.step != want.step:
            self._snapshots.pop(learner, None)
            if learner not in self._making:  # it asks again and again while a long gradient is under way
                self._making.add(learner)
                self._host.submit(Snapshot(learner, applied))
        else:
            self._send(snapshot, want.part)

    def ready(self, snapshot: SnapshotReady) -> None:
        """The compute thread has made a snapshot."""
        self._making.discard(snapshot.peer)
        self._snapshots[snapshot.peer] = snapshot
        self._send(snapshot, 0)

    def keep(self, learners: Collection[str]) -> None:
        """Only these still learn: what was kept for others is freed."""
        self._snapshots = {peer: kept for peer, kept in self._snapshots.items() if peer in learners}

    def _send(self, snapshot: SnapshotReady, part: int) -> None:
        if 0 <= part < len(snapshot.parts):
            self._host.send(
                snapshot.peer, State(snapshot.step, part, len(snapshot.parts), snapshot.parts[part])
            )
