"""The screen of a run: how far it is, who takes part, what happened last. Only what was measured is shown.

mesh · digits · 139,770 parameters · dettmers8                        training
Add a peer on this machine:  mesh join 127.0.0.1:7680

step 212 / 500 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━ 42 %
loss 0.0312    accuracy 97.31 %    4,211 samples/s    1.3 MB/s sent    view 3

peer      device                                    role    share   samples/s
3f9a21 ●  NVIDIA H200                               full       90      3,120
"""

import time
from collections import deque
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mesh.events import Event, Listening, Saved
from mesh.sentences import (
    bytes_per_second,
    invitation,
    percent,
    plural,
    printable,
    sentence,
    short,
)
from mesh.snapshot import MemberFacts, Snapshot

PERIOD_S = 0.25
_RECENT_EVENTS = 5
_FIXED_LINES = 9 + _RECENT_EVENTS  # all but the rows of the peers' table
_STATE_STYLES = {"training": "green", "finished": "bold green", "waiting": "yellow"}
_ROLE_STYLES = {"full": "", "learning": "yellow", "thin": "cyan"}
_UNKNOWN = "–"
_BEFORE_TRAINING = {
    "preparing": "Building the network and compiling its kernels …",
    "joining": "Asking to be let in, and fetching what the job needs …",
}


class Screen:
    """Redraws itself in place at most four times a second; `snapshot` gives the facts to draw.

    A context manager: on leaving, the last picture stays, and the terminal is as it was.
    """

    def __init__(
        self, console: Console, snapshot: Callable[[], Snapshot], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._snapshot = snapshot
        self._clock = clock
        self._recent: deque[tuple[float, str]] = deque(maxlen=_RECENT_EVENTS)
        self._listening: Listening | None = None
        self._drawn_at_s = -PERIOD_S
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.update(self.picture())
        self._live.stop()

    def event(self, event: Event, time_s: float) -> None:
        """Remember what happened for the next picture."""
        if isinstance(event, Listening):
            self._listening = event
        if isinstance(event, Listening | Saved):
            return  # the top line tells the address, the result at the end the file
        text = sentence(event)
        if text is not None:
            self._recent.append((time_s, text))

    def tick(self) -> None:
        """Draw, if the last picture is old enough."""
        now_s = self._clock()
        if now_s - self._drawn_at_s >= PERIOD_S:
            self._drawn_at_s = now_s
            self._live.update(self.picture(), refresh=True)

    def picture(self) -> Group:
        """The screen of this instant."""
        facts = self._snapshot()
        rows = max(1, self._console.height - _FIXED_LINES)
        parts = [title(facts), self._invitation(facts), Text(), *body(facts, rows), Text(), self._events()]
        return Group(*parts)

    def _invitation(self, facts: Snapshot) -> Text:
        """How to add a peer, as soon as this one is a member itself."""
        if self._listening is None or not facts.members:
            return Text()
        where, command = invitation(self._listening)
        return Text.assemble((f"{where}  ", "dim"), (command, "bold cyan"))

    def _events(self) -> Text:
        lines = [
            Text.assemble((time.strftime("%H:%M:%S  ", time.localtime(time_s)), "dim"), text)
            for time_s, text in self._recent
        ]
        for line in lines:
            line.truncate(self._console.width, overflow="ellipsis")
        return Text("\n").join(lines)


def body(facts: Snapshot, rows: int, me: str = "me") -> list[RenderableType]:
    """Progress, measurements and at most `rows` of the peers; `me` marks the one whose facts they are."""
    if not facts.members:
        return [Text(_BEFORE_TRAINING.get(facts.state, "No step was made."), style="dim")]
    return [_progress(facts), _measurements(facts), Text(), _peers(facts.members, rows, me)]


def title(facts: Snapshot) -> Table:
    """What is trained, and in which state it is."""
    words = [word for word in (printable(facts.data), printable(facts.codec)) if word]
    if facts.parameters:
        words.insert(1, f"{facts.parameters:,} parameters")
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    state = Text(printable(facts.state), style=_STATE_STYLES.get(facts.state, "yellow"))
    line.add_row(Text.assemble(("mesh", "bold"), *(f" · {word}" for word in words)), state)
    return line


def _progress(facts: Snapshot) -> Table:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    done = facts.step / facts.steps if facts.steps else 0.0
    bar = ProgressBar(
        total=max(facts.steps, 1), completed=facts.step, complete_style="cyan", finished_style="green"
    )
    line.add_row(Text(f"step {facts.step:,} / {facts.steps:,}", style="bold"), bar, f"{100 * done:.0f} %")
    return line


def _measurements(facts: Snapshot) -> Text:
    loss = _UNKNOWN if facts.loss is None else f"{facts.loss:.4f}"
    accuracy = _UNKNOWN if facts.accuracy is None else percent(facts.accuracy)
    pairs = (
        ("loss ", loss, ""),
        ("accuracy ", accuracy, ""),
        ("", f"{facts.samples_s:,.0f}", " samples/s"),
        ("", bytes_per_second(facts.bytes_s), " sent"),
        ("view ", str(facts.view), ""),
    )
    return Text("    ").join(
        Text.assemble((before, "dim"), (value, "bold"), (after, "dim")) for before, value, after in pairs
    )


def _peers(members: tuple[MemberFacts, ...], rows: int, me: str) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("peer", no_wrap=True)
    table.add_column("device", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("role", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("samples/s", justify="right", no_wrap=True)
    for member in members[:rows]:
        table.add_row(
            Text(
                printable(short(member.id)) + (f" ● {me}" if member.me else ""),
                style="bold" if member.me else "",
            ),
            Text(printable(member.device)),
            Text(printable(member.role), style=_ROLE_STYLES.get(member.role, "")),
            f"{member.share:,}",
            f"{member.speed:,.0f}",
        )
    hidden = len(members) - rows
    return table if hidden <= 0 else Group(table, Text(f"and {plural(hidden, 'more peer')}", style="dim"))
