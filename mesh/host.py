"""What a peer needs from the world around it: the real one (node) and the simulated one (loopback) offer
the same.
"""

from typing import Protocol

from mesh.events import Event
from mesh.message import Message, Welcome
from mesh.tasks import Task
from mesh.view import Member


class Host(Protocol):
    """Sends, probes, computes and reports on a peer's behalf. No call waits for anything."""

    def open(self, member: Member) -> None:
        """Be ready to send to `member`; report when the connection to it breaks."""

    def close(self, peer: str) -> None:
        """Forget `peer`."""

    def send(self, to: str, message: Message) -> None:
        """Send `message` to an opened peer, or to one that has sent to this one."""

    def probe(self, member: Member) -> None:
        """Find out whether the member's process is dead: its host answers and refuses the connection."""

    def submit(self, task: Task) -> None:
        """Have the compute thread do `task` after all that were submitted before."""

    def emit(self, event: Event) -> None:
        """Report what happened."""

    def prepare(self, welcome: Welcome) -> None:
        """Build what the job needs, on the compute thread, and report a Prepared or a Failed result."""

    def rename(self, me: str) -> None:
        """Be known to others as `me` from here on, over connections of its own; all that were
        opened are forgotten.
        """

    def fresh_id(self) -> str:
        """An identity that nobody ever had."""

    def bytes_sent(self) -> int:
        """Bytes handed to the network so far."""
