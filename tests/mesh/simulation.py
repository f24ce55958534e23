"""A computer for simulated processes, seeded fault schedules, and the properties that must hold under every one of them.

The arithmetic is that of a real job in small: weights are float64 vectors of whole numbers, the gradient of a sample depends on the
sample and on nothing else, and so the sum over the steps of a run says exactly which samples were counted, and how often.
"""

import hashlib
from dataclasses import dataclass, field
from dataclasses import replace as changed

import numpy as np

from mesh import events, schedule
from mesh.errors import UnreachableError
from mesh.loopback import Network, Process
from mesh.message import Decided, Hello, Push, Welcome
from mesh.participant import Participant
from mesh.plan import Plan
from mesh.tasks import (
    Applied, Apply, BucketReady, Evaluate, Follow, Gradient, GradientDone, Install, Measured, Merge, Merged, Prepared, Promote,
    Replay, Result, Save, Saved, Shadow, ShadowReady, Snapshot, SnapshotReady, Task,
)  # fmt: skip
from mesh.view import Member

PLAN = Plan(steps=24, batch=24, samples=96, seed=5, parameters=3 * 32768, evaluate_every=10)


class Counting:
    """A computer whose bucket payload is the list of sample numbers that went into it: a merge joins lists, weights hash them."""

    def __init__(self, plan: Plan, speed: float, seconds_a_step: float) -> None:
        self.plan = plan
        self.speed = speed
        self.step_s = seconds_a_step
        self.weights = [b""] * len(plan.buckets)  # what went into each bucket so far, as a digest
        self.shadow = [b""] * len(plan.buckets)
        self.exact = [b""] * len(plan.buckets)

    def prepare(self, welcome: Welcome) -> Prepared:
        return Prepared(self.plan, "simulated", self.speed)

    def seconds(self, task: Task) -> float:
        match task:
            case Gradient():
                return self.step_s * len(task.ids) / self.plan.batch * 3
            case Evaluate() | Snapshot() | Install():
                return 0.05
            case _:
                return 0.001

    def digest(self) -> int:
        return int.from_bytes(hashlib.blake2b(b"".join(self.weights), digest_size=7).digest(), "big") + 1

    def execute(self, task: Task) -> list[Result]:
        match task:
            case Gradient(view=view, step=step, ids=ids):
                payload = np.asarray(ids, np.int64).tobytes()
                ready: list[Result] = [
                    BucketReady(view, step, bucket, len(ids), 1.0, self.digest(), payload)
                    for bucket in reversed(range(len(self.plan.buckets)))
                ]
                return [*ready, GradientDone(view, step, len(ids), self.seconds(task))]
            case Merge(view=view, step=step, bucket=bucket, pushes=pushes):
                return [Merged(view, step, bucket, self.merge(step, pushes))]
            case Apply(step=step, payloads=payloads):
                self.check(step, payloads)
                self.weights = [self.advance(*pair) for pair in zip(self.weights, payloads, strict=True)]
                return [Applied(step, self.digest())]
            case Shadow(view=view, step=step, buckets=buckets):
                return [ShadowReady(view, step, bucket, self.digest(), self.weights[bucket]) for bucket in buckets]
            case Follow(payloads=payloads):
                self.shadow = [bytes(payload) for payload in payloads]
                return []
            case Snapshot(peer=peer, step=step):
                return [SnapshotReady(peer, step, tuple(self.weights))]
            case Install(parts=parts):
                self.exact = [bytes(part) for part in parts]
                return []
            case Replay(step=step, payloads=payloads):
                self.check(step, payloads)
                self.exact = [self.advance(*pair) for pair in zip(self.exact, payloads, strict=True)]
                return []
            case Promote(step=step, orphan=orphan):
                self.weights = list(self.shadow if orphan else self.exact)
                return [Applied(step, self.digest())]
            case Evaluate(step=step):
                return [Measured(step, 0.5, 1.0)]
            case Save(step=step):
                return [Saved(step, "nowhere")]
        raise AssertionError(task)

    def merge(self, step: int, pushes: tuple[Push, ...]) -> bytes:
        return step.to_bytes(8, "big") + b"".join(bytes(push.payload) for push in pushes)

    def check(self, step: int, payloads: tuple[bytes, ...]) -> None:
        """Every sample of the step exactly once, in every bucket."""
        wanted = sorted(schedule.sample_ids(self.plan.seed, step, self.plan.batch, self.plan.samples).tolist())
        for payload in payloads:
            assert int.from_bytes(payload[:8], "big") == step, "an UPDATE of another step was applied"
            counted = sorted(np.frombuffer(bytes(payload[8:]), np.int64).tolist())
            assert counted == wanted, f"step {step}: samples {counted} instead of {wanted}"

    @staticmethod
    def advance(weights: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(weights + bytes(payload), digest_size=16).digest()


@dataclass
class Simulation:
    """One seeded mesh: `members` processes that join one after the other, and faults drawn from the seed."""

    seed: int
    plan: Plan = PLAN
    network: Network = field(init=False)
    processes: list[Process] = field(default_factory=list)
    final: dict[int, str] = field(default_factory=dict)
    finals_by_process: dict[str, list[int]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = Network(self.seed, (0.001, 0.03))

    def emit(self, process: Process, event: events.Event) -> None:
        self.log.append(f"{self.network.now:8.3f} {process.id} {event}")
        if isinstance(event, events.StepFinal):
            assert self.final.setdefault(event.step, event.digest) == event.digest, f"two digests for step {event.step}"
            assert event.samples == self.plan.batch, f"step {event.step} counted {event.samples} samples"
            mine = self.finals_by_process.setdefault(process.id, [])
            assert not mine or event.step == mine[-1] + 1, f"{process.id}: step {event.step} after {mine[-1]}"
            mine.append(event.step)

    def start(self) -> Process:
        process = Process(self.network, "host0:1", Counting(self.plan, 100.0, 0.1), self.emit)
        me = Member(process.id, "host0", 1, 2, "simulated", 100.0, True, False)
        process.participant = Admitting(Participant.founder(me, self.plan, process, 0.0, 0), process)
        self.processes.append(process)
        return process

    def join(self, thin: bool = False) -> Process:
        number = len(self.processes)
        speed = self.network.random.choice([50.0, 100.0, 200.0])
        process = Process(self.network, f"host{number}:1", Counting(self.plan, speed, 10.0 / speed), self.emit)
        me = Member(process.id, f"host{number}", 1, 2, "", speed, False, not thin)
        contacts = tuple(other.address for other in self.processes)
        process.participant = Admitting(Participant(me, contacts, process, self.network.now, 60.0), process)
        self.processes.append(process)
        return process

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if not process.crashed and process.failure is None]

    def ended(self) -> bool:
        return all(process.participant.ended for process in self.living)

    def check(self) -> None:
        """The properties that hold whatever happened."""
        for process in self.processes:
            abandoned = not any(other.participant.peer and not other.participant.ended for other in self.living)
            if isinstance(process.failure, UnreachableError) and abandoned:
                continue  # the job ended without it
            if process.failure is not None:
                raise AssertionError(f"seed {self.seed}: {process.address} failed: {process.failure!r}") from process.failure
        steps = sorted(self.final)
        assert steps == list(range(1, len(steps) + 1)), f"final steps {steps}"


class Admitting:
    """A participant that answers Hello, as a node does."""

    def __init__(self, participant: Participant, process: Process) -> None:
        self._participant = participant
        self._process = process

    def __getattr__(self, name: str):
        return getattr(self._participant, name)

    def on_message(self, source, message, now) -> None:
        peer = self._participant.peer
        if isinstance(message, Hello):
            if peer is not None and peer.me.full and not peer.ended:
                self._process.send(source, Welcome({}, {}, peer.latest))
            return
        self._participant.on_message(source, message, now)


def run_faults(seed: int) -> Simulation:
    """One schedule: a job, some joiners, and faults at random moments while at least one process that saw data lives."""
    simulation = Simulation(seed)
    network, random = simulation.network, simulation.network.random
    first = simulation.start()
    horizon = 6.0
    for _ in range(random.randrange(1, 5)):
        network.after(random.uniform(0.0, horizon * 0.5), lambda: simulation.join(thin=random.random() < 0.25))
    for _ in range(random.randrange(0, 4)):
        network.after(random.uniform(0.3, horizon), lambda: _fault(simulation))
    network.run(lambda: network.now > horizon + 1 or simulation.processes[0].failure is not None, horizon + 2)
    simulation.check()
    done = network.run(simulation.ended, 120.0)
    simulation.check()
    simulation.stuck = not done
    assert first is simulation.processes[0]
    return simulation


def _fault(simulation: Simulation) -> None:
    random = simulation.network.random
    living = [p for p in simulation.living if p.participant and not p.participant.ended]
    members = [p for p in living if p.participant.peer is not None]
    if not living:
        return
    victim = random.choice(living)
    kind = random.choice(["crash", "crash", "leave", "sleep", "sleep"])
    alone = members == [victim] or (len(members) == 1 and victim in members)
    simulation.log.append(f"{simulation.network.now:8.3f} FAULT {kind} {victim.id}")
    if kind == "sleep":
        victim.sleep(random.choice([0.5, 3.0, 6.0]))
    elif alone:
        return
    elif kind == "crash":
        victim.sends_until_crash = random.randrange(0, 12)
    else:
        victim.participant.leave(simulation.network.now)


__all__ = ["Decided", "Simulation", "changed", "run_faults"]
