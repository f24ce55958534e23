"""Whole meshes in one process under virtual time: a network that delays, crashes and sleeps as a seed says.

Messages between two processes keep their order on each of the two channels, control and bulk, as over TCP;
everything else may happen in any order. A process may crash between any two messages that it sends; the
others see their connections break a little later, and a probe of it is refused. A sleeping process neither
answers nor refuses; one that is cut off goes on working, but nothing passes between it and the others for a
while. A connection may also break and be there again at once: what was under way on it is lost.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from mesh.events import Event
from mesh.message import BULK, Hello, Message, Welcome, decode, encode
from mesh.participant import Participant
from mesh.tasks import Prepared, Result, Task
from mesh.view import Member

TICK_S = 0.05
SILENCE_S = 2.5  # the heartbeats of a sleeping process are missed


class Computer(Protocol):
    """The compute thread of one simulated process."""

    def prepare(self, welcome: Welcome) -> Prepared:
        """Get ready for the job."""

    def execute(self, task: Task) -> list[Result]:
        """Do one task."""

    def seconds(self, task: Task) -> float:
        """How long the task takes, in virtual seconds."""


@dataclass(order=True)
class _Due:
    time: float
    order: int
    action: Callable[[], None] = field(compare=False)


class CrashError(Exception):
    """Ends a process in the middle of what it does."""


class Network:
    """Virtual time, and the wires between the processes in it. Delays are uniform in [least, most]
    seconds.
    """

    def __init__(self, seed: int, delay_s: tuple[float, float] = (0.001, 0.02)) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.processes: dict[str, Process] = {}  # by every id and address they ever had
        self.delivered = 0
        self._delay_s = delay_s
        self._due: list[_Due] = []
        self._order = itertools.count()
        self._last_arrival: dict[tuple[str, str, bool], float] = {}
        self._cuts: list[tuple[str, float]] = []
        self._breaks: Counter[frozenset[Process]] = Counter()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._due, _Due(self.now + seconds, next(self._order), action))

    def carry(self, source: str, to: str, message: Message) -> None:
        """Deliver a message after a while, in order with the others of its channel."""
        wire = (source, to, isinstance(message, BULK))
        arrival = max(
            self.cut_until(source, to) + self.random.uniform(*self._delay_s),
            self._last_arrival.get(wire, 0.0) + 1e-6,
        )
        self._last_arrival[wire] = arrival
        if self.random.random() < 0.02:
            message = decode(encode(message))  # what the real wire does; now and then, for it takes time
        pair = self._pair(source, to)
        breaks = self._breaks[pair]
        self.after(
            arrival - self.now, lambda: self._deliver(source, to, message, self._breaks[pair] > breaks)
        )

    def _pair(self, one: str, other: str) -> "frozenset[Process]":
        return frozenset(self.processes[name] for name in (one, other) if name in self.processes)

    def break_connection(self, one: str, other: str) -> None:
        """The connection between two processes breaks and is dialled anew; what was under way is lost."""
        self._breaks[self._pair(one, other)] += 1
        for here, there in ((one, other), (other, one)):
            process = self.processes[here]
            self.after(self.random.uniform(0, 0.05), partial(process.on_broken, self.processes[there].id))

    def cut(self, address: str, seconds: float) -> None:
        """Part one process from all others: what they send to each other arrives when the cut has healed."""
        self._cuts.append((address, self.now + seconds))
        if seconds > SILENCE_S:
            lonely = self.processes[address]
            for other in dict.fromkeys(self.processes.values()):
                if other is not lonely:
                    self.after(SILENCE_S, partial(other.on_broken, lonely.id))
                    self.after(SILENCE_S, partial(lonely.on_broken, other.id))

    def cut_until(self, one: str, other: str) -> float:
        """When nothing parts the two any more: now, in most cases."""
        ends = {self.processes[name].address for name in (one, other) if name in self.processes}
        heals = [until for address, until in self._cuts if address in ends and len(ends) > 1]
        return max([self.now, *heals])

    def _deliver(self, source: str, to: str, message: Message, lost: bool) -> None:
        self.delivered += 1
        process = self.processes.get(to)
        if process is not None and not lost:
            process.on_message(source, message)

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until `until` holds, at most so long; whether it held."""
        end = self.now + seconds
        while self._due and self.now <= end:
            if until():
                return True
            due = heapq.heappop(self._due)
            self.now = max(self.now, due.time)
            due.action()
        return until()


class Process:
    """One simulated process: a Participant, its Host, and its compute thread in one."""

    def __init__(
        self, network: Network, address: str, computer: Computer, emit: Callable[["Process", Event], None]
    ) -> None:
        self.network = network
        self.address = address
        self.computer = computer
        self.participant: Participant | None = None
        self.crashed = False
        self.failure: Exception | None = None
        self.sends_until_crash: int | None = None
        self.awake_at = 0.0
        self.id = self.fresh_id()
        self._emit = emit
        self._free_at = 0.0
        self._asleep: list[Callable[[], None]] = []
        network.processes[address] = network.processes[self.id] = self
        self._tick()

    # ---- the Host ----

    def fresh_id(self) -> str:
        """An identity that nobody ever had."""
        return f"{self.address}/{self.network.random.getrandbits(32):08x}"

    def rename(self, me: str) -> None:
        """Be known as `me`."""
        self.id = me
        self.network.processes[me] = self

    def open(self, member: Member) -> None:
        """Nothing to do: wires are always there."""

    def close(self, peer: str) -> None:
        """Nothing to do."""

    def send(self, to: str, message: Message) -> None:
        """Put a message on the wire, unless this process crashes before."""
        if self.crashed:
            raise CrashError
        if self.sends_until_crash is not None:
            self.sends_until_crash -= 1
            if self.sends_until_crash < 0:
                self.crash()
                raise CrashError
        self.network.carry(self.id, to, message)

    def probe(self, member: Member) -> None:
        """A crashed process refuses, a living one accepts, a sleeping one too: its kernel answers."""
        me = self.id

        def answer() -> None:
            process = self.network.processes[member.id]
            ended = process.participant is not None and process.participant.ended
            gone = process.crashed or bool(ended) or process.id != member.id
            if me == self.id:
                self._give(Participant.on_probed, member.id, gone)

        self.network.after(self.network.cut_until(self.id, member.id) - self.now + 0.005, answer)

    def prepare(self, welcome: Welcome) -> None:
        """Build what the job needs, in virtual time."""
        self._compute(0.5, lambda: [self.computer.prepare(welcome)])

    def submit(self, task: Task) -> None:
        """Do a task after those before it."""
        self._compute(self.computer.seconds(task), lambda: self.computer.execute(task))

    def emit(self, event: Event) -> None:
        """Report what happened."""
        self._emit(self, event)

    def bytes_sent(self) -> int:
        """Not counted here."""
        return 0

    # ---- the process ----

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.network.now

    def on_message(self, source: str, message: Message) -> None:
        """A message arrives."""
        peer = self.participant.peer if self.participant else None
        if not isinstance(message, Hello):
            self._give(Participant.on_message, source, message)
        elif peer is not None and not peer.ended:
            self._when_awake(lambda: self.send(source, Welcome({}, {}, peer.latest)))

    def crash(self) -> None:
        """End at once. Every other process sees its connection break a little later."""
        self.crashed = True
        self._break_connections()

    def _break_connections(self) -> None:
        for process in dict.fromkeys(self.network.processes.values()):
            noticed = self.network.cut_until(self.id, process.id) + self.network.random.uniform(0.001, 0.05)
            self.network.after(noticed - self.now, partial(process.on_broken, self.id))

    def on_broken(self, peer: str) -> None:
        """The connection to `peer` broke."""
        self._give(Participant.on_disconnected, peer)

    def sleep(self, seconds: float) -> None:
        """Do nothing at all for a while, as a laptop with its lid closed."""
        self.awake_at = max(self.awake_at, self.now + seconds)
        if seconds > SILENCE_S:
            self.network.after(SILENCE_S, self._break_connections)

    def _compute(self, seconds: float, work: Callable[[], list[Result]]) -> None:
        begin = max(self._free_at, self.now)
        self._free_at = begin + seconds

        def report() -> None:
            for result in work():
                self._give(Participant.on_result, result)

        self.network.after(self._free_at - self.now, lambda: self._when_awake(report))

    def _tick(self) -> None:
        if not self.crashed and self.failure is None:
            self._give(Participant.on_tick)
            self.network.after(TICK_S, self._tick)

    def _give(self, method: Callable[..., None], *facts: object) -> None:
        """Have the participant take something in."""
        if self.participant is not None:
            participant = self.participant
            self._when_awake(lambda: method(participant, *facts, self.now))

    def _when_awake(self, action: Callable[[], None]) -> None:
        """Do something now, or in order with everything else that came while this process slept."""
        if self.crashed or self.failure is not None:
            return
        if self.now < self.awake_at:
            if not self._asleep:
                self.network.after(self.awake_at - self.now, self._wake)
            self._asleep.append(action)
            return
        try:
            action()
        except CrashError:
            self.crashed = True
        except Exception as error:  # kept for whoever runs the simulation: the other processes go on
            self.failure = error

    def _wake(self) -> None:
        waiting, self._asleep = self._asleep, []
        for action in waiting:
            self._when_awake(action)
