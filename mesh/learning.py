"""How a thin peer becomes full while it computes: an exact state as of some step, and every UPDATE since.

It asks one full member, its sponsor, for a snapshot, part by part, and keeps the UPDATEs that it is sent
meanwhile. With the snapshot complete it replays them, and once it has caught up with its own 8-bit weights
it goes on from the exact ones, in step with the full members; then it asks for a view in which it is one of
them. Whatever goes wrong on the way, the sponsor's death or an UPDATE that never came, it begins again with
a fresh snapshot of another member.
"""

from collections import defaultdict
from itertools import islice

from mesh.host import Host
from mesh.message import Payload, State, StateWant, Update, Want
from mesh.plan import Plan
from mesh.tasks import Install, Replay
from mesh.view import View

WINDOW = 4  # parts asked for at a time
ASK_AGAIN_S = 1.0
START_AGAIN_S = 5.0


class Learning:
    """One thin peer's way to the exact state."""

    def __init__(self, me: str, plan: Plan, host: Host, now: float) -> None:
        self.exact: int | None = None  # the exact state is the one after this step
        self.log: dict[int, dict[int, Update]] = defaultdict(dict)
        self._me = me
        self._plan = plan
        self._host = host
        self._attempt = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self.exact = None
        self._sponsor = ""
        self._snapshot_step = -1
        self._parts: dict[int, Payload] = {}
        self._part_count = 1
        self._asked: set[int] = set()
        self._moved_at = now
        self._asked_at = -ASK_AGAIN_S

    def begin_view(self, view: View) -> None:
        """What was merged of the view's first step or later in an older view is void."""
        for step in [step for step in self.log if step >= view.step]:
            del self.log[step]

    def add_update(self, update: Update, now: float) -> None:
        """An UPDATE of the present view."""
        self.log[update.step][update.bucket] = update
        self._replay(now)

    def add_state(self, source: str, state: State, now: float) -> None:
        """A part of the snapshot."""
        if source != self._sponsor or self.exact is not None:
            return
        if not 0 <= state.part < state.parts:
            return
        if (self._snapshot_step, self._part_count) != (state.step, state.parts):
            self._snapshot_step, self._part_count = state.step, state.parts
            self._parts.clear()
            self._asked = {0}
        self._parts[state.part] = state.payload
        self._moved_at = now
        if len(self._parts) == self._part_count:
            self._host.submit(
                Install(state.step, tuple(self._parts[part] for part in range(self._part_count)))
            )
            self.exact = state.step
            self._parts.clear()
            self._replay(now)
        else:
            self._ask_for_parts()

    def _ask_for_parts(self) -> None:
        missing = (part for part in range(self._part_count) if part not in self._parts)
        for part in islice(missing, WINDOW):
            if part not in self._asked:
                self._asked.add(part)
                self._host.send(self._sponsor, StateWant(self._snapshot_step, part))

    def _replay(self, now: float) -> None:
        """Go as far as the UPDATEs reach."""
        if self.exact is None:
            return
        for old in [step for step in self.log if step <= self.exact]:
            del self.log[old]
        while len(self.log.get(self.exact + 1, ())) == self._plan.bucket_count(self.exact + 1):
            updates = self.log.pop(self.exact + 1)
            self.exact += 1
            self._host.submit(
                Replay(self.exact, tuple(updates[bucket].payload for bucket in sorted(updates)))
            )
            self._moved_at = now

    def tick(self, view: View, applied: int, now: float) -> None:
        """Ask for what is missing, again after a while, elsewhere after a longer one."""
        self._replay(now)
        if self.exact is not None and self.exact >= applied:
            self._moved_at = now
        if (
            (not self._sponsor and view.servers)
            or self._sponsor not in view.ids
            or now - self._moved_at > START_AGAIN_S
        ):
            self._begin(now)
            self._sponsor = view.servers[(self._attempt + sum(self._me.encode())) % len(view.servers)]
            self._attempt += 1
        if now - self._asked_at < ASK_AGAIN_S:
            return
        self._asked_at = now
        if self.exact is None:
            self._asked.clear()
            if self._snapshot_step < 0:
                self._host.send(self._sponsor, StateWant(-1, 0))
            else:
                self._ask_for_parts()
        elif self.exact < applied:
            step = self.exact + 1
            for bucket in range(self._plan.bucket_count(step)):
                if bucket not in self.log.get(step, ()):
                    self._host.send(
                        self._plan.server(view, step, bucket), Want(view.key, step, bucket, "update")
                    )
