"""Real peers for tests: `python -m mesh … --json` on this machine, their events, a deadline on every wait."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mesh

ROOT = Path(mesh.__file__).parents[1]
DEADLINE_S = 60.0

Fact = dict[str, Any]


class PeerProcess:
    """One peer as a process of its own; its events arrive in `events` as they are written."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
        self.events: list[Fact] = []
        self._changed = threading.Condition()
        self._stderr = folder / "stderr.txt"
        with self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mesh", *arguments, "--json"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=folder,
                env=settings,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    if line.endswith("\n"):  # the last line of a killed process may be cut
                        self.events.append(json.loads(line))
                    self._changed.notify_all()

    def wait(self, condition: Callable[[Fact], bool], seconds: float = DEADLINE_S) -> Fact:
        """The first event for which `condition` holds; AssertionError if there is none in time."""
        with self._changed:
            self._changed.wait_for(
                lambda: any(map(condition, self.events)) or self.process.poll() is not None, seconds
            )
        self._reader.join(2.0 if self.process.poll() is not None else 0.0)
        found = next(filter(condition, list(self.events)), None)
        assert found is not None, f"events {[e['event'] for e in self.events][-8:]}, stderr: {self.stderr()}"
        return found

    def step(self, number: int, seconds: float = DEADLINE_S) -> Fact:
        """The event of the first final step from `number` on."""
        return self.wait(lambda fact: fact["event"] == "step" and fact["step"] >= number, seconds)

    def view(self, members: int, full: int | None = None, seconds: float = DEADLINE_S) -> Fact:
        """The first view with so many members, so many of them full (default: all)."""
        wanted = members if full is None else full

        def holds(fact: Fact) -> bool:
            return (
                fact["event"] == "view"
                and len(fact["members"]) == members
                and sum(member["full"] for member in fact["members"]) == wanted
            )

        return self.wait(holds, seconds)

    def all(self, event: str) -> list[Fact]:
        """All events of that name so far."""
        return [fact for fact in list(self.events) if fact["event"] == event]

    @property
    def port(self) -> int:
        """Where this peer listens."""
        return int(self.wait(lambda fact: fact["event"] == "listening")["port"])

    @property
    def address(self) -> str:
        """What `mesh join` takes."""
        return f"127.0.0.1:{self.port}"

    def stderr(self) -> str:
        """What it said to its user."""
        return self._stderr.read_text()

    def end(self, seconds: float = DEADLINE_S) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(seconds)
        self._reader.join(5.0)
        return code

    def kill(self) -> float:
        """kill -9; the time of it, as events have it."""
        at = time.time()
        self.process.kill()
        self.process.wait(10.0)
        return at

    def interrupt(self) -> float:
        """Ctrl-C; seconds until it has ended."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10.0)
        return time.monotonic() - begun

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10.0)
        self._reader.join(5.0)


class Mesh:
    """The peers of one test, each in a folder of its own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peers: list[PeerProcess] = []

    def start(self, *arguments: str, **environment: str) -> PeerProcess:
        """The first peer of a job: `mesh start ARGUMENTS`, on NumPy if no device is said."""
        return self._add("start", *arguments, "--port", "0", "--run", "run", **environment)

    def join(self, first: PeerProcess, *arguments: str, **environment: str) -> PeerProcess:
        """One more peer: `mesh join` of the first one's address."""
        return self._add("join", first.address, *arguments, "--run", "run", **environment)

    def run(self, *arguments: str, **environment: str) -> PeerProcess:
        """Any command."""
        folder = self.folder / f"peer{len(self.peers)}"
        folder.mkdir()
        peer = PeerProcess(folder, *arguments, **environment)
        self.peers.append(peer)
        return peer

    def _add(self, *arguments: str, **environment: str) -> PeerProcess:
        device = () if "--device" in arguments else ("--device", "numpy")
        return self.run(*arguments, *device, **environment)

    def checkpoint(self, peer: PeerProcess) -> Path:
        """Where a peer saves its network."""
        return self.folder / f"peer{self.peers.index(peer)}" / "run" / "checkpoint.safetensors"

    def stop(self) -> None:
        """End all of them."""
        for peer in self.peers:
            peer.stop()


def check_steps(peers: list[PeerProcess], batch: int) -> dict[int, Fact]:
    """Assert what holds of every final step that anybody saw; the events by step."""
    seen: dict[int, Fact] = {}
    for peer in peers:
        numbers = [fact["step"] for fact in peer.all("step")]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True, numbers
        for fact in peer.all("step"):
            assert fact["samples"] == batch
            assert seen.setdefault(fact["step"], fact)["digest"] == fact["digest"], fact["step"]
    assert sorted(seen) == list(range(1, len(seen) + 1))
    return seen
