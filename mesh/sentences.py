"""Events and quantities in words, for screens and plain lines."""

from mesh.events import (
    Evaluated,
    Event,
    Finished,
    Joined,
    Left,
    Listening,
    Lost,
    Note,
    Saved,
    StepFinal,
    ViewBegun,
    Waiting,
)

_ID_LETTERS = 6


def sentence(event: Event) -> str | None:
    """What happened, in one sentence; None for a final step, of which there are too many."""
    match event:
        case StepFinal():
            return None
        case Listening():
            text = f"Listening at {', '.join(event.addresses)}, computing on {event.device}"
        case ViewBegun():
            text = f"View {event.view} begins at step {event.step} with {plural(len(event.members), 'peer')}"
        case Joined(full=True):
            text = f"Peer {short(event.peer)} is a full member, on {event.device}"
        case Joined():
            text = f"Peer {short(event.peer)} joined, on {event.device}"
        case Left():
            text = f"Peer {short(event.peer)} left"
        case Lost():
            text = f"Peer {short(event.peer)} is lost: {event.why}"
        case Evaluated():
            text = f"Test accuracy {percent(event.accuracy)} after step {event.step:,}, loss {event.loss:.4f}"
        case Saved():
            text = f"Saved step {event.step:,} in {event.path}"
        case Finished(why="left"):
            text = f"This peer left after step {event.step:,}"
        case Finished():
            text = f"Finished after step {event.step:,}"
        case Waiting():
            peers = ", ".join(map(short, event.peers)) or "another peer"
            text = f"Waiting for {peers}: {event.reason}"
        case Note():
            text = event.text
        case _:
            text = event.event
    return _closed(printable(text))


def _closed(text: str) -> str:
    """The text with a capital first letter and a full stop; reasons come from many places."""
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?", "…")) else f"{whole}."


def invitation(event: Listening) -> tuple[str, str]:
    """Where a peer can be added, and what to type there.

    A peer that listens to other machines needs peers that do the same.
    """
    address = printable(next(iter(event.addresses), f"127.0.0.1:{event.port}"))
    if address.startswith(("127.", "localhost", "[::1]")):
        return "Add a peer on this machine:", f"mesh join {address}"
    return "Add a peer on another machine:", f"mesh join {address} --insecure"


def short(peer: str) -> str:
    """The beginning of a peer's id: enough to tell peers apart on a screen."""
    return peer[:_ID_LETTERS]


def percent(fraction: float) -> str:
    """0.9731 as 97.31 %."""
    return f"{100 * fraction:.2f} %"


def bytes_per_second(rate: float) -> str:
    """A rate in the largest unit that leaves a digit before the point; 1 MB is 10⁶ bytes."""
    for unit in ("B/s", "kB/s", "MB/s"):
        if rate < 999.5:
            return f"{rate:.0f} {unit}" if unit == "B/s" else f"{rate:.3g} {unit}"
        rate /= 1000
    return f"{rate:.3g} GB/s"


def plural(count: int, noun: str) -> str:
    """`1 peer`, `2 peers`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def printable(text: str) -> str:
    """The text without what would steer a terminal: names come from other machines."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
