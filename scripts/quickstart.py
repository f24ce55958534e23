"""Three peers train LeNet together on this machine: one joins late, the first one is killed, no step is lost.

Called by scripts/quickstart, in its environment. What happens is told on stderr; the last line of stdout is
one JSON object. Every figure in it comes from the events that the peers write with --json. Exits with 1 if a
step was lost or the survivors' weights differ.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

PEERS = 3
BATCH = 120
STEPS = 800
MORE_STEPS = 10 * STEPS  # for a machine that is done with STEPS before the others have joined
LATE = 100  # the third peer is started after so many steps
TOGETHER = 50  # so many steps are made by all three before the kill
START_WITHIN_S = 180  # kernels are compiled the first time
STEPS_WITHIN_S = 60
EVENTS_WITHIN_S = 10
SAY_EVERY_S = 10  # while nothing happens
MESH = Path(sys.executable).with_name("mesh")

Event = dict[str, Any]
Found = TypeVar("Found")


class FailedError(Exception):
    """The quickstart did not work; the message says what was waited for and what was seen."""


class TooFewStepsError(FailedError):
    """The training was over before the story was."""


@dataclass
class Peer:
    """One `mesh` process and the events that it has written so far."""

    number: int
    process: subprocess.Popen[str]
    events: list[Event] = field(default_factory=list)

    def read(self) -> None:
        """Gather events until the process ends; runs in a thread."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # the last line of a killed process may be cut
                self.events.append(json.loads(line))

    def of(self, name: str) -> list[Event]:
        """All events of that name."""
        return [event for event in tuple(self.events) if event["event"] == name]

    def first(self, name: str, holds: Callable[[Event], bool] = lambda event: True) -> Event | None:
        """The first event of that name for which `holds`, if it has come."""
        return next((event for event in self.of(name) if holds(event)), None)


class Story:
    """The peers of one run: starts them, waits for what they do, and ends every one of them on every path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peers: list[Peer] = []
        self._began_s = time.monotonic()

    def __enter__(self) -> "Story":
        return self

    def __exit__(self, *exception: object) -> None:
        for peer in self.peers:
            peer.process.kill()  # does nothing to one that has ended
            peer.process.wait()

    def say(self, text: str) -> None:
        """One line of the story, with the seconds since its beginning."""
        print(f"[{time.monotonic() - self._began_s:5.1f} s]  {text}", file=sys.stderr, flush=True)

    def launch(self, *arguments: str) -> Peer:
        """Start one more peer."""
        number = len(self.peers) + 1
        command = [str(MESH), *arguments, "--json", "--run", str(self.folder / f"peer-{number}")]
        self.say("$ " + " ".join(["mesh", *command[1:]]))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        peer = Peer(number, process)
        self.peers.append(peer)
        threading.Thread(target=peer.read, daemon=True).start()
        return peer

    def until(self, what: str, within_s: float, found: Callable[[], Found | None]) -> Found:
        """What `found` gives as soon as it gives something; FailedError after `within_s` seconds."""
        began_s = said_s = time.monotonic()
        while (result := found()) is None:
            self._check_alive(what)
            now_s = time.monotonic()
            if now_s > began_s + within_s:
                raise FailedError(f"Waited {within_s:.0f} s for {what}, in vain. See {self.folder}.")
            if now_s > said_s + SAY_EVERY_S:
                said_s = now_s
                self.say(f"… waiting for {what}")
            time.sleep(0.01)
        return result

    def _check_alive(self, what: str) -> None:
        for peer in self.peers:
            code = peer.process.poll()
            if code == 0 and not what.startswith("the end"):
                raise TooFewStepsError(f"The training ended before {what}.")
            if code not in (None, 0, -signal.SIGKILL):
                raise FailedError(f"Peer {peer.number} ended with exit code {code} before {what}.")


def environment() -> dict[str, str]:
    """The peers share this machine's cores evenly, unless the user has said otherwise."""
    threads = str(max(1, (os.cpu_count() or 1) // PEERS))
    return {"POCL_MAX_PTHREAD_COUNT": threads, "OMP_NUM_THREADS": threads, **os.environ}


def main() -> None:
    """Tell the story, with more steps should the machine be too fast; print what came of it."""
    signal.signal(signal.SIGTERM, interrupted)
    folder = Path("runs") / time.strftime("quickstart-%Y%m%d-%H%M%S")
    try:
        try:
            result = story(STEPS, folder)
        except TooFewStepsError as error:
            print(f"{error} Once more, with {MORE_STEPS:,} steps.", file=sys.stderr)
            result = story(MORE_STEPS, folder.with_name(folder.name + "-2"))
    except FailedError as error:
        sys.exit(f"quickstart: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(json.dumps(result))
    if result["steps_lost"] or result["samples_lost"] or not result["digests_agree"]:
        sys.exit("quickstart: the training ended, but not as it should have: see the figures above.")


def interrupted(number: int, frame: object) -> NoReturn:
    """SIGTERM ends the quickstart as Ctrl-C does: with all its peers."""
    raise KeyboardInterrupt


def story(steps: int, folder: Path) -> dict[str, Any]:
    """From the first peer's start to the end of the training; returns what came of it."""
    with Story(folder) as run:
        first, address = begin(run, steps)
        join_others(run, first, address)
        together = all_full(run, first)
        facts = ask_status(address)
        killed_s = kill(run, first)
        back = go_on(run, killed_s, together["view"])
        finish(run, steps)
        return report(run, facts, together, killed_s, back)


def begin(run: Story, steps: int) -> tuple[Peer, str]:
    """The first peer trains alone; where it can be joined."""
    run.say("The first peer starts. On a machine that is new to it, it first compiles its OpenCL kernels.")
    first = run.launch("start", "digits", "--steps", f"{steps}", "--batch", f"{BATCH}", "--port", "0")
    listening = run.until("the first peer's start", START_WITHIN_S, lambda: first.first("listening"))
    run.until("the first peer's kernels", START_WITHIN_S, lambda: first.first("view"))
    run.say(f"It trains, alone, on {listening['device']}.")
    return first, listening["addresses"][0]


def join_others(run: Story, first: Peer, address: str) -> None:
    """A second peer joins at once, and a third one when the training is well on its way."""
    run.launch("join", address)
    begun = run.until(
        "the training's beginning", STEPS_WITHIN_S, lambda: first.first("step", lambda e: e["step"] == LATE)
    )
    run.say(f"Step {LATE} is final (loss {begun['loss']:.3f}). A third peer comes late.")
    run.launch("join", address)


def all_full(run: Story, first: Peer) -> Event:
    """Wait until all three hold the exact weights, and have made some steps together; their view."""
    view = run.until("three full members", START_WITHIN_S, lambda: first.first("view", is_complete))
    run.say(
        f"View {view['view']}, from step {view['step']} on: all three are full members; the servers rotate."
    )
    run.until(
        "steps of all three",
        STEPS_WITHIN_S,
        lambda: first.first("step", lambda e: e["step"] >= view["step"] + TOGETHER),
    )
    return view


def is_complete(view: Event) -> bool:
    """Whether all peers are members, and full."""
    return len(view["members"]) == PEERS and all(member["full"] for member in view["members"])


def ask_status(address: str) -> dict[str, Any]:
    """What `mesh status` says of the job."""
    command = [str(MESH), "status", "--json", address]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=STEPS_WITHIN_S, check=False)
    if answer.returncode:
        raise FailedError(f"`mesh status {address}` ended with exit code {answer.returncode}.")
    facts: dict[str, Any] = json.loads(answer.stdout)
    return facts


def kill(run: Story, peer: Peer) -> float:
    """kill -9, without a word to anybody; when it was, in seconds since the epoch."""
    if peer.process.poll() is not None:
        raise TooFewStepsError("The training ended before the kill.")
    step = peer.of("step")[-1]["step"]
    run.say(f"$ kill -9 {peer.process.pid}: the first peer, through which all came, dies after step {step}.")
    killed_s = time.time()
    peer.process.kill()
    return killed_s


def go_on(run: Story, killed_s: float, view: int) -> Event:
    """Wait for the first final step of the survivors alone."""
    second = run.peers[1]

    def step_of_survivors() -> Event | None:
        return second.first(
            "step", lambda e: e["time"] > killed_s and e["view"] > view and e["peers"] < PEERS
        )

    step = run.until("a step without the dead peer", STEPS_WITHIN_S, step_of_survivors)
    after_s = step["time"] - killed_s
    run.say(
        f"The other two go on: step {step['step']} is final {after_s:.2f} s later, in view {step['view']}."
    )
    return step


def finish(run: Story, steps: int) -> None:
    """Wait until the survivors are done, and have said and saved all."""
    for peer in run.peers[1:]:
        run.until("the end of the training", STEPS_WITHIN_S + steps / 10, peer.process.poll)
        run.until("the end of its events", EVENTS_WITHIN_S, partial(peer.first, "finished"))


def report(
    run: Story, facts: dict[str, Any], together: Event, killed_s: float, back: Event
) -> dict[str, Any]:
    """The whole run in figures."""
    finals = steps_of(run.peers)
    steps = max(finals)
    last = run.peers[1].first("evaluated", lambda e: e["step"] == steps)
    if last is None:
        raise FailedError(f"The weights after the last step were not measured. See {run.folder}.")
    result = {
        "accuracy": round(last["accuracy"], 4),
        "steps": steps,
        "peers": len(together["members"]),
        "codec": facts["codec"],
        "views": max(event["view"] for peer in run.peers for event in peer.of("view")),
        "killed": sum(peer.process.returncode == -signal.SIGKILL for peer in run.peers),
        "killed_after_step": max(event["step"] for event in run.peers[0].of("step")),
        "next_final_step_s": round(back["time"] - killed_s, 3),
        "steps_lost": facts["steps"] - len(finals),
        "samples_lost": BATCH * facts["steps"] - sum(events[0]["samples"] for events in finals.values()),
        "digests_agree": all(len(digests(events)) == 1 for events in finals.values()),
        "parameters": facts["parameters"],
        "bytes_sent_a_step_and_peer": bytes_a_step(run.peers, together["view"]),
        "run": str(run.folder),
    }
    run.say(f"Done: {steps} steps, test accuracy {100 * result['accuracy']:.2f} %.")
    run.say(f"Events, metrics and the trained network: {run.folder}")
    return result


def steps_of(peers: list[Peer]) -> dict[int, list[Event]]:
    """What each peer said of each final step."""
    finals: dict[int, list[Event]] = defaultdict(list)
    for peer in peers:
        for event in peer.of("step"):
            finals[event["step"]].append(event)
    return finals


def digests(events: list[Event]) -> set[str]:
    """The weights' checksums after one step, as the peers that know one gave them."""
    return {event["digest"] for event in events if int(event["digest"], 16)}


def bytes_a_step(peers: list[Peer], view: int) -> int:
    """What a full member sent in a step of that view, on average."""
    sent: list[int] = [
        event["bytes_sent"] for peer in peers for event in peer.of("step") if event["view"] == view
    ]
    return round(sum(sent) / len(sent))


if __name__ == "__main__":
    main()
