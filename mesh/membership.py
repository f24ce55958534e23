"""Who is in the job: the state machine that leads from one view to the next. No socket, no clock; time
comes in as `now`.

The rules
---------
*One decision a number.* The successor of view v is decided by single-decree Paxos among the full members of
v. A proposer asks for promises (Prepare, Promise), then for acceptance of one value (Accept, Accepted); a
value that a quorum accepted is decided and told to all (Decided). A proposer that hears of a value accepted
before proposes that one.

*Quorum.* A majority of the full members of v; or exactly half of them with the first member among them; or
**every full member that is not proved dead**. A process is proved dead when its host answers and refuses
the connection: it never comes back under that identity. Why the third rule is safe: it needs all the
living, so it meets every other quorum in a living peer, unless that quorum is dead to the last member. What
such a quorum decided can be known to nobody but through a message still on its way; so a Prepare names the
dead, whoever promises hears no message of theirs again, and who dies after that Prepare counts only from the
next one on. A thin member, which promises nothing, may have
had that message: it gives way to the decision of the living, and work is marked with number and ballot of its
view, so that none of the void one is ever counted.

*Freezing.* A promise also binds what its sender does in view v. For a change after a fault (`stop` 0) it
takes no part in v any more, and says what it has applied and what it holds of the next step; nothing lifts
that but the next view, since a value may be chosen from what it said even when it has promised a higher
ballot. For a planned change (joiners, leavers) it pushes nothing for step `stop` or later, and goes on
until then: no work is lost. Since an UPDATE needs a push of every member, a step from `stop` on cannot be
made in v, and so everybody will stand at `stop` − 1 when the new view begins. A later planned proposal may
move `stop`, as long as no value was accepted: once a value with step s is, its acceptor never pushes for s
or later in v, whatever it promises.

*Where the new view begins.* A step that anybody among the promising has applied stands (an applied step
needs pushes of all, so nobody is more than one behind). The step after it stands too if the promising
together hold all its UPDATEs: `View.sources` says who has which. Otherwise it is dropped and done again. A
step that was ever final was applied by every member, so it stands.

*Who proposes.* The steward: the first full member in view order that the sender does not suspect. And
whoever has been bound by a promise for too long without a decision: its proposer may have taken itself for
the steward for a moment only, and the real one need not know of it.

*No full member left.* When every full member is proved dead, the first thin member that is not goes on from
its 8-bit weights.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field, replace

from mesh.message import Accept, Accepted, Ballot, Decided, Message, Prepare, Promise, Reject
from mesh.view import Member, View, ViewKey

GRACE_S = 3.0  # how long a proposer with a quorum waits for the other members that it does not suspect
RETRY_S = 0.5
STALLED_S = 2.0  # how long a promise may bind its sender before it sees to a decision itself
TAKEOVER_S = 0.6  # a thin member waits so long, after the last full one died, for word of a view it missed
TAKEOVER_ROUND = 1 << 30

FROZEN = -1  # in a Reject: its sender has promised to take no part in this view any more

Outgoing = list[tuple[str, Message]]


@dataclass(frozen=True)
class Progress:
    """What a peer has done: its last applied step, the buckets it holds of the next, the last step it began
    to compute.

    A thin peer's `applied` is the step of its 8-bit weights, −1 as long as it has none. A peer is `exact`
    when it holds the exact state, and `settled` when it works in the latest view that it knows of, and not
    still in the one before; `members` are those of the view that it works in.
    """

    applied: int
    held: tuple[int, ...]
    begun: int
    exact: bool
    settled: bool
    members: tuple[str, ...]


@dataclass
class _Proposal:
    ballot: Ballot
    stop: int
    started: float
    dead: frozenset[str]  # as its Prepare names them: those that have promised hear no more of these
    promises: dict[str, Promise] = field(default_factory=dict)
    value: View | None = None
    accepted: set[str] = field(default_factory=set)


class Membership:
    """One peer's part in choosing views. Every method that may have something to say returns (to,
    message) pairs.
    """

    def __init__(
        self,
        me: str,
        view: View,
        progress: Callable[[], Progress],
        bucket_count: Callable[[int], int],
        most_members: int,
    ) -> None:
        self.me = me
        self.view = view  # the latest decided one; the peer may still be working in the one before
        self.suspects: set[str] = set()
        self.dead: set[str] = set()
        self.ready: dict[str, Member] = {}
        self.leaving: set[str] = set()
        self._progress = progress
        self._bucket_count = bucket_count
        self._most_members = most_members
        self._views_seen: dict[str, int] = {}
        self._highest_view_seen = view.number
        self._widowed_since: float | None = None
        self._forget_instance()

    def _forget_instance(self) -> None:
        self._promised: Ballot = (0, "")
        self._accepted: View | None = None
        self._accepted_ballot: Ballot = (0, "")
        self._stop: int | None = None
        self._stopped_since: float | None = None
        self._proposal: _Proposal | None = None
        self._retry_at = 0.0

    # ---- questions ----

    @property
    def votes(self) -> bool:
        """Whether this peer is a full member of the latest view, and has what that takes."""
        return self.me in self.view.servers and self._progress().exact

    @property
    def steward(self) -> str | None:
        """The peer that proposes the next view, as far as this one can tell."""
        return next((peer for peer in self.view.servers if peer not in self.suspects), None)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The silent full members without whom no view can be decided; empty where one can."""
        voters = self.view.servers
        silent = [peer for peer in voters if peer in self.suspects - self.dead]
        return tuple(silent) if silent and not self._is_quorum(set(voters) - self.suspects, self.dead) else ()

    @property
    def is_widowed(self) -> bool:
        """Whether every full member is proved dead."""
        return set(self.view.servers) <= self.dead

    @property
    def is_frozen(self) -> bool:
        """Whether this peer has promised to take no part in the present view any more."""
        return self._stop == 0

    def may_push(self, step: int) -> bool:
        """Whether no promise of this peer forbids it to push for `step` in the present view."""
        return self._stop is None or step < self._stop

    def _is_quorum(self, group: set[str], dead: Set[str]) -> bool:
        voters = self.view.servers
        if not group or not group <= set(voters):
            return False
        twice = 2 * len(group)
        if twice > len(voters) or (twice == len(voters) and voters[0] in group):
            return True
        return group >= set(voters) - dead

    # ---- what this peer sees ----

    def suspect(self, peer: str, dead: bool) -> None:
        """This peer cannot reach `peer`; `dead` where that is proved."""
        if peer == self.me:
            return
        if dead:
            self.dead.add(peer)
        if peer in self._needed():
            self.suspects.add(peer)

    def hears(self, peer: str, view: ViewKey) -> Outgoing:
        """A sign of life of `peer`, which knows `view`; an older one than ours is answered with ours."""
        if peer in self.dead:
            return []
        self.suspects.discard(peer)
        number = view[0]
        self._views_seen[peer] = number
        self._highest_view_seen = max(self._highest_view_seen, number)
        behind = number < self.view.number or (number == self.view.number and view != self.view.key)
        return [(peer, Decided(self.view))] if behind else []

    def wants_in(self, member: Member) -> None:
        """A newcomer is ready to be a member, or a learner to be full."""
        if member.id not in self.dead and self.view.member(member.id) != member:
            self.ready[member.id] = member

    def wants_out(self, peer: str) -> None:
        """A member will go."""
        self.leaving.add(peer)
        self.ready.pop(peer, None)

    # ---- acting on time ----

    def tick(self, now: float) -> Outgoing:
        """Propose, retry or take over where it is this peer's turn."""
        if not self.votes:
            return self._take_over(now)
        if self._stop is not None and self._stopped_since is None:
            self._stopped_since = now
        stalled = self._stalled(now)
        if self.steward != self.me and not stalled:
            return []
        fault = bool(self.suspects & self._needed())
        proposal = self._proposal
        outdated = proposal and (
            (fault and proposal.stop) or self.dead & {*self.view.servers} > proposal.dead
        )
        if proposal and not outdated and now < self._retry_at:
            return self._choose(now)
        if fault or (proposal and not proposal.stop) or (stalled and self._stop == 0):
            return self._propose(now, hard=True)
        if proposal or stalled or (self._wished() != self.view.members and self._all_settled()):
            return self._propose(now, hard=False)
        return []

    def _all_settled(self) -> bool:
        """Whether every member knows the latest view, so that nobody can miss one between two
        planned changes.
        """
        others = set(self.view.ids) - {self.me}
        known = all(self._views_seen.get(peer, 0) >= self.view.number for peer in others)
        return known and self._progress().settled

    def _needed(self) -> set[str]:
        """The members of the latest view, and of the one before as long as work goes on in that."""
        return {*self.view.ids, *self._progress().members}

    def _stalled(self, now: float) -> bool:
        """Whether a promise binds this peer although nobody brings the change to an end; earlier members
        lose patience first.
        """
        patience = STALLED_S + RETRY_S * self.view.servers.index(self.me)
        return self._stopped_since is not None and now - self._stopped_since > patience

    def _propose(self, now: float, hard: bool) -> Outgoing:
        progress = self._progress()
        stop = 0 if hard or self.is_frozen else max(progress.applied + 1, progress.begun) + 1
        ballot = (max(self._promised[0], self._proposal.ballot[0] if self._proposal else 0) + 1, self.me)
        before = self._proposal
        started = before.started if before and hard and not before.stop else now  # grace outlasts a retry
        self._proposal = _Proposal(ballot, stop, started, frozenset(self.dead & {*self.view.servers}))
        position = self.view.servers.index(self.me)
        self._retry_at = now + RETRY_S * (1 + 0.3 * position)
        prepare = Prepare(self.view.number, ballot, stop, tuple(sorted(self.dead)))
        return self._to_voters(prepare, self.view.servers)

    def _to_voters(self, message: Message, voters: Iterable[str]) -> Outgoing:
        return [(peer, message) for peer in voters if peer not in self.dead]

    def _take_over(self, now: float) -> Outgoing:
        """The first living thin member goes on alone when every full one is proved dead."""
        thin = [peer for peer in self.view.thin if peer not in self.dead]
        if not self.is_widowed or thin[:1] != [self.me] or self._progress().applied < 0:
            self._widowed_since = None
            return []
        self._widowed_since = now if self._widowed_since is None else self._widowed_since
        if now - self._widowed_since < TAKEOVER_S:
            return []
        members = tuple(
            replace(member, full=True, learns=False) if member.id == self.me else member
            for member in self.view.members
            if member.id in thin and (member.id == self.me or member.id not in self.suspects)
        )
        number = self._highest_view_seen + 1
        return self._decide(
            View(number, self._progress().applied + 1, members, (), False, (TAKEOVER_ROUND, self.me))
        )

    # ---- messages ----

    def receive(self, source: str, message: Message, now: float) -> Outgoing:
        """Take in one message of the view change."""
        if source in self.dead:
            return []
        match message:
            case Decided(view):
                return self._learn(view)
            case Prepare() | Promise() | Reject() | Accept() | Accepted() if message.view < self.view.number:
                return [(source, Decided(self.view))]
            case Prepare() | Promise() | Reject() | Accept() | Accepted() if message.view > self.view.number:
                return []  # we missed a decision; pings bring it
            case _ if not self.votes or source not in self.view.servers:
                return []
            case Prepare():
                return self._on_prepare(source, message)
            case Promise():
                return self._on_promise(source, message, now)
            case Accept():
                return self._on_accept(source, message)
            case Accepted():
                return self._on_accepted(source, message)
            case Reject():
                return self._on_reject(message, now)
        return []

    def _on_prepare(self, source: str, message: Prepare) -> Outgoing:
        progress = self._progress()
        if message.stop and self.is_frozen:
            return [(source, Reject(self.view.number, self._promised, FROZEN))]
        too_late = message.stop > 0 and (message.stop <= progress.begun or not progress.settled)
        if message.ballot < self._promised or too_late:
            return [(source, Reject(self.view.number, self._promised, progress.begun))]
        self._promised = message.ballot
        self.dead.update(peer for peer in message.dead if peer != self.me)
        self.suspects.update(self.dead & self._needed())
        self._stop = message.stop if self._accepted is None else min(message.stop, self._accepted.step)
        promise = Promise(
            self.view.number,
            message.ballot,
            self._accepted_ballot,
            self._accepted,
            progress.applied,
            progress.held,
        )
        return [(source, promise)]

    def _on_promise(self, source: str, message: Promise, now: float) -> Outgoing:
        if self._proposal and message.ballot == self._proposal.ballot:
            self._proposal.promises[source] = message
            return self._choose(now)
        return []

    def _choose(self, now: float) -> Outgoing:
        """Once enough have promised, propose a value."""
        proposal = self._proposal
        if proposal is None or proposal.value is not None:
            return []
        promised = set(proposal.promises)
        wanted = set(self.view.servers) - (set() if proposal.stop else self.suspects)
        waited = proposal.stop == 0 and now - proposal.started >= GRACE_S
        if not self._is_quorum(promised, proposal.dead) or not (wanted <= promised or waited):
            return []
        accepted = [promise for promise in proposal.promises.values() if promise.accepted is not None]
        if accepted:
            proposal.value = max(accepted, key=lambda promise: promise.accepted_ballot).accepted
        elif proposal.stop:
            proposal.value = View(
                self.view.number + 1, proposal.stop, self._wished(), (), True, proposal.ballot
            )
        else:
            proposal.value = self._survivors(proposal)
        assert proposal.value is not None
        return self._to_voters(Accept(self.view.number, proposal.ballot, proposal.value), proposal.promises)

    def _wished(self) -> tuple[Member, ...]:
        """The members with all wishes to come, to rise and to go granted, as far as the batch goes round."""
        kept = [
            self.ready.get(member.id, member) for member in self.view.members if member.id not in self.leaving
        ]
        known = set(self.view.ids) | self.leaving
        kept += [member for peer, member in self.ready.items() if peer not in known]
        kept = kept[: self._most_members]
        return tuple(kept) if any(member.full for member in kept) else self.view.members

    def _survivors(self, proposal: _Proposal) -> View:
        """The view after a fault: who promised, and the thin ones that nobody suspects."""
        promises = proposal.promises
        members = tuple(
            member
            for member in self.view.members
            if (member.id in promises if member.full else member.id not in self.suspects)
        )
        applied = max(promise.applied for promise in promises.values())
        held = {b: peer for peer, p in promises.items() if p.applied == applied for b in p.held}
        buckets = range(self._bucket_count(applied + 1))
        if set(held) >= set(buckets):
            sources, step = tuple(held[bucket] for bucket in buckets), applied + 2
        elif any(promise.applied < applied for promise in promises.values()):
            holder = next(peer for peer, promise in promises.items() if promise.applied == applied)
            sources, step = (holder,) * self._bucket_count(applied), applied + 1
        else:
            sources, step = (), applied + 1
        return View(self.view.number + 1, step, members, sources, False, proposal.ballot)

    def _on_accept(self, source: str, message: Accept) -> Outgoing:
        if message.ballot != self._promised:
            return [(source, Reject(self.view.number, self._promised, self._progress().begun))]
        self._accepted, self._accepted_ballot = message.value, message.ballot
        self._stop = message.value.step if self._stop is None else min(self._stop, message.value.step)
        return [(source, Accepted(self.view.number, message.ballot))]

    def _on_accepted(self, source: str, message: Accepted) -> Outgoing:
        proposal = self._proposal
        if proposal is None or message.ballot != proposal.ballot or proposal.value is None:
            return []
        proposal.accepted.add(source)
        return self._decide(proposal.value) if self._is_quorum(proposal.accepted, proposal.dead) else []

    def _on_reject(self, message: Reject, now: float) -> Outgoing:
        proposal = self._proposal
        if proposal is None:
            return []
        if message.ballot > proposal.ballot:
            self._promised = max(self._promised, message.ballot)
        elif proposal.stop and self.steward == self.me and not 0 <= message.step < proposal.stop:
            return self._propose(now, hard=message.step == FROZEN)
        return []

    def _decide(self, view: View) -> Outgoing:
        told = dict.fromkeys((*self.view.ids, *view.ids))
        self._adopt(view)
        return [(peer, Decided(view)) for peer in told if peer not in (self.me, *self.dead)]

    def _learn(self, view: View) -> Outgoing:
        newer = view.number > self.view.number
        if newer or (view.number == self.view.number and self._is_void(view)):
            self._adopt(view)
        return []

    def _is_void(self, other: View) -> bool:
        """Whether the latest view gives way to `other` of its number: it was proposed by none of those."""
        return other.key != self.view.key and self.view.ballot[1] not in other.ids

    def _adopt(self, view: View) -> None:
        self._highest_view_seen = max(self._highest_view_seen, view.number)
        self._widowed_since = None
        self._forget_instance()
        present = set(view.ids)
        gone = set(self.view.ids) - present
        self.view = view
        self.suspects = (self.suspects | self.dead) & self._needed()
        self.leaving &= present
        kept = self.ready if view.planned else {}  # after a fault, who still wants in says so again
        self.ready = {p: member for p, member in kept.items() if view.member(p) != member and p not in gone}
