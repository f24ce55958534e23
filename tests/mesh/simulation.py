"""A computer for simulated processes, seeded fault schedules, and the properties that must hold under every
one of them.

The arithmetic is that of a real job in small: weights are float64 vectors of whole numbers, the gradient of
a sample depends on the sample and on nothing else, and so the sum over the steps of a run says exactly
which samples were counted, and how often.
"""

import hashlib
import random
from dataclasses import dataclass, field

import numpy as np

from mesh import events, schedule
from mesh.errors import UnreachableError
from mesh.job import digest_of
from mesh.loopback import Network, Process
from mesh.message import Push, Welcome
from mesh.participant import Participant
from mesh.plan import Plan
from mesh.tasks import (
    Applied,
    Apply,
    BucketReady,
    Evaluate,
    Follow,
    Gradient,
    GradientDone,
    Install,
    Measured,
    Merge,
    Merged,
    Prepared,
    Promote,
    Replay,
    Result,
    Save,
    Saved,
    Shadow,
    ShadowReady,
    Snapshot,
    SnapshotReady,
    Task,
)
from mesh.view import Member

PLAN = Plan(steps=60, batch=24, samples=96, seed=5, parameters=3 * 32768, evaluate_every=10)


class Counting:
    """A computer whose bucket payload is the list of sample numbers that went into it: a merge joins
    lists, weights hash them.
    """

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
                return [
                    ShadowReady(view, step, bucket, self.digest(), self.weights[bucket]) for bucket in buckets
                ]
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
        wanted = sorted(
            schedule.sample_ids(self.plan.seed, step, self.plan.batch, self.plan.samples).tolist()
        )
        for payload in payloads:
            assert int.from_bytes(payload[:8], "big") == step, "an UPDATE of another step was applied"
            counted = sorted(np.frombuffer(bytes(payload[8:]), np.int64).tolist())
            assert counted == wanted, f"step {step}: samples {counted} instead of {wanted}"

    @staticmethod
    def advance(weights: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(weights + bytes(payload), digest_size=16).digest()


@dataclass
class Simulation:
    """One seeded mesh: processes that join one after the other, and faults drawn from the seed."""

    seed: int
    plan: Plan = PLAN
    delay_s: tuple[float, float] = (0.001, 0.03)
    stuck: bool = False
    network: Network = field(init=False)
    processes: list[Process] = field(default_factory=list)
    going: list[Process] = field(default_factory=list)  # they will crash or leave
    sleepers: list[Process] = field(default_factory=list)  # they may be voted out
    final: dict[int, str] = field(default_factory=dict)
    final_at: dict[int, float] = field(default_factory=dict)  # when somebody knew first
    finals_by_process: dict[str, list[int]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = Network(self.seed, self.delay_s)
        self.step_s = self.network.random.choice([0.003, 0.02, 0.1])

    def emit(self, process: Process, event: events.Event) -> None:
        self.log.append(f"{self.network.now:8.3f} {process.id} {event}")
        if isinstance(event, events.StepFinal):
            self.final_at.setdefault(event.step, self.network.now)
            assert self.final.setdefault(event.step, event.digest) == event.digest, (
                f"two digests for step {event.step}"
            )
            assert event.samples == self.plan.batch, f"step {event.step} counted {event.samples} samples"
            mine = self.finals_by_process.setdefault(process.id, [])
            assert not mine or event.step == mine[-1] + 1, f"{process.id}: step {event.step} after {mine[-1]}"
            mine.append(event.step)

    def start(self) -> Process:
        """The founder."""
        return self._add(self.network.random.choice([50.0, 100.0, 200.0]), None)

    def join(self, thin: bool = False) -> Process:
        """One more process, which asks all that there ever were."""
        return self._add(self.network.random.choice([50.0, 100.0, 200.0]), thin)

    def _add(self, speed: float, thin: bool | None) -> Process:
        host, now = f"host{len(self.processes)}", self.network.now
        computer = Counting(self.plan, speed, self.step_s * 100 / speed)
        process = Process(self.network, f"{host}:1", computer, self.emit)
        me = Member(process.id, host, 1, 2, "simulated", speed, full=thin is None, learns=thin is False)
        if thin is None:
            participant = Participant.founder(me, self.plan, process, now, 0, digest_of({}))
        else:
            contacts = tuple(other.address for other in self.processes)
            participant = Participant(me, contacts, process, now, 60.0)
        process.participant = participant
        self.processes.append(process)
        return process

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if not process.crashed and process.failure is None]

    @property
    def working(self) -> list[Process]:
        """The living ones that have not ended."""
        return [process for process in self.living if not process.participant.ended]

    def ended(self) -> bool:
        return not self.working

    def check(self) -> None:
        """The properties that hold whatever happened."""
        abandoned = not any(process.participant.peer for process in self.working)
        for process in self.processes:
            if isinstance(process.failure, UnreachableError) and abandoned:
                continue  # the job ended without it
            if process.failure is not None:
                raise AssertionError(f"{process.address} failed: {process.failure!r}") from process.failure
        steps = sorted(self.final)
        assert steps == list(range(1, len(steps) + 1)), f"final steps {steps}"


FAULTS_END_S = 7.0
FINISH_S = 120.0
LOG_LINES_SHOWN = 40


def run_faults(seed: int) -> Simulation:
    """One schedule: a job, up to five joiners, and up to five faults at random moments; then time to finish.

    At least one full member always stays, so the job can always be done. AssertionError, with the end of the
    log, if a property does not hold or the job is not done in time.
    """
    chance = random.Random(~seed)
    simulation = Simulation(seed, delay_s=(0.001, chance.choice([0.002, 0.03, 0.2])))
    network = simulation.network
    simulation.start()
    for _ in range(chance.randrange(1, 6)):
        thin = chance.random() < 0.25
        network.after(chance.uniform(0.0, FAULTS_END_S / 2), lambda thin=thin: simulation.join(thin))
    for _ in range(chance.randrange(0, 6)):
        network.after(chance.uniform(0.3, FAULTS_END_S), lambda: _fault(simulation, chance))
    network.run(lambda: any(process.failure for process in simulation.processes), FAULTS_END_S)
    finish(simulation)
    return simulation


def finish(simulation: Simulation) -> None:
    """Let the job come to its end, and check that it did, with every property held on the way."""
    try:
        simulation.check()
        simulation.stuck = not simulation.network.run(simulation.ended, FINISH_S)
        simulation.check()
        assert not simulation.stuck, f"still at work: {[process.id for process in simulation.working]}"
        assert len(simulation.final) == simulation.plan.steps, f"only {len(simulation.final)} steps are final"
    except AssertionError as error:
        tail = "\n".join(simulation.log[-LOG_LINES_SHOWN:])
        raise AssertionError(f"seed {simulation.seed}: {error}\n{tail}") from error


def _fault(simulation: Simulation, chance: random.Random) -> None:
    """Something happens to one process, or to two at once."""
    for _ in range(chance.choice([1, 1, 2])):
        victims = [process for process in simulation.working if process not in simulation.going]
        if not victims:
            return
        victim = chance.choice(victims)
        kind = chance.choice(["crash", "crash", "leave", "sleep", "cut", "break"])
        others = [
            process
            for process in victims
            if process is not victim
            and process not in simulation.sleepers
            and process.participant.peer
            and process.participant.peer.me.full
        ]
        simulation.log.append(f"{simulation.network.now:8.3f} FAULT {kind} {victim.id}")
        if kind == "sleep":
            victim.sleep(chance.choice([0.5, 3.0, 6.0]) if others else 0.5)
            simulation.sleepers.append(victim)
        elif kind == "cut":  # from a majority: of two, the later one would be voted out as well
            simulation.network.cut(victim.address, chance.choice([0.5, 4.0, 8.0]) if len(others) > 1 else 0.5)
            simulation.sleepers.append(victim)
        elif kind == "break":
            for other in chance.sample(simulation.living, chance.randrange(1, len(simulation.living) + 1)):
                simulation.network.break_connection(victim.address, other.address)
        elif others:
            simulation.going.append(victim)
            if kind == "crash":
                victim.sends_until_crash = chance.randrange(0, 40)
            else:
                victim.participant.leave(simulation.network.now)
