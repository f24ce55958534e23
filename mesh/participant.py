"""A process's way through a job: it asks to be let in, is a member, and asks again under a new identity if
it was voted out.
"""

from dataclasses import replace

from mesh import events
from mesh.backlog import Backlog
from mesh.errors import JobFailedError, RefusedError, UnreachableError
from mesh.host import Host
from mesh.job import digest_of
from mesh.message import VERSION, Bye, Decided, Hello, Message, NotYet, Ready, Refused, Welcome
from mesh.peer import Peer
from mesh.plan import Plan
from mesh.tasks import Failed, Prepared, Result
from mesh.view import Member, View

ASK_INTERVAL_S = 0.5
ANSWER_S = 5.0  # a Ready unanswered for so long: ask for the present members again
SOFTWARE = f"mesh protocol {VERSION}"


class Participant:
    """The pure half of a node: `peer` is None while it is not a member.

    `me` describes this process: where it listens, and whether it wants to be full (`learns`). `contacts` are
    addresses `host:port` or ids of opened peers to ask; `patience_s` is how long nobody may answer.
    """

    def __init__(
        self, me: Member, contacts: tuple[str, ...], host: Host, now: float, patience_s: float
    ) -> None:
        self.peer: Peer | None = None
        self.ended: str | None = None
        self.welcome: Welcome | None = None
        self.has_data = True
        self._me = me
        self._host = host
        self._contacts = contacts
        self._patience_s = patience_s
        self._job: str | None = None  # the digest of the job that this process has taken part in
        self._plan: Plan | None = None
        self._save_every = 0
        self._begin(now)

    @classmethod
    def founder(
        cls, me: Member, plan: Plan, host: Host, now: float, save_every: int, job: str
    ) -> "Participant":
        """The first member of a new job, whose digest is `job`."""
        participant = cls(me, (), host, now, float("inf"))
        view = View(1, 1, (me,))
        participant._job = job
        participant._plan = plan
        participant._save_every = save_every
        participant.peer = Peer(me, plan, view, host, now, save_every)
        return participant

    def _begin(self, now: float) -> None:
        self._asked_at = -ASK_INTERVAL_S
        self._answered_at = now
        self.known: View | None = None
        self._early: Backlog[Message] = Backlog()

    # ---- what comes in ----

    def on_message(self, source: str, message: Message, now: float) -> None:
        """A message of `source`. RefusedError if a peer says no."""
        if self.peer is not None:
            self.peer.on_message(source, message, now)
            self._follow(now)
            return
        match message:
            case Refused(reason):
                raise RefusedError(reason)
            case Welcome():
                self._on_welcome(source, message, now)
            case NotYet():
                self._answered_at = now
            case Bye(finished=True):
                self.ended = "finished"  # before this peer was let in
            case Decided(view) if view.member(self._me.id) is not None and self._plan is not None:
                self._enter(view, now)
            case Decided(view):
                self.known = view
            case _:
                self._early.add(source, message)

    def on_result(self, result: Result, now: float) -> None:
        """The compute thread has done something. JobFailedError if it cannot go on."""
        if isinstance(result, Prepared):
            self._plan = result.plan
            self._me = replace(self._me, device=result.device, speed=result.speed)
            self._answered_at = now
        elif self.peer is not None:
            self.peer.on_result(result, now)
            self._follow(now)
        elif isinstance(result, Failed):
            raise JobFailedError(result.reason, result.exit_code)

    def on_disconnected(self, peer: str, now: float) -> None:
        """The connection to `peer` broke."""
        if self.peer is not None:
            self.peer.on_disconnected(peer, now)
            self._follow(now)

    def on_probed(self, peer: str, dead: bool, now: float) -> None:
        """The answer to a probe."""
        if self.peer is not None:
            self.peer.on_probed(peer, dead, now)
            self._follow(now)

    def on_tick(self, now: float) -> None:
        """Time passes. UnreachableError if nobody has answered for too long."""
        if self.peer is not None:
            self.peer.steps.has_data = self.has_data
            self.peer.on_tick(now)
            self._follow(now)
        elif now - self._asked_at >= ASK_INTERVAL_S:
            self._asked_at = now
            self._ask(now)

    def leave(self, now: float) -> None:
        """Go, as soon as that can be done well."""
        if self.peer is None:
            self.ended = self.ended or "left"
        else:
            self.peer.leave(now)
            self._follow(now)

    # ---- asking to be let in ----

    def _ask(self, now: float) -> None:
        waited = now - self._answered_at
        if self.welcome is None or (self._plan is not None and (self.known is None or waited > ANSWER_S)):
            if waited > self._patience_s:
                raise UnreachableError(self._nobody())
            for contact in self._contacts:
                self._host.send(contact, Hello(SOFTWARE))
        if self._plan is not None and self.known is not None:
            for member in self.known.members:
                self._host.open(member)
            for peer in self.known.servers:
                self._host.send(peer, Ready(self._me))

    def _nobody(self) -> str:
        where = f"at {', '.join(self._contacts)} for {self._patience_s:.0f} s"
        if self.welcome is not None:
            return f"no peer answered any more {where}: the job is done, or all its peers are gone"
        return f"no peer answered {where}: is `mesh start` running there, and is the port right?"

    def _on_welcome(self, source: str, welcome: Welcome, now: float) -> None:
        job = digest_of(welcome.job)
        if self._job is None:
            self._job = job
        elif self._job != job:
            self._give_up(source)
            return
        self.known = welcome.view
        self._answered_at = now
        if self.welcome is None and self._plan is None:
            self.welcome = welcome
            self._host.prepare(welcome)

    def _give_up(self, contact: str) -> None:
        """Ask a peer no more that trains something else now. RefusedError if nobody else is left to ask."""
        self._contacts = tuple(other for other in self._contacts if other != contact)
        if not self._contacts:
            raise RefusedError(
                f"the peer at {contact} trains another job now, and nobody else of this one is known: "
                "to take part in that one, type `mesh join` again"
            )

    def _enter(self, view: View, now: float) -> None:
        me = view.member(self._me.id)
        assert me is not None
        assert self._plan is not None
        self._me = me
        for contact in self._contacts:
            self._host.close(contact)
        self.peer = Peer(me, self._plan, view, self._host, now, self._save_every)
        for source, message in self._early.take():
            self.peer.on_message(source, message, now)
        self._follow(now)

    # ---- being a member, and no more ----

    def _follow(self, now: float) -> None:
        """Act on the end of a membership."""
        if self.peer is None or self.peer.ended is None:
            return
        why, view = self.peer.ended, self.peer.view
        if why in ("finished", "left"):
            self.ended = why
            return
        others = [member for member in view.members if member.id != self._me.id]
        if why == "excluded":
            self._host.emit(events.Note("voted out while this machine was away: joining again"))
        stays_thin = why == "diverged" or not (self._me.learns or self._me.full)
        self._me = replace(self._me, id=self._host.fresh_id(), full=False, learns=not stays_thin)
        self._host.rename(self._me.id)
        self._contacts = tuple(f"{member.host}:{member.port}" for member in others)
        self._patience_s = 60.0
        self.peer = None
        self._begin(now)
