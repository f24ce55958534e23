"""How long a peer may say nothing before it is suspicious, adapted to what its pings have been like.

A process that is gone or frozen is noticed by the transport within seconds. This is about one that is there
and does not answer: its event loop may be held up by a compiler for a while, so it is given long.
"""

PING_INTERVAL_S = 0.25
SILENCE_LEAST_S = 20.0
SILENCE_MOST_S = 60.0
GAPS_ALLOWED = 8


class Liveness:
    """Remembers when each peer was heard last and how far apart its signs of life come. Knows no clock:
    `now` is given.
    """

    def __init__(self) -> None:
        self._heard_at: dict[str, float] = {}
        self._gap_s: dict[str, float] = {}

    def expect(self, peer: str, now: float) -> None:
        """Begin to listen for a peer."""
        self._heard_at.setdefault(peer, now)

    def forget(self, peer: str) -> None:
        """The peer is gone."""
        self._heard_at.pop(peer, None)
        self._gap_s.pop(peer, None)

    def hears(self, peer: str, now: float) -> None:
        """A sign of life. The remembered gap follows a longer one at once and a shorter one slowly."""
        if peer not in self._heard_at:
            return
        gap = now - self._heard_at[peer]
        remembered = self._gap_s.get(peer, PING_INTERVAL_S)
        grown = gap if gap > remembered else remembered + 0.05 * (gap - remembered)
        self._gap_s[peer] = min(grown, SILENCE_MOST_S)
        self._heard_at[peer] = now

    def limit_s(self, peer: str) -> float:
        """The silence after which `peer` is suspected, in seconds."""
        gaps = GAPS_ALLOWED * self._gap_s.get(peer, PING_INTERVAL_S)
        return min(max(gaps, SILENCE_LEAST_S), SILENCE_MOST_S)

    def silent(self, now: float) -> list[str]:
        """The peers that have been silent for too long."""
        return [peer for peer, heard_at in self._heard_at.items() if now - heard_at > self.limit_s(peer)]
