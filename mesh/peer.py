"""One peer as a member of a job: every decision of the protocol, in one state machine without socket, clock
or thread.

Messages, results of the compute thread, the passing of time and broken connections come in through the four
`on_…` methods; what follows from them goes out through the Host. A step, from top to bottom:

    _begin        the view's schedule says which samples are ours: a Gradient for the compute thread
    BucketReady   a bucket of it is encoded: PUSH to that bucket's server of this step
    Push          the server has all pushes of a bucket: a Merge for the compute thread
    Merged        UPDATE, the same bytes for every full peer and learner
    Update        all buckets of the step are there: an Apply for the compute thread; the first one makes
    the step before final ShadowReady   only with thin peers in the view: WEIGHTS for them
"""

from collections import Counter
from dataclasses import replace

from mesh import events
from mesh.errors import JobFailedError
from mesh.exchange import Exchange
from mesh.finals import Finals
from mesh.host import Host
from mesh.learning import Learning
from mesh.liveness import PING_INTERVAL_S, Liveness
from mesh.membership import TAKEOVER_ROUND, Membership, Outgoing, Progress
from mesh.message import (
    Accept,
    Accepted,
    Bye,
    Decided,
    Evaluated,
    Leave,
    Message,
    Ping,
    Prepare,
    Promise,
    Push,
    Ready,
    Reject,
    State,
    StateWant,
    Suspect,
    Update,
    Want,
    Weights,
)  # fmt: skip
from mesh.plan import Plan
from mesh.sponsor import Sponsor
from mesh.tasks import (
    Applied,
    Apply,
    BucketReady,
    Evaluate,
    Failed,
    Follow,
    Gradient,
    GradientDone,
    Measured,
    Merge,
    Merged,
    Promote,
    Result,
    Save,
    Saved,
    Shadow,
    ShadowReady,
    SnapshotReady,
)  # fmt: skip
from mesh.view import Member, View

READY_INTERVAL_S = 0.5
STUCK_S = 2.0  # no progress for so long: ask once more for what is missing
LOST_S = 15.0  # a full member that could not catch up for so long joins again
LEAVE_S = 0.7  # a leaver waits so long for a step boundary
FUTURE_MESSAGES_MOST = 4096
SPEED_DRIFT = 1.5  # shares are dealt anew when a measured speed differs so much from the view's
SPEED_INTERVAL_S = 10.0


class Peer:
    """A member of `view`, the first of which it knows; `now` is any clock that goes on."""

    def __init__(
        self, me: Member, plan: Plan, view: View, host: Host, now: float, save_every: int = 0
    ) -> None:
        self.me = me
        self.plan = plan
        self.ended: str | None = None  # "finished", "left", "excluded" or "diverged"
        self.applied = view.step - 1 if me.full else view.step - 2
        self.speeds: dict[str, float] = {}
        self.has_data = True  # a learner rises only when it can serve data too; the node says when
        self._host = host
        first_final = max(view.step - 1 if me.full else view.step - 2, 0)
        self.finals = Finals(me.id, plan, host, first_final, save_every, now)
        self._exchange = Exchange()
        self._membership = Membership(me.id, view, self._progress, plan.bucket_count, plan.batch)
        self._liveness = Liveness()
        self._exact = me.full
        self._shadow_step = -1  # the step of a thin peer's 8-bit weights
        self._learning: Learning | None = None
        self._upcoming: list[View] = []
        self._future: list[tuple[str, Message]] = []
        self._inbox: list[tuple[str, Message]] = []
        self._sponsor = Sponsor(host)
        self._why: dict[str, str] = {}
        self._leaving_since: float | None = None
        self._moved_at = now
        self._asked_at = self._pinged_at = self._ready_at = -STUCK_S
        self._speeds_at = now
        self.waiting: tuple[str, ...] = ()
        self.latest = view
        self._set_view(View(view.number, view.step, ()), view, now)
        self._drain(now)

    # ---- what comes in ----

    def on_message(self, source: str, message: Message, now: float) -> None:
        """A message of `source`."""
        self._inbox.append((source, message))
        self._drain(now)

    def on_result(self, result: Result, now: float) -> None:
        """The compute thread has done something. JobFailedError if it cannot go on."""
        self._take(result, now)
        self._drain(now)

    def on_disconnected(self, peer: str, now: float) -> None:
        """The connection to `peer` broke: suspicious at once."""
        if self.ended:
            return
        member = self._member(peer)
        if member is not None:
            self._why.setdefault(peer, "its connection broke")
            self._suspect(peer, dead=False)
            self._host.probe(member)
        self._drain(now)

    def on_probed(self, peer: str, dead: bool, now: float) -> None:
        """The answer to a probe: `dead` if the process is gone for certain."""
        if dead:
            self._why[peer] = "its process ended"
            self._suspect(peer, dead=True)
        self._drain(now)

    def on_tick(self, now: float) -> None:
        """Time passes: to be called some ten times a second."""
        if self.ended:
            return
        for peer in self._liveness.silent(now):
            if peer not in self._membership.suspects:
                self._why[peer] = f"silent for {self._liveness.limit_s(peer):.0f} s"
            self._suspect(peer, dead=False)
        if now - self._pinged_at >= PING_INTERVAL_S:
            self._pinged_at = now
            speed = self.speeds.get(self.me.id, 0.0)
            self._tell(
                self._others(), Ping(self._membership.view.number, self.applied, self.finals.step, speed)
            )
            self._pursue_suspicions()
        self._share_speeds(now)
        self._post(self._membership.tick(now))
        if self._membership.is_widowed and not self._exact and self._shadow_step < 0:
            self._go("excluded")  # nothing came from them before they died: another thin peer may have more
            return
        self._learn(now)
        self._ask_again(now)
        self._report_waiting()
        if self._leaving_since is not None and now - self._leaving_since > LEAVE_S:
            self._go("left")
        self._drain(now)

    def leave(self, now: float) -> None:
        """Go: at the next step boundary if that is near, otherwise in the middle of a step, which
        the others then redo.
        """
        if self._leaving_since is None and not self.ended:
            self._leaving_since = now
            if self._others():
                self._membership.wants_out(self.me.id)
                self._tell(self._membership.view.servers, Leave())
            else:
                self._host.submit(Save(self.applied))
                self._go("left")
        self._drain(now)

    # ---- the message loop ----

    def _drain(self, now: float) -> None:
        """Handle messages, our own to ourselves among them, until nothing more follows from them."""
        while not self.ended:
            if self._inbox:
                source, message = self._inbox.pop(0)
                self._handle(source, message, now)
            elif not self._advance(now):
                return

    def _handle(self, source: str, message: Message, now: float) -> None:
        if source in self._membership.dead:
            return
        self._liveness.hears(source, now)
        match message:
            case Push() | Update() | Weights():
                self._handle_step(source, message, now)
            case Ping():
                self._post(self._membership.hears(source, message.view))
                self.speeds[source] = message.speed
            case Prepare() | Promise() | Reject() | Accept() | Accepted() | Decided():
                self._post(self._membership.receive(source, message, now))
                self._notice_decision()
            case Suspect(view, peer, _) if view == self._membership.view.number:
                member = self._member(peer)
                if member is not None and peer != self.me.id:
                    self._host.probe(member)
            case Ready(member):
                self._host.open(member)
                self._membership.wants_in(member)
                if source in self._membership.view.ids:
                    self._send(source, Decided(self._membership.view))
            case Leave():
                self._membership.wants_out(source)
                self._why[source] = "left"
            case Bye(finished):
                self._on_bye(source, finished, now)
            case Want():
                self._on_want(source, message)
            case StateWant() if self._is_full and self.applied >= self.view.step - 1:
                self._sponsor.asked(source, message, self.applied)
            case State() if self._learning:
                self._learning.add_state(source, message, now)
                self._become_exact()
            case Evaluated(step, accuracy, loss):
                self._host.emit(events.Evaluated(step, accuracy, loss, source))
            case _:
                pass

    def _handle_step(self, source: str, message: Push | Update | Weights, now: float) -> None:
        if message.view > self.view.number:
            if len(self._future) < FUTURE_MESSAGES_MOST:
                self._future.append((source, message))
            return
        if message.view < self.view.number or not 0 <= message.bucket < self.plan.bucket_count(message.step):
            return
        if not isinstance(message, Push):
            self.finals.note(message)
        match message:
            case Push(step=step) if step > self.applied:
                self._exchange.add_push(source, message)
                self._merge(step, message.bucket)
            case Update():
                self._on_update(message, now)
            case Weights(step=step) if not self._exact and step > self.applied:
                self._exchange.weights[step].setdefault(message.bucket, message)
                self.finals.digests[step] = message.digest
                if step > self.view.step - 1:
                    self._finalise(step - 1, now)

    # ---- one step ----

    @property
    def _is_full(self) -> bool:
        return self.me.full

    def _progress(self) -> Progress:
        step = self.applied + 1
        settled = self.view.number == self.latest.number
        if not self._exact:
            return Progress(self._shadow_step, (), self._begun, False, settled, self.view.ids)
        return Progress(self.applied, self._exchange.held(step), self._begun, True, settled, self.view.ids)

    def _advance(self, now: float) -> bool:
        """Do the next thing that is possible; whether there was one."""
        self._notice_decision()
        if self._upcoming and self._may_enter(self._upcoming[0]):
            self._set_view(self.view, self._upcoming.pop(0), now)
            return True
        step = self.applied + 1
        held = self._exchange.updates if self._exact else self._exchange.weights
        if len(held.get(step, ())) == self.plan.bucket_count(step) and not self.plan.is_closing(step):
            self._apply(step, now)
            return True
        ready = self.applied >= self.view.step - 1 and (
            self.applied in self.finals.digests or not self.plan.is_closing(step)
        )
        if ready and self._begun < step and self._membership.may_push(step):
            self._begin(step)
            return True
        return False

    def _begin(self, step: int) -> None:
        self._begun = step
        if self.plan.is_closing(step):
            self._push(
                BucketReady(self.view.number, step, 0, 0, 0.0, self.finals.digests.get(self.applied, 0), b"")
            )
        else:
            self._host.submit(
                Gradient(self.view.number, step, self.plan.samples_of(step, self.view, self.me.id))
            )

    def _push(self, ready: BucketReady) -> None:
        if ready.view != self.view.number or not self._membership.may_push(ready.step):
            return
        push = Push(
            ready.view, ready.step, ready.bucket, ready.samples, ready.loss, ready.digest, ready.payload
        )
        self._exchange.own_pushes[ready.step, ready.bucket] = push
        self._send(self.plan.server(self.view, ready.step, ready.bucket), push)

    def _merge(self, step: int, bucket: int) -> None:
        if not self._is_full or self.plan.server(self.view, step, bucket) != self.me.id:
            return
        pushes = self._exchange.take_pushes(step, bucket, self.view.ids)
        if pushes is None:
            return
        self._headers[step, bucket] = self._header(pushes)
        if self.plan.is_closing(step):
            self._update(Merged(self.view.number, step, bucket, b""))
        else:
            self._host.submit(Merge(self.view.number, step, bucket, pushes))

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
        if merged.view != self.view.number or not self._membership.may_push(merged.step):
            return
        samples, loss, digest = self._headers.pop((merged.step, merged.bucket))
        update = Update(merged.view, merged.step, merged.bucket, samples, loss, digest, merged.payload)
        receivers = (
            self.view.ids if self.plan.is_closing(merged.step) else (*self.view.servers, *self.view.learners)
        )
        self.finals.serves(merged.step)
        self._tell(receivers, update)

    def _on_update(self, update: Update, now: float) -> None:
        if self._learning:
            self._learning.add_update(update, now)
            self._become_exact()
        if not self._exact and not self.plan.is_closing(update.step):
            return
        if update.step > self.applied and self._exact:
            own = self.finals.digests.get(update.step - 1, 0)
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
            self._finalise(update.step - 1, now)
        if self.plan.is_closing(update.step) and self.applied == self.plan.steps:
            self._go("finished")

    def _apply(self, step: int, now: float) -> None:
        if self._exact:
            self._host.submit(Apply(step, self._exchange.payloads(self._exchange.updates, step)))
        else:
            fresh = step == self.view.step - 1
            self._shadow_step = step
            self._host.submit(Follow(step, fresh, self._exchange.payloads(self._exchange.weights, step)))
        self.applied = step
        self._moved_at = now
        self._exchange.forget_before(step - 1)
        if step == self.plan.steps or self.plan.evaluator(self.view, step) == self.me.id:
            self._host.submit(Evaluate(step))
        if self._is_full and step >= self.view.step - 1 and not self._ends_view(step):
            self._shadow(step)

    def _ends_view(self, step: int) -> bool:
        return bool(self._upcoming) and self._upcoming[0].step == step + 1

    def _shadow(self, step: int) -> None:
        if self.view.thin:
            served = tuple(
                bucket
                for bucket in range(len(self.plan.buckets))
                if self.plan.server(self.view, step, bucket) == self.me.id
            )
            self._host.submit(Shadow(self.view.number, step, step == self.view.step - 1, served))

    def _finalise(self, step: int, now: float) -> None:
        """An UPDATE of the step after it was seen, so every full member has applied `step`, and all
        those before.
        """
        self._tell_measured(self.finals.advance(step, self.view, self._exact, now))

    def _tell_measured(self, measured: list[events.Evaluated]) -> None:
        for event in measured:
            self._host.emit(event)
            if event.step < self.plan.steps:  # the last weights are measured by everybody
                self._tell(self._others(), Evaluated(event.step, event.accuracy, event.loss))

    # ---- results of the compute thread ----

    def _take(self, result: Result, now: float) -> None:
        match result:
            case BucketReady():
                self._push(result)
            case GradientDone(samples=samples, seconds=seconds):
                speed = samples / max(seconds, 1e-6)
                self.speeds[self.me.id] = 0.8 * self.speeds.get(self.me.id, speed) + 0.2 * speed
            case Merged():
                self._update(result)
            case Applied(step, digest):
                self.finals.digests[step] = digest
            case ShadowReady(view=view) if view == self.view.number:
                self._send_weights(result)
            case SnapshotReady():
                self._sponsor.ready(result)
            case Measured():
                self._tell_measured(self.finals.measured(result))
            case Saved(step, path):
                self._host.emit(events.Saved(step, path))
            case Failed(reason, exit_code):
                self._tell(self._others(), Bye(False))
                raise JobFailedError(reason, exit_code)
            case _:
                pass

    def _send_weights(self, ready: ShadowReady) -> None:
        samples, loss = self.finals.facts(ready.step)
        weights = Weights(ready.view, ready.step, ready.bucket, samples, loss, ready.digest, ready.payload)
        self._exchange.own_weights[ready.step, ready.bucket] = weights
        self._tell(self.view.thin, weights)

    # ---- views ----

    def _notice_decision(self) -> None:
        view = self._membership.view
        if (view.number, view.ballot) != (self.latest.number, self.latest.ballot):
            self.latest = view
            self._upcoming = [*self._upcoming, view] if view.planned else [view]
            for member in view.members:
                self._host.open(member)

    def _may_enter(self, view: View) -> bool:
        """A view after a fault begins at once; a planned one when this peer's part in the present
        one is done.
        """
        if not view.planned:
            return True
        if self._exact:
            return self.applied >= view.step - 1
        return self._begun >= view.step - 1 and self._pushed_all(view.step - 1)

    def _pushed_all(self, step: int) -> bool:
        return all(
            (step, bucket) in self._exchange.own_pushes for bucket in range(self.plan.bucket_count(step))
        )

    def _set_view(self, old: View, view: View, now: float) -> None:
        """Work in `view` from here on."""
        self.view = view
        self._headers: dict[tuple[int, int], tuple[int, float, int]] = {}
        self._begun = 0
        self._moved_at = now
        self._report_view(old, view)
        mine = view.member(self.me.id)
        for peer in old.ids:
            if peer not in view.ids:
                self._host.close(peer)
                self._liveness.forget(peer)
                self._sponsor.forget(peer)
        if mine is None:
            self.ended = "left" if self._leaving_since is not None else "excluded"
            return
        for member in view.members:
            if member.id != self.me.id:
                self._host.open(member)
                self._liveness.expect(member.id, now)
        self._exchange.begin_view(view.step)
        if not mine.full and self.applied > view.step - 1:
            self._exact = False  # what this learner applied does not stand, and it had no voice in that
        self._rise(mine, view, now)
        if not self._exact:
            self.applied = view.step - 2
        elif self.applied == view.step - 1 and mine.full:
            self._shadow(self.applied)
        waiting, self._future = self._future, []
        self._inbox.extend(waiting)

    def _rise(self, mine: Member, view: View, now: float) -> None:
        """Become what the view says: full, or a learner, or thin."""
        self.me = mine
        if mine.full and not self._exact:
            if view.ballot[0] != TAKEOVER_ROUND:
                self._go("excluded")  # the exact state was lost between asking to be full and being it
                return
            self.applied = view.step - 1
            self._exact = True
            self._host.submit(Promote(self.applied, orphan=True))
            self._host.emit(
                events.Note("no full peer is left: going on from 8-bit weights with a fresh optimizer state")
            )
        if mine.full or self._exact or not mine.learns:
            self._learning = None
        else:
            self._learning = self._learning or Learning(self.me.id, self.plan, self._host, now)
            self._learning.begin_view(view)

    def _become_exact(self) -> None:
        """A learner that has caught up goes on from the exact state, in step with the full members."""
        learning = self._learning
        if learning and learning.exact is not None and learning.exact >= self.applied:
            self._learning, self._exact, self.applied = None, True, learning.exact
            self._host.submit(Promote(self.applied, orphan=False))
            self._exchange.updates.update(learning.log)

    def _report_view(self, old: View, view: View) -> None:
        facts = tuple(
            {"id": m.id, "device": m.device, "speed": m.speed, "full": m.full} for m in view.members
        )
        for member in view.members:
            before = old.member(member.id)
            if before is None or before.full != member.full:
                self._host.emit(events.Joined(member.id, member.device, member.full))
        for peer in old.ids:
            if peer not in view.ids:
                why = self._why.pop(peer, "voted out")
                self._host.emit(events.Left(peer) if why == "left" else events.Lost(peer, why))
        self._host.emit(events.ViewBegun(view.number, view.step, facts))

    def _member(self, peer: str) -> Member | None:
        """A member of the latest view or of the one that this peer still works in."""
        return self._membership.view.member(peer) or self.view.member(peer)

    def _suspect(self, peer: str, dead: bool) -> None:
        self._membership.suspect(peer, dead)

    def _pursue_suspicions(self) -> None:
        """Tell the steward whom this peer cannot reach, and find out who is dead: a dying process
        may answer once more.
        """
        view, steward = self._membership.view, self._membership.steward
        for peer in sorted(self._membership.suspects):
            if steward and steward != self.me.id:
                self._send(steward, Suspect(view.number, peer, peer in self._membership.dead))
            member = self._member(peer)
            if member is not None and peer not in self._membership.dead:
                self._host.probe(member)

    def _on_bye(self, source: str, finished: bool, now: float) -> None:
        self._why[source] = "left"
        if finished and self.applied == self.plan.steps:
            self._finalise(self.plan.steps, now)
            self._go("finished")
        else:
            self._suspect(source, dead=True)

    def _go(self, why: str) -> None:
        self._tell(self._others(), Bye(why == "finished"))
        self.ended = why

    # ---- asking, and being asked ----

    def _on_want(self, source: str, want: Want) -> None:
        if want.view != self.view.number:
            return
        part = (want.step, want.bucket)
        if want.kind == "update" and want.bucket in self._exchange.updates.get(want.step, {}):
            self._send(source, replace(self._exchange.updates[want.step][want.bucket], view=want.view))
        elif want.kind == "push" and part in self._exchange.own_pushes:
            self._send(source, self._exchange.own_pushes[part])
        elif want.kind == "weights" and part in self._exchange.own_weights:
            self._send(source, self._exchange.own_weights[part])

    def _learn(self, now: float) -> None:
        """A learner goes on, and asks to be full once it holds the exact state and the data."""
        if self._learning:
            self._learning.tick(self.view, self.applied, now)
            self._become_exact()
        if self._exact and not self._is_full and self.has_data and now - self._ready_at >= READY_INTERVAL_S:
            self._ready_at = now
            speed = self.speeds.get(self.me.id, self.me.speed)
            self._tell(self.view.servers, Ready(replace(self.me, full=True, speed=speed)))

    def _ask_again(self, now: float) -> None:
        """Messages are lost when a connection breaks and comes back: ask for what has been missing
        for too long.
        """
        catching_up = self._exact and self.applied < self.view.step - 1
        if catching_up and now - self._moved_at > LOST_S:
            self._go("excluded")
            return
        patience = READY_INTERVAL_S if catching_up else STUCK_S
        if now - max(self._moved_at, self._asked_at) < (
            0 if catching_up and self._asked_at < self._moved_at else patience
        ):
            return
        self._asked_at = now
        step = self.applied + 1
        kind, held = (
            ("update", self._exchange.updates) if self._exact else ("weights", self._exchange.weights)
        )
        for bucket in range(self.plan.bucket_count(step)):
            if bucket not in held.get(step, {}):
                self._send(self._holder(step, bucket, now), Want(self.view.number, step, bucket, kind))
        for (missing_step, bucket), member in self._exchange.awaited_pushes(self.view.ids):
            self._send(member, Want(self.view.number, missing_step, bucket, "push"))

    def _holder(self, step: int, bucket: int, now: float) -> str:
        """Whom to ask for an UPDATE or for WEIGHTS."""
        if step < self.view.step and self._exact:
            if step == self.view.step - 1 and self.view.sources:
                return self.view.sources[bucket]
            others = [peer for peer in self.view.servers if peer != self.me.id] or [self.me.id]
            return others[int(now / READY_INTERVAL_S) % len(others)]
        return self.plan.server(self.view, step, bucket)

    def _share_speeds(self, now: float) -> None:
        """The steward has shares dealt anew when measured speeds have drifted from the view's."""
        view = self._membership.view
        if now - self._speeds_at < SPEED_INTERVAL_S or self._membership.steward != self.me.id:
            return
        self._speeds_at = now
        drifted = [
            replace(member, speed=speed)
            for member in view.members
            if (speed := self.speeds.get(member.id, 0.0)) > 0
            and not 1 / SPEED_DRIFT < speed / member.speed < SPEED_DRIFT
            and member.id not in self._membership.ready
        ]
        for member in drifted if len(view.members) > 1 else ():
            self._membership.wants_in(member)

    def _report_waiting(self) -> None:
        waiting = self._membership.waits_for
        if waiting and waiting != self.waiting:
            reason = (
                "too few are left to go on without them: bring them back, or end and start again"
            )
            self._host.emit(events.Waiting(waiting, reason))
        self.waiting = waiting

    # ---- sending ----

    def _others(self) -> list[str]:
        return [
            peer for peer in dict.fromkeys((*self.view.ids, *self._membership.view.ids)) if peer != self.me.id
        ]

    def _send(self, to: str, message: Message) -> None:
        if to == self.me.id:
            self._inbox.append((to, message))
        else:
            self._host.send(to, message)

    def _tell(self, peers: tuple[str, ...] | list[str], message: Message) -> None:
        for peer in peers:
            self._send(peer, message)

    def _post(self, outgoing: Outgoing) -> None:
        for to, message in outgoing:
            self._send(to, message)
