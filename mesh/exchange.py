"""What a peer holds of the steps in progress: pushes to merge, UPDATEs to apply, 8-bit weights to follow.
Only data.
"""

from collections import defaultdict

from mesh.message import Payload, Push, Update, Weights

Part = tuple[int, int]  # step, bucket


class Exchange:
    """The messages of the present step, and the UPDATEs and pushes of the last two."""

    def __init__(self) -> None:
        self.updates: dict[int, dict[int, Update]] = defaultdict(dict)
        self.weights: dict[int, dict[int, Weights]] = defaultdict(dict)
        self.own_pushes: dict[Part, Push] = {}
        self.own_weights: dict[Part, Weights] = {}
        self._pushes: dict[Part, dict[str, Push]] = defaultdict(dict)
        self._merging: set[Part] = set()

    def begin_view(self, step: int) -> None:
        """A view begins with `step`: pushes for that step or later are made anew, and what was merged of
        them is void. Of the steps before, others may still miss something.
        """
        self._pushes.clear()
        self._merging.clear()
        self.own_weights.clear()
        self.weights.clear()
        for late in [number for number in self.updates if number >= step]:
            del self.updates[late]
        for part in [part for part in self.own_pushes if part[0] >= step]:
            del self.own_pushes[part]

    def forget_before(self, step: int) -> None:
        """Nothing older than `step` will be asked for any more."""
        for held in (self.updates, self.weights):
            for old in [number for number in held if number < step]:
                del held[old]
        for own in (self.own_pushes, self.own_weights):
            for part in [part for part in own if part[0] < step]:
                del own[part]
        self._merging = {part for part in self._merging if part[0] >= step}

    def add_push(self, source: str, push: Push) -> None:
        """A push for a bucket that this peer serves."""
        if (push.step, push.bucket) not in self._merging:
            self._pushes[push.step, push.bucket][source] = push

    def take_pushes(self, step: int, bucket: int, members: tuple[str, ...]) -> tuple[Push, ...] | None:
        """The pushes of all `members` in their order, once: None until all are there and after they
        were taken.
        """
        pushes = self._pushes.get((step, bucket), {})
        if not pushes.keys() >= set(members):
            return None
        self._merging.add((step, bucket))
        del self._pushes[step, bucket]
        return tuple(pushes[member] for member in members)

    def awaited_pushes(self, members: tuple[str, ...]) -> list[tuple[Part, str]]:
        """Which pushes are missing from buckets that others have pushed already."""
        return [
            (part, member)
            for part, pushes in self._pushes.items()
            for member in members
            if pushes and member not in pushes
        ]

    def held(self, step: int) -> tuple[int, ...]:
        """The buckets of `step` whose UPDATE is here."""
        return tuple(sorted(self.updates.get(step, ())))

    def payloads(
        self, held: dict[int, dict[int, Update]] | dict[int, dict[int, Weights]], step: int
    ) -> tuple[Payload, ...]:
        """The payloads of `step` in bucket order."""
        return tuple(held[step][bucket].payload for bucket in sorted(held[step]))
