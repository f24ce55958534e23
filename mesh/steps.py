"""The steps of one peer: from the samples that the schedule gives it to weights that everybody holds.

What happens in a step, from top to bottom:

    _begin        the view's schedule says which samples are ours: a Gradient for the compute thread
    BucketReady   a bucket of it is encoded: PUSH to that bucket's server of this step
    Push          the server has all pushes of a bucket: a Merge for the compute thread
    Merged        UPDATE, the same bytes for every full peer and learner
    Update        all buckets of the step are there: an Apply; the first one makes the step before final
    ShadowReady   only with thin peers in the view: WEIGHTS for them

A peer is *exact* when it holds the exact weights and optimizer state: full members are, and learners once
they have caught up. Others follow the 8-bit weights. Everything of older views is fenced off, and what is
of a view to come waits for it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from mesh import events
from mesh.backlog import Backlog
from mesh.exchange import Exchange
from mesh.finals import Finals
from mesh.host import Host
from mesh.learning import Learning
from mesh.membership import TAKEOVER_ROUND, Membership
from mesh.message import Evaluated, Message, Push, Ready, Refused, State, StateWant, Update, Want, Weights
from mesh.plan import Plan
from mesh.sponsor import Sponsor
from mesh.tasks import (
    Applied,
    Apply,
    BucketReady,
    Evaluate,
    Follow,
    Gradient,
    Measured,
    Merge,
    Merged,
    Promote,
    Result,
    Saved,
    Shadow,
    ShadowReady,
    SnapshotReady,
    Spoiled,
)
from mesh.view import Member, View

READY_INTERVAL_S = 0.5
STUCK_S = 2.0  # no progress for so long: ask once more for what is missing
LOST_S = 15.0  # an exact peer that could not catch up with the others for so long joins again
STEPS_AHEAD_MOST = 2  # others may push for the step after the one whose last UPDATE is on its way to here

StepMessage = Push | Update | Weights


class Steps:
    """One peer's work in `view`. `send` takes messages to others and to itself, `membership` says what
    promises forbid, `go(why)` ends it all.
    """

    def __init__(
        self,
        me: Member,
        plan: Plan,
        finals: Finals,
        host: Host,
        send: Callable[[str, Message], None],
        membership: Membership,
        go: Callable[[str], None],
    ) -> None:
        self.me = me
        self.exact = me.full
        self.applied = finals.step if me.full else -1
        self.begun = 0  # the last step whose computation was begun in this view
        self.shadow_step = -1  # the step of a thin peer's 8-bit weights
        self.has_data = True
        self._plan = plan
        self._finals = finals
        self._host = host
        self._send = send
        self._membership = membership
        self._go = go
        self._exchange = Exchange()
        self._sponsor = Sponsor(host)
        self._learning: Learning | None = None
        self._future: Backlog[StepMessage] = Backlog()
        self._headers: dict[tuple[int, int], tuple[int, float, int]] = {}
        self._ends_before: int | None = None
        self._moved_at = self._behind_since = 0.0
        self._others_applied = -1
        self._asked_at = self._ready_at = -STUCK_S
        self._asks, self._asks_step = 0, -1  # how often this peer has asked for the step after that one

    # ---- views ----

    def begin_view(self, view: View, mine: Member, now: float) -> list[tuple[str, StepMessage]]:
        """Work in `view` from here on, as the member `mine`; what had come for it already is to be
        handled now.
        """
        self.view = view
        self.begun = 0
        self._ends_before = None
        self._moved_at = self._behind_since = now
        self._others_applied = -1
        self._headers.clear()
        self._sponsor.keep(view.learners)
        self._exchange.begin_view(view.step)
        if not mine.full and self.applied > view.step - 1:
            self.exact = False  # what this learner applied does not stand, and it had no voice in that
        self._rise(mine, view, now)
        if not self.exact:
            self.applied = view.step - 2
        elif self.applied > view.step - 1:
            # The rules of membership rule it out; if they erred, a fresh start is the cure.
            self._go("excluded")
        elif self.applied == view.step - 1 and mine.full:
            self._shadow(self.applied)
        return self._future.take()

    def expect_view(self, view: View) -> bool:
        """A planned view is to begin; whether this peer's part in the present one is done."""
        self._ends_before = view.step
        if self.exact:
            return self.applied >= view.step - 1
        return self.begun >= view.step - 1 and self._pushed_all(view.step - 1)

    def held(self) -> tuple[int, ...]:
        """The buckets of the step after the applied one whose UPDATE is here."""
        return self._exchange.held(self.applied + 1)

    def _pushed_all(self, step: int) -> bool:
        return all(
            (step, bucket) in self._exchange.own_pushes for bucket in range(self._plan.bucket_count(step))
        )

    def _rise(self, mine: Member, view: View, now: float) -> None:
        """Become what the view says: full, or a learner, or thin."""
        self.me = mine
        if mine.full and not self.exact:
            if view.ballot[0] != TAKEOVER_ROUND:
                self._go("excluded")  # the exact state was lost between asking to be full and being it
                return
            self.applied = view.step - 1
            self.exact = True
            self._host.submit(Promote(self.applied, orphan=True))
            self._host.emit(
                events.Note("no full peer is left: going on from 8-bit weights with a fresh optimizer state")
            )
        if mine.full or self.exact or not mine.learns:
            self._learning = None
        else:
            self._learning = self._learning or Learning(self.me.id, self._plan, self._host, now)
            self._learning.begin_view(view)

    def _become_exact(self) -> None:
        """A learner that has caught up goes on from the exact state, in step with the full members."""
        learning = self._learning
        if not learning or learning.exact is None:
            return
        if learning.exact >= self.applied and self._finals.knows(learning.exact):
            self._learning, self.exact, self.applied = None, True, learning.exact
            self._host.submit(Promote(self.applied, orphan=False))
            self._exchange.updates.update(learning.log)

    # ---- messages ----

    def receive(self, source: str, message: StepMessage, now: float) -> None:
        """A message of a step; one of a view to come waits for it, one of a stranger is dropped."""
        if message.view[0] >= self.view.number and message.view != self.view.key:
            self._future.add(source, message)
            return
        if self._membership.is_frozen:
            return  # it has said what it holds, and nothing may be added to that
        if message.view != self.view.key or source not in self.view.ids:
            return
        if not 0 <= message.bucket < self._plan.bucket_count(message.step):
            return
        if message.step > min(self.applied + STEPS_AHEAD_MOST, self._plan.steps + 1):
            return
        if not isinstance(message, Push):
            self._finals.note(message)
        match message:
            case Push(step=step) if step > self.applied and self._is_share(source, message):
                self._exchange.add_push(source, message)
                self._merge(step, message.bucket)
            case Update():
                self._on_update(message, now)
            case Weights(step=step) if not self.exact and step > self.applied:
                self._exchange.weights[step].setdefault(message.bucket, message)
                self._finals.digests[step] = message.digest
                if step > self.view.step - 1:
                    self.finalise(step - 1, now)

    def _is_share(self, source: str, push: Push) -> bool:
        """Whether a push counts the samples that the schedule gives its sender, with a loss that is one."""
        share = self._plan.share(self.view, source) if not self._plan.is_closing(push.step) else 0
        return push.samples == share and math.isfinite(push.loss)

    def hears_applied(self, source: str, step: int) -> None:
        """Another member says which step it has applied."""
        if source in self.view.ids:
            self._others_applied = max(self._others_applied, step)

    def receive_other(self, source: str, message: Want | StateWant | State, now: float) -> None:
        """A question of another member, or a part of the exact state that was asked for."""
        match message:
            case Want():
                self._on_want(source, message)
            case StateWant() if self.me.full and self.applied >= self.view.step - 1:
                self._sponsor.asked(source, message, self.applied)
            case State() if self._learning:
                self._learning.add_state(source, message, now)
                self._become_exact()
            case _:
                pass

    # ---- one step ----

    def advance(self, now: float) -> bool:
        """Do the next thing that is possible; whether there was one."""
        step = self.applied + 1
        closing = self._plan.is_closing(step)
        held = self._exchange.updates if self.exact else self._exchange.weights
        if len(held.get(step, ())) == self._plan.bucket_count(step) and not closing:
            self._apply(step, now)
            return True
        ready = self.applied >= self.view.step - 1 and (not closing or self.applied in self._finals.digests)
        if ready and self.begun < step and self._membership.may_push(step):
            self._begin(step)
            return True
        return False

    def _begin(self, step: int) -> None:
        self.begun = step
        if self._plan.is_closing(step):
            self._push(
                BucketReady(self.view.key, step, 0, 0, 0.0, self._finals.digests.get(self.applied, 0), b"")
            )
        else:
            self._host.submit(
                Gradient(self.view.key, step, self._plan.samples_of(step, self.view, self.me.id))
            )

    def _push(self, ready: BucketReady) -> None:
        if ready.view != self.view.key or not self._membership.may_push(ready.step):
            return
        push = Push(
            ready.view, ready.step, ready.bucket, ready.samples, ready.loss, ready.digest, ready.payload
        )
        self._exchange.own_pushes[ready.step, ready.bucket] = push
        self._send(self._plan.server(self.view, ready.step, ready.bucket), push)

    def _merge(self, step: int, bucket: int) -> None:
        if not self.me.full or self._plan.server(self.view, step, bucket) != self.me.id:
            return
        pushes = self._exchange.take_pushes(step, bucket, self.view.ids)
        if pushes is None:
            return
        self._headers[step, bucket] = self._header(pushes)
        if self._plan.is_closing(step):
            self._update(Merged(self.view.key, step, bucket, b""))
        else:
            self._host.submit(Merge(self.view.key, step, bucket, pushes))

    def _header(self, pushes: tuple[Push, ...]) -> tuple[int, float, int]:
        """Samples, mean loss and the digest that most full members have, the earlier one of two
        with as many.
        """
        samples = sum(push.samples for push in pushes)
        votes = Counter(
            push.digest
            for push, member in zip(pushes, self.view.members, strict=True)
            if member.full and push.digest
        )
        digest = max(votes, key=votes.__getitem__, default=0)
        return samples, sum(push.loss for push in pushes) / max(samples, 1), digest

    def _update(self, merged: Merged) -> None:
        if merged.view != self.view.key or not self._membership.may_push(merged.step):
            return
        samples, loss, digest = self._headers.pop((merged.step, merged.bucket))
        update = Update(merged.view, merged.step, merged.bucket, samples, loss, digest, merged.payload)
        receivers = (
            self.view.ids if self._plan.is_closing(merged.step) else (*self.view.servers, *self.view.learners)
        )
        self._finals.serves(merged.step)
        self._tell(receivers, update)

    def _on_update(self, update: Update, now: float) -> None:
        if self._learning:
            self._learning.add_update(update, now)
            self._become_exact()
        if not self.exact and not self._plan.is_closing(update.step):
            return
        if update.step > self.applied and self.exact:
            own = self._finals.digests.get(update.step - 1, 0)
            if own and update.digest and own != update.digest:
                self._host.emit(
                    events.Note(
                        "this device's arithmetic differs from the others': joining again as a thin peer"
                    )
                )
                self._go("diverged")
                return
            self._exchange.updates[update.step].setdefault(update.bucket, update)
        if update.step >= self.view.step:
            self.finalise(update.step - 1, now)
        if self._plan.is_closing(update.step) and self.applied == self._plan.steps:
            self._go("finished")

    def _apply(self, step: int, now: float) -> None:
        if self.exact:
            self._host.submit(Apply(step, self._exchange.payloads(self._exchange.updates, step)))
        else:
            fresh = step == self.view.step - 1
            self.shadow_step = step
            self._host.submit(Follow(step, fresh, self._exchange.payloads(self._exchange.weights, step)))
        self.applied = step
        self._moved_at = now
        self._exchange.forget_before(step - 1)
        if step < self._plan.steps and self._plan.evaluator(self.view, step) == self.me.id:
            self._host.submit(Evaluate(step))
        if self.me.full and step >= self.view.step - 1 and step + 1 != self._ends_before:
            self._shadow(step)

    def _shadow(self, step: int) -> None:
        if self.view.thin:
            served = tuple(
                bucket
                for bucket in range(len(self._plan.buckets))
                if self._plan.server(self.view, step, bucket) == self.me.id
            )
            self._host.submit(Shadow(self.view.key, step, step == self.view.step - 1, served))

    def finalise(self, step: int, now: float) -> None:
        """An UPDATE of the step after it was seen, so every full member has applied `step`, and all
        those before.
        """
        self._tell_measured(self._finals.advance(step, self.view, self.exact, now))

    def _tell_measured(self, measured: list[events.Evaluated]) -> None:
        for event in measured:
            self._host.emit(event)
            if event.step < self._plan.steps:  # the last weights are measured by everybody
                self._tell(
                    (peer for peer in self.view.ids if peer != self.me.id),
                    Evaluated(event.step, event.accuracy, event.loss),
                )

    # ---- results of the compute thread ----

    def take(self, result: Result) -> None:
        """The compute thread has done something for a step."""
        match result:
            case BucketReady():
                self._push(result)
            case Merged():
                self._update(result)
            case Spoiled(Merge(view=view)) if view == self.view.key:
                self._refuse_push(result)
            case Applied(step, digest):
                self._finals.digests[step] = digest
            case ShadowReady(view=view) if view == self.view.key:
                self._send_weights(result)
            case SnapshotReady():
                self._sponsor.ready(result)
            case Measured():
                self._tell_measured(self._finals.measured(result))
            case Saved(step, path):
                self._host.emit(events.Saved(step, path))
            case _:
                pass

    def _refuse_push(self, spoiled: Spoiled) -> None:
        """Merge without it is impossible: its sender is told to go, and the others redo the step."""
        task = spoiled.task
        sender = self.view.ids[spoiled.number]
        where = f"bucket {task.bucket} of step {task.step}"
        self._host.emit(events.Note(f"what {sender} sent for {where} was refused: {spoiled.reason}"))
        self._send(sender, Refused(f"{self.me.id} refused {where}: {spoiled.reason}"))

    def _send_weights(self, ready: ShadowReady) -> None:
        samples, loss = self._finals.facts(ready.step)
        weights = Weights(ready.view, ready.step, ready.bucket, samples, loss, ready.digest, ready.payload)
        self._exchange.own_weights[ready.step, ready.bucket] = weights
        self._tell(self.view.thin, weights)

    # ---- asking, and being asked ----

    def _on_want(self, source: str, want: Want) -> None:
        """Answer also from the view before: who is still in it would wait for ever for what was lost."""
        exchange, part = self._exchange, (want.step, want.bucket)
        update = exchange.updates.get(want.step, {}).get(want.bucket)
        push, weights = exchange.own_pushes.get(part), exchange.own_weights.get(part)
        if want.kind == "update" and update and want.view in (update.view, self.view.key):
            self._send(source, replace(update, view=want.view))
        elif want.kind == "push" and push and push.view == want.view:
            self._send(source, push)
        elif want.kind == "weights" and weights and weights.view == want.view:
            self._send(source, weights)

    def learn(self, now: float) -> None:
        """A learner goes on, and asks to be full once it holds the exact state and the data."""
        if self._learning:
            self._learning.tick(self.view, self.applied, now)
            self._become_exact()
        if self.exact and not self.me.full and self.has_data and now - self._ready_at >= READY_INTERVAL_S:
            self._ready_at = now
            self._tell(self.view.servers, Ready(replace(self.me, full=True)))

    def ask_again(self, now: float) -> None:
        """Messages are lost when a connection breaks and comes back: ask for what has been missing
        for too long.
        """
        catching_up = self.exact and self.applied < self.view.step - 1
        if not catching_up or self._others_applied < self.view.step - 1:
            self._behind_since = now  # nobody can be behind where nobody is yet
        elif now - self._behind_since > LOST_S:
            self._go("excluded")
            return
        patience = READY_INTERVAL_S if catching_up else STUCK_S
        if now - max(self._moved_at, self._asked_at) < (
            0 if catching_up and self._asked_at < self._moved_at else patience
        ):
            return
        self._asked_at = now
        self._asks = 0 if self._asks_step != self.applied else self._asks + 1
        self._asks_step = self.applied
        step = self.applied + 1
        kind, held = ("update", self._exchange.updates) if self.exact else ("weights", self._exchange.weights)
        for bucket in range(self._plan.bucket_count(step)):
            if bucket not in held.get(step, {}):
                self._send(self._holder(step, bucket), Want(self.view.key, step, bucket, kind))
        for (missing_step, bucket), member in self._exchange.awaited_pushes(self.view.ids):
            self._send(member, Want(self.view.key, missing_step, bucket, "push"))

    def _holder(self, step: int, bucket: int) -> str:
        """Whom to ask for an UPDATE or for WEIGHTS."""
        if step < self.view.step and self.exact:
            if step == self.view.step - 1 and self.view.sources:
                return self.view.sources[bucket]
            others = [peer for peer in self.view.servers if peer != self.me.id] or [self.me.id]
            return others[self._asks % len(others)]
        if self.exact:  # every full peer keeps UPDATEs: the server may have gone since
            return self._plan.server(self.view, step, bucket + self._asks)
        return self._plan.server(self.view, step, bucket)

    def _tell(self, peers: Iterable[str], message: Message) -> None:
        for peer in peers:
            self._send(peer, message)
