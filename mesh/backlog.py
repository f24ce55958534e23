"""Messages that came too early, kept until they can be handled."""

from typing import Generic, TypeVar

from mesh.message import Message, size_bytes

BYTES_MOST = 256 << 20

Kept = TypeVar("Kept", bound=Message)


class Backlog(Generic[Kept]):
    """(sender, message) pairs in the order in which they came, `most_bytes` of them at most.

    What is too much is dropped: who misses it later asks for it again.
    """

    def __init__(self, most_bytes: int = BYTES_MOST) -> None:
        self._most_bytes = most_bytes
        self._forget()

    def _forget(self) -> None:
        self._kept: list[tuple[str, Kept]] = []
        self._bytes = 0

    def add(self, source: str, message: Kept) -> None:
        """Keep a message, if there is room for it."""
        size = size_bytes(message)
        if self._bytes + size <= self._most_bytes:
            self._bytes += size
            self._kept.append((source, message))

    def take(self) -> list[tuple[str, Kept]]:
        """All that was kept, which is forgotten here."""
        kept = self._kept
        self._forget()
        return kept
