"""How the temporaries of a recording share memory: two may lie in the same place if no replayed action has
uses of both still to come.

While recording, memory comes and goes as anywhere else, from pools that hand a piece out again for one size
only. When all is recorded, the first and the last use of each large piece are known. Those that nobody holds
any more are then placed side by side and one after another in a slab, largest first, each in the smallest gap
that is free for as long as it is used, and what uses them is pointed there. Source: Y. Pisarchyk, J. Lee:
"Efficient Memory Management for Deep Neural Net Inference", 2020, "greedy by size".
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from tensor.memory import Storage

LEAST_BYTES = 64 * 1024  # of a piece that is worth being moved

Move = Callable[[Any], object]  # points one user of a piece to its new memory


class Piece:
    """Memory that was allocated while recording, from then until it is handed out again."""

    def __init__(self, storage: Storage, address: int) -> None:
        self.address = address
        self.size_bytes = storage.size_bytes
        self.stays = storage.size_bytes < LEAST_BYTES
        self._storage = weakref.ref(storage)
        self._uses: list[tuple[int, Move]] = []

    def use(self, action: int, move: Move) -> None:
        """The action of this number uses it."""
        self._uses.append((action, move))

    @property
    def held_buffer(self) -> Any:
        """Its memory, if an array still lies there; else None."""
        storage = self._storage()
        return None if storage is None else storage.buffer_or_none

    @property
    def is_held(self) -> bool:
        return self.held_buffer is not None

    @property
    def span(self) -> "Span | None":
        """From when to when it is used; None if never."""
        return Span(self._uses[0][0], self._uses[-1][0], self.size_bytes) if self._uses else None

    def move(self, memory: Any) -> None:
        """Point all that uses it to other memory of the same size."""
        for _, move in self._uses:
            move(memory)


@dataclass(frozen=True)
class Span:
    """So many bytes, in use from one action to another one, both included."""

    first: int
    last: int
    size_bytes: int


@dataclass(frozen=True)
class Place:
    """Where a span lies: `offset_bytes` within the slab of this number."""

    slab: int
    offset_bytes: int


def placed(spans: Sequence[Span], align_bytes: int, most_bytes: int) -> tuple[list[Place], list[int]]:
    """A place for each span, so that those of overlapping times do not overlap, and the sizes of the slabs.

    A slab has at most `most_bytes`; offsets are multiples of `align_bytes`.
    """
    places: dict[int, Place] = {}
    slabs: list[_Slab] = []
    for index in sorted(range(len(spans)), key=lambda index: -spans[index].size_bytes):
        span = spans[index]
        size_bytes = -(-span.size_bytes // align_bytes) * align_bytes
        for number in range(len(slabs) + 1):
            if number == len(slabs):
                slabs.append(_Slab(len(spans)))
            offset_bytes = slabs[number].offset_for(span, size_bytes)
            if offset_bytes + size_bytes <= most_bytes or offset_bytes == 0:
                slabs[number].put(span, offset_bytes, size_bytes)
                places[index] = Place(number, offset_bytes)
                break
    return [places[index] for index in range(len(spans))], [slab.size_bytes for slab in slabs]


class _Slab:
    def __init__(self, most: int) -> None:
        self.size_bytes = 0
        self._count = 0
        self._facts = numpy.zeros((4, most), numpy.int64)  # first, last, begin, end of each that lies there

    def offset_for(self, span: Span, size_bytes: int) -> int:
        """The smallest gap that is free all the time, or the end of all that is there then."""
        first, last, begin, end = self._facts[:, : self._count]
        beside = (first <= span.last) & (last >= span.first)
        order = numpy.argsort(begin[beside])
        begins, ends = begin[beside][order], numpy.maximum.accumulate(end[beside][order])
        free_from = numpy.concatenate([[0], ends])
        gaps = begins - free_from[:-1]
        fitting = numpy.flatnonzero(gaps >= size_bytes)
        return int(free_from[fitting[numpy.argmin(gaps[fitting])] if fitting.size else -1])

    def put(self, span: Span, offset_bytes: int, size_bytes: int) -> None:
        """Let it lie there."""
        end = offset_bytes + size_bytes
        self._facts[:, self._count] = span.first, span.last, offset_bytes, end
        self._count += 1
        self.size_bytes = max(self.size_bytes, end)
