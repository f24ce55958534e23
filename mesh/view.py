"""The facts that members agree on: who takes part, from which step on."""

from dataclasses import dataclass

MEMBERS_MOST = 4096
SOURCES_MOST = 1 << 16  # buckets of a million parameters each
NAME_CHARACTERS_MOST = 1000
SPEED_MOST = 1e12  # samples/s: more is no measurement

ViewKey = tuple[int, tuple[int, str]]  # a view's number, and the ballot in which its members were proposed


@dataclass(frozen=True)
class Member:
    """One peer as the others know it.

    `id` is fresh for every process and every time it comes back. `speed` is in samples a second, as
    measured. A `full` member holds the exact weights and optimizer state, votes and serves; one that is not
    full is *thin*: it computes with 8-bit weights. A thin member that `learns` is on its way to be full.
    """

    id: str
    host: str
    port: int
    bulk_port: int
    device: str
    speed: float
    full: bool
    learns: bool

    @property
    def makes_sense(self) -> bool:
        """Whether a member of which a peer was told can be one."""
        names = max(len(self.id), len(self.host), len(self.device)) <= NAME_CHARACTERS_MOST
        ports = all(0 <= port < 1 << 16 for port in (self.port, self.bulk_port))
        return bool(self.id) and names and ports and 0 < self.speed <= SPEED_MOST


@dataclass(frozen=True)
class View:
    """A numbered, ordered list of members that trains from `step` on.

    The order is the order of joining. `sources` names, for each bucket, a member that holds the UPDATE of
    step − 1: where survivors of a fault hold that step only together, those who miss some of it fetch it
    there. It is empty where all have it. A `planned` view begins when its members come to its step; one
    that is not was decided after a fault and begins at once. `ballot` tells two views of one number apart,
    should a takeover ever meet a decision that nobody alive knew of.
    """

    number: int
    step: int
    members: tuple[Member, ...]
    sources: tuple[str, ...] = ()
    planned: bool = False
    ballot: tuple[int, str] = (0, "")

    @property
    def key(self) -> ViewKey:
        """What work in this view is marked with."""
        return self.number, self.ballot

    @property
    def ids(self) -> tuple[str, ...]:
        """Every member's id, in order."""
        return tuple(member.id for member in self.members)

    @property
    def servers(self) -> tuple[str, ...]:
        """The ids of the full members: they vote and serve."""
        return tuple(member.id for member in self.members if member.full)

    @property
    def thin(self) -> tuple[str, ...]:
        """The ids of the members that compute with 8-bit weights."""
        return tuple(member.id for member in self.members if not member.full)

    @property
    def learners(self) -> tuple[str, ...]:
        """The ids of the thin members that are to be full."""
        return tuple(member.id for member in self.members if member.learns and not member.full)

    @property
    def fault(self) -> str:
        """What makes no sense in a view of which a peer was told; empty where all does."""
        if len(self.members) > MEMBERS_MOST or len(self.sources) > SOURCES_MOST:
            return f"{len(self.members)} members and {len(self.sources)} sources are too many"
        if self.number < 1 or self.step < 1:
            return f"number {self.number} from step {self.step}, where both begin with 1"
        if len(set(self.ids)) < len(self.members):
            return "two members have one id"
        if not self.servers:
            return "it has no full member"
        if not set(self.sources) <= set(self.servers):
            return "a source is none of its full members"
        absurd = next((member for member in self.members if not member.makes_sense), None)
        return f"{absurd!r:.200} cannot be a member" if absurd else ""

    def member(self, peer: str) -> Member | None:
        """The member of that id, or None."""
        return next((member for member in self.members if member.id == peer), None)
