"""What a run shows: on a terminal of 80 columns, as plain lines, and in words."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mesh.events import Event, Finished, Joined, Left, Listening, Lost, Note, Saved, ViewBegun, Waiting
from mesh.lines import Lines
from mesh.screen import PERIOD_S, Screen
from mesh.sentences import bytes_per_second, invitation, sentence
from mesh.snapshot import Snapshot
from tests.mesh.fakes import LISTENING, facts, step

COLOUR = "\x1b[3"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lines_drawn(snapshot: Snapshot, *events: Event, height: int = 24, width: int = 80) -> list[str]:
    """The lines of one picture."""
    console = Console(file=io.StringIO(), width=width, height=height)
    screen = Screen(console, lambda: snapshot)
    for event in events:
        screen.event(event, 0.0)
    with console.capture() as captured:
        console.print(screen.picture())
    return captured.get().splitlines()


def raw(snapshot: Snapshot) -> str:
    """What a terminal gets, with all that steers it."""
    stream = io.StringIO()
    with Screen(Console(file=stream, force_terminal=True, color_system="256"), lambda: snapshot) as screen:
        screen.tick()
    return stream.getvalue()


def test_the_picture() -> None:
    lines = lines_drawn(facts(2), LISTENING, Joined("000001abcdef", "a device", False), step(1))
    text = "\n".join(lines)
    for part in (
        "mesh · digits · 131,080 parameters · dettmers8",
        "Add a peer on this machine:  mesh join 127.0.0.1:7680",
        "step 250 / 1,000",
        "25 %",
        "loss 0.0312    accuracy 97.31 %    4,211 samples/s    1.25 MB/s sent    view 3",
        "Peer 000001 joined, on a device.",
    ):
        assert part in text
    (mine,) = (line for line in lines if "● me" in line)
    assert mine.split() == ["000000", "●", "me", "a", "device", "full", "40", "1,234"]


@pytest.mark.parametrize("width", [80, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    snapshot = replace(
        facts(1), members=tuple(replace(member, device="a device " * 40) for member in facts(3).members)
    )
    lines = lines_drawn(snapshot, LISTENING, Note("a long note " * 30), width=width)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("height", [24, 16, 8])
def test_many_peers_fit_the_height(height: int) -> None:
    lines = lines_drawn(facts(100), LISTENING, *[Left(f"{number}") for number in range(9)], height=height)
    rows = sum(line.startswith("0000") for line in lines)
    assert 1 <= rows <= height
    assert f"and {100 - rows} more peers" in lines
    assert len(lines) <= height or rows == 1


def test_nothing_is_shown_that_was_not_measured() -> None:
    text = "\n".join(lines_drawn(facts(1, loss=None, accuracy=None)))
    assert "loss –    accuracy –" in text
    before = facts(0, state="joining", step=0, steps=0, data="", codec="", parameters=0)
    text = "\n".join(lines_drawn(before))
    assert "Asking to be let in" in text
    assert "samples/s" not in text


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert COLOUR in raw(facts(1))
    monkeypatch.setenv("NO_COLOR", "1")
    assert COLOUR not in raw(facts(1))


def test_the_cursor_comes_back() -> None:
    characters = raw(facts(1))
    assert characters.index("\x1b[?25l") < characters.rindex("\x1b[?25h")


def test_at_most_four_pictures_a_second() -> None:
    clock, pictures = Clock(), 0

    def snapshot() -> Snapshot:
        nonlocal pictures
        pictures += 1
        return facts(1)

    screen = Screen(Console(file=io.StringIO(), force_terminal=True), snapshot, clock)
    for tick in range(100):
        clock.now_s = tick / 10
        screen.event(step(tick), clock.now_s)
        screen.tick()
    assert 20 <= pictures <= 10 / PERIOD_S


def test_lines_tell_events_at_once_and_progress_every_two_seconds() -> None:
    stream, clock, snapshot = io.StringIO(), Clock(), facts(2)
    lines = Lines(stream, lambda: snapshot, clock)
    for event in (LISTENING, ViewBegun(1, 1, ({},)), ViewBegun(2, 1, ({},))):
        lines.event(event, 0.0)
    for tick in range(100):
        clock.now_s = tick / 10
        snapshot = replace(snapshot, step=tick + 1)
        lines.event(step(tick + 1), clock.now_s)
        lines.tick()
    said = stream.getvalue().splitlines()
    assert said[:4] == [
        "Listening at 127.0.0.1:7680, computing on a device.",
        "View 1 begins at step 1 with 1 peer.",
        "Add a peer on this machine: mesh join 127.0.0.1:7680",
        "View 2 begins at step 1 with 1 peer.",
    ]
    assert said[4] == (
        "step 21/1,000  loss 0.0312  accuracy 97.31 %  4,211 samples/s  1.25 MB/s sent  2 peers  view 3"
    )
    assert [line.split()[1] for line in said[4:]] == ["21/1,000", "41/1,000", "61/1,000", "81/1,000"]


def test_lines_say_nothing_while_no_step_is_made() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, lambda: facts(1, step=0), clock)
    for tick in range(100):
        clock.now_s = tick / 10
        lines.tick()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (step(1), None),
        (ViewBegun(3, 12, ({}, {})), "View 3 begins at step 12 with 2 peers."),
        (Joined("abcdef0123", "a device", False), "Peer abcdef joined, on a device."),
        (Joined("abcdef0123", "a device", True), "Peer abcdef is a full member, on a device."),
        (Left("abcdef0123"), "Peer abcdef left."),
        (Lost("abcdef0123", "its process is gone"), "Peer abcdef is lost: its process is gone."),
        (Saved(5, "runs/a"), "Saved step 5 in runs/a."),
        (Finished(1200, "finished"), "Finished after step 1,200."),
        (Finished(12, "left"), "This peer left after step 12."),
        (Waiting(("abcdef0123",), "it is silent"), "Waiting for abcdef: it is silent."),
        (Note("a sentence of its own."), "A sentence of its own."),
        (Note("a steering \x1b[2J name"), "A steering \N{REPLACEMENT CHARACTER}[2J name."),
    ],
)
def test_sentences(event: Event, text: str | None) -> None:
    assert sentence(event) == text


def test_the_command_for_another_machine() -> None:
    open_to_all = Listening(("192.168.1.5:7680",), 7680, "a device", "abcdef")
    where, command = invitation(open_to_all)
    assert (where, command) == ("Add a peer on another machine:", "mesh join 192.168.1.5:7680 --insecure")
    assert "Add a peer on another machine" in "\n".join(lines_drawn(facts(1), open_to_all))


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 B/s"),
        (999, "999 B/s"),
        (1500, "1.5 kB/s"),
        (999_400, "999 kB/s"),
        (2.4e6, "2.4 MB/s"),
        (3e9, "3 GB/s"),
    ],
)
def test_rates(rate: float, text: str) -> None:
    assert bytes_per_second(rate) == text
