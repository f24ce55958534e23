"""Getting a data set's chunks from the peers that have them: a few at a time, of others after a while."""

from collections.abc import Callable, Sequence

from mesh.datasets import Store
from mesh.message import Chunk, ChunkWant, Message

WINDOW = 4
PATIENCE_S = 2.0
AGAIN_S = 0.2  # after a peer that has not got it


class Fetching:
    """What one peer has asked for and not got yet. Knows no clock: `now` is given."""

    def __init__(self, store: Store, send: Callable[[str, Message], None]) -> None:
        self._store = store
        self._send = send
        self._asked: dict[str, float] = {}  # digest: when
        self._turn = 0

    def ask(self, sources: Sequence[str], now: float) -> None:
        """Ask `sources`, the ids of the other members, for what is missing."""
        if self._store.complete or not sources:
            return
        self._asked = {digest: at for digest, at in self._asked.items() if now - at < PATIENCE_S}
        for digest in self._store.wanted:
            if len(self._asked) >= WINDOW:
                return
            if digest not in self._asked:
                self._asked[digest] = now
                turn = self._turn + int(now / PATIENCE_S) + int(digest[:4], 16)
                self._send(sources[turn % len(sources)], ChunkWant(digest))

    def take(self, chunk: Chunk, sources: Sequence[str], now: float) -> None:
        """A chunk came, or word that its sender has not got it; go on with the next."""
        if chunk.digest not in self._asked:
            return
        if len(chunk.payload) and self._store.add(chunk.digest, chunk.payload):
            del self._asked[chunk.digest]
        else:
            self._turn += 1  # ask somebody else, but not at once: it may be the only one there is
            self._asked[chunk.digest] = now - PATIENCE_S + AGAIN_S
        self.ask(sources, now)
