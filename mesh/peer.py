"""One peer as a member of a job: the whole protocol as one state machine without socket, clock or thread.

Messages, results of the compute thread, the passing of time and broken connections come in through the `on_…`
methods; what follows from them goes out through the Host. Steps are the business of `steps`, the choice of
views that of `membership`; here they are joined: this file decides when a view takes effect, and when this
peer goes.
"""

from collections.abc import Iterable
from dataclasses import replace

from mesh import events
from mesh.errors import JobFailedError, RefusedError
from mesh.finals import Finals
from mesh.host import Host
from mesh.liveness import PING_INTERVAL_S, Liveness
from mesh.membership import Membership, Outgoing, Progress
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
    Refused,
    Reject,
    State,
    StateWant,
    Suspect,
    Update,
    Want,
    Weights,
)
from mesh.plan import Plan
from mesh.steps import Steps
from mesh.tasks import Failed, GradientDone, Result, Save
from mesh.view import SPEED_MOST, Member, View

RECONNECT_S = 1.0  # a broken connection that is not back for so long makes its peer a suspect
LEAVE_S = 0.7  # a leaver waits so long for a step boundary
SPEED_DRIFT = 1.5  # shares are dealt anew when a measured speed differs so much from the view's
SPEED_INTERVAL_S = 10.0
PROBED_S = 3.0  # for so long after its connection broke a peer is probed, even if something of it comes late


class Peer:
    """A member of `view`, the first of which it knows; `now` is any clock that goes on."""

    def __init__(
        self, me: Member, plan: Plan, view: View, host: Host, now: float, save_every: int = 0
    ) -> None:
        self.plan = plan
        self.ended: str | None = None  # "finished", "left", "excluded" or "diverged"
        self.speeds: dict[str, float] = {}
        self.waiting: tuple[str, ...] = ()
        self.latest = view  # the last that was decided; `view` is the one in effect
        self._host = host
        first_final = max(view.step - 1 if me.full else view.step - 2, 0)
        self.finals = Finals(me.id, plan, host, first_final, save_every, now)
        self._membership = Membership(me.id, view, self._progress, plan.bucket_count, plan.batch)
        self.steps = Steps(me, plan, self.finals, host, self._send, self._membership, self._go)
        self._liveness = Liveness()
        self._doubtful: dict[str, float] = {}  # whose connections broke, and when; they may come back
        self._upcoming: list[View] = []
        self._inbox: list[tuple[str, Message]] = []
        self._why: dict[str, str] = {}
        self._broke_at: dict[str, float] = {}
        self._leaving_since: float | None = None
        self._pinged_at = -PING_INTERVAL_S
        self._speeds_at = now
        self._set_view(View(view.number, view.step, ()), view, now)
        self._drain(now)

    @property
    def me(self) -> Member:
        """This peer as a member of the view in effect."""
        return self.steps.me

    # ---- what comes in ----

    def on_message(self, source: str, message: Message, now: float) -> None:
        """A message of `source`."""
        self._inbox.append((source, message))
        self._drain(now)

    def on_result(self, result: Result, now: float) -> None:
        """The compute thread has done something. JobFailedError if it cannot go on."""
        self._take(result)
        self._drain(now)

    def on_disconnected(self, peer: str, now: float) -> None:
        """The connection to `peer` broke. A probe says at once if its process is gone; if not, or if it was
        this machine that slept, the connection may come back.
        """
        if self.ended:
            return
        member = self._member(peer)
        if member is not None:
            self._why.setdefault(peer, "its connection broke")
            self._broke_at[peer] = now
            self._host.probe(member)
            self._doubtful.setdefault(peer, now)
        self._drain(now)

    def on_probed(self, peer: str, dead: bool, now: float) -> None:
        """The answer to a probe: `dead` if the process is gone for certain."""
        if dead and self._why.get(peer) != "left":
            self._why[peer] = "its process ended"
        if dead:
            self._suspect(peer, dead=True)
        self._drain(now)

    def on_tick(self, now: float) -> None:
        """Time passes: to be called some ten times a second."""
        if self.ended:
            return
        for peer in [peer for peer, since in self._doubtful.items() if now - since > RECONNECT_S]:
            del self._doubtful[peer]
            self._suspect(peer, dead=False)
        for peer in self._liveness.silent(now):
            if peer not in self._membership.suspects:
                self._why[peer] = f"silent for {self._liveness.limit_s(peer):.0f} s"
            self._suspect(peer, dead=False)
        if now - self._pinged_at >= PING_INTERVAL_S:
            self._pinged_at = now
            speed = self.speeds.get(self.me.id, 0.0)
            self._tell(
                self._others(),
                Ping(self._membership.view.key, self.steps.applied, self.finals.step, speed),
            )
            self._pursue_suspicions(now)
        self._share_speeds(now)
        self._post(self._membership.tick(now))
        if self._membership.is_widowed and not self.steps.exact and self.steps.shadow_step < 0:
            self._go("excluded")  # nothing came from them before they died: another thin peer may have more
            return
        self.steps.learn(now)
        self.steps.ask_again(now)
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
                self.steps.finalise(self.steps.applied, now)  # there is nobody who could undo it
                self._host.submit(Save(self.steps.applied))
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
        self._doubtful.pop(source, None)
        match message:
            case Push() | Update() | Weights():
                self.steps.receive(source, message, now)
            case Want() | StateWant() | State():
                self.steps.receive_other(source, message, now)
            case Ping():
                self._post(self._membership.hears(source, message.view))
                if self._member(source) is not None and 0 < message.speed <= SPEED_MOST:
                    self.speeds[source] = message.speed
                self.steps.hears_applied(source, message.applied)
            case Prepare() | Promise() | Reject() | Accept() | Accepted() | Decided():
                self._post(self._membership.receive(source, message, now))
                self._notice_decision()
            case Suspect(view, peer, _) if view == self._membership.view.number:
                member = self._member(peer)
                if member is not None and peer != self.me.id:
                    self._host.probe(member)
            case Ready(member) if member.id == source and self._may_want_in(member):
                self._host.open(member)
                self._membership.wants_in(member)
                if source in self._membership.view.ids:
                    self._send(source, Decided(self._membership.view))
            case Leave():
                self._membership.wants_out(source)
                self._why[source] = "left"
            case Bye(finished):
                self._on_bye(source, finished, now)
            case Refused(reason) if self._member(source) is not None:
                self._tell(self._others(), Bye(False))
                raise RefusedError(reason)
            case Evaluated(step, accuracy, loss) if self._member(source) is not None:
                self._host.emit(events.Evaluated(step, accuracy, loss, source))
            case _:
                pass

    def _advance(self, now: float) -> bool:
        """Do the next thing that is possible; whether there was one."""
        self._notice_decision()
        if self._upcoming:
            view = self._upcoming[0]  # after a fault it begins at once, a planned one when our part is done
            if self.steps.expect_view(view) or not view.planned:
                self._set_view(self.view, self._upcoming.pop(0), now)
                return True
        return self.steps.advance(now)

    def _take(self, result: Result) -> None:
        match result:
            case GradientDone(samples=samples, seconds=seconds):
                speed = samples / max(seconds, 1e-6)
                self.speeds[self.me.id] = 0.8 * self.speeds.get(self.me.id, speed) + 0.2 * speed
            case Failed(reason, exit_code):
                self._tell(self._others(), Bye(False))
                raise JobFailedError(reason, exit_code)
            case _:
                self.steps.take(result)

    # ---- views ----

    def _notice_decision(self) -> None:
        view = self._membership.view
        if view.key != self.latest.key:
            if view.number > self.latest.number + 1 and view.member(self.me.id) is None:
                view = replace(view, planned=False)  # voted out in a decision unheard of: nothing to wait for
            self.latest = view
            self._upcoming = [*self._upcoming, view] if view.planned else [view]
            for member in view.members:
                self._host.open(member)
                if self.view.member(member.id) is None and member.id != self.me.id:
                    self._host.probe(member)  # it may have died before its connection meant anything here

    def _set_view(self, old: View, view: View, now: float) -> None:
        """Work in `view` from here on."""
        self.view = view
        self._report_view(old, view)
        for peer in old.ids:
            if peer not in view.ids:
                self._host.close(peer)
                self._liveness.forget(peer)
                self.speeds.pop(peer, None)
                self._broke_at.pop(peer, None)
        mine = view.member(self.me.id)
        if mine is None:
            self.ended = "left" if self._leaving_since is not None else "excluded"
            return
        for member in view.members:
            if member.id != self.me.id:
                self._host.open(member)
                self._liveness.expect(member.id, now)
        self._inbox.extend(self.steps.begin_view(view, mine, now))

    def _progress(self) -> Progress:
        steps, settled = self.steps, self.view.key == self.latest.key
        if not steps.exact:
            return Progress(steps.shadow_step, (), steps.begun, False, settled, self.view.ids)
        return Progress(steps.applied, steps.held(), steps.begun, True, settled, self.view.ids)

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

    def _may_want_in(self, member: Member) -> bool:
        """Whether a wish makes sense: a speed that shares can be cut by, and a member before it is full."""
        return member.makes_sense and not (member.full and self._member(member.id) is None)

    def _member(self, peer: str) -> Member | None:
        """A member of the latest view or of the one that this peer still works in."""
        return self._membership.view.member(peer) or self.view.member(peer)

    def _suspect(self, peer: str, dead: bool) -> None:
        self._membership.suspect(peer, dead)

    def _pursue_suspicions(self, now: float) -> None:
        """Tell the steward whom this peer cannot reach, and find out who is dead.

        A dying process may answer a probe once more, and a message that it sent before may come late and
        clear it of the suspicion. So one whose connection broke is probed for a while in any case.
        """
        view, steward = self._membership.view, self._membership.steward
        suspects = self._membership.suspects
        broken = {peer for peer, broke_at in self._broke_at.items() if now - broke_at < PROBED_S}
        for peer in sorted(suspects | broken):
            if steward and steward != self.me.id and peer in suspects:
                self._send(steward, Suspect(view.number, peer, peer in self._membership.dead))
            member = self._member(peer)
            if member is not None and peer not in self._membership.dead:
                self._host.probe(member)

    def _on_bye(self, source: str, finished: bool, now: float) -> None:
        self._why[source] = "left"
        if finished:
            if self.steps.applied == self.plan.steps:
                self.steps.finalise(self.plan.steps, now)
            else:
                self._host.emit(events.Note("the job was finished before this peer could take part"))
            self._go("finished")
        else:
            self._suspect(source, dead=True)

    def _go(self, why: str) -> None:
        waiting = self._membership.ready if why == "finished" else ()
        self._tell(dict.fromkeys((*self._others(), *waiting)), Bye(why == "finished"))
        self.ended = why

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
            reason = "too few are left to go on without them: bring them back, or end and start again"
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

    def _tell(self, peers: Iterable[str], message: Message) -> None:
        for peer in peers:
            self._send(peer, message)

    def _post(self, outgoing: Outgoing) -> None:
        for to, message in outgoing:
            self._send(to, message)
