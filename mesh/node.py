"""A peer as a process: the event loop that joins the protocol, the network, the compute thread and the data.

The loop waits for messages, results and the passing of time, gives them to the Participant, which decides,
and carries out what it decides. It never computes, so a ping is answered at once in the middle of a step
that takes a minute.
"""

import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import nn
import tensor
from mesh import events
from mesh.choices import Choices
from mesh.compute import Compute
from mesh.datasets import Manifest, Store
from mesh.defaults import DEFAULT_PORT
from mesh.errors import JobFailedError, ProtocolError, RefusedError, UnreachableError, UsageError
from mesh.events import Event
from mesh.fetching import Fetching
from mesh.job import Job
from mesh.message import Chunk, ChunkWant, Hello, Message, NotYet, Refused, Status, StatusWant, Welcome
from mesh.participant import SOFTWARE, Participant
from mesh.plan import Plan
from mesh.snapshot import MemberFacts, Snapshot
from mesh.tasks import Failed, Prepared, Task
from mesh.transport import Transport
from mesh.uses import load_uses
from mesh.view import Member
from mesh.worker import Worker

LOOPBACK = "127.0.0.1"
TICK_S = 0.05
JOIN_PATIENCE_S = 8.0
RATE_WINDOW_S = 5.0
WIND_UP_S = 60.0  # for the last evaluation and the last save
CLOSE_PATIENCE_S = 0.5  # for a kernel or a compiler under way
LEAVE_PATIENCE_S = 1.0  # for the same, when the user wants out


class Node:
    """One peer of one job, from `start` or `join` to the end of `run`."""

    def __init__(
        self,
        contact: str | None,
        port: int,
        *,
        thin: bool = False,
        device: str | None = None,
        insecure: bool = False,
        run: str | Path | None = None,
        uses: Iterable[str | Path] = (),
        checkpoint: nn.Checkpoint = None,
    ) -> None:
        self._uses = load_uses(map(Path, uses))
        self._device = device
        self._checkpoint = checkpoint
        self._device_name = tensor.device(device).name
        self._contact = contact
        self._thin = thin
        self._run_folder = None if run is None else Path(run)
        self._job: Job | None = None
        self._store: Store | None = None
        self._plan: Plan | None = None
        self._participant: Participant | None = None
        self._leaving = False
        self._me = self.fresh_id()
        bound = "0.0.0.0" if insecure else LOOPBACK
        self.host = _address_towards(contact) if insecure else LOOPBACK
        self._transport = Transport(bound, port, self._me)
        self._compute = Compute(self._transport.wake)
        self._fetching: Fetching | None = None
        self._finals: deque[tuple[float, int, int]] = deque()
        self._accuracy: float | None = None
        self._on_event: Callable[[Event], None] = lambda event: None

    @classmethod
    def start(cls, job: Job, *, port: int = DEFAULT_PORT, **choices: Unpack[Choices]) -> "Node":
        """The first peer of `job`, listening on `port` (0: any free one), on this machine only unless
        `insecure`.

        Raises nn.DataError without the data, tensor's DeviceError without the device, UsageError where the
        port is taken.
        """
        store = Store.loaded(job.data, job.length)
        if job.batch > store.manifest.samples:
            raise UsageError(
                f"a batch of {job.batch} is more than the {store.manifest.samples} samples of {job.data}: "
                f"give at most {store.manifest.samples} with --batch"
            )
        node = cls(None, port, thin=False, **choices)
        node._job = replace(job, uses=node._uses)
        node._store = store
        node.prepare_worker()
        return node

    @classmethod
    def join(
        cls, host: str, port: int = DEFAULT_PORT, *, thin: bool = False, **choices: Unpack[Choices]
    ) -> "Node":
        """A peer that asks the one at `host`:`port` to be let in; `thin`: with 8-bit weights to the end."""
        return cls(f"{_resolve(host)}:{port}", 0, thin=thin, **choices)

    @property
    def port(self) -> int:
        """Where this peer can be joined."""
        return self._transport.port

    @property
    def network(self) -> nn.Layer:
        """The trained network; JobFailedError before there is one."""
        if self._compute.worker is None:
            raise JobFailedError("there is no network yet: the job has not begun")
        return self._compute.worker.network

    def leave(self) -> None:
        """End `run` within a second, without a step lost; safe from a signal handler and from other
        threads.
        """
        self._leaving = True

    # ---- the event loop ----

    def run(self, on_event: Callable[[Event], None], on_tick: Callable[[], None] | None = None) -> None:
        """Take part until the job is finished or this peer has left; `on_tick` is called about ten
        times a second.
        """
        self._on_event = on_event
        try:
            self._loop(on_tick or (lambda: None))
        finally:
            self._compute.close(CLOSE_PATIENCE_S)
            self._transport.close()

    def _loop(self, on_tick: Callable[[], None]) -> None:
        addresses = (f"{self.host}:{self.port}",)
        self.emit(events.Listening(addresses, self.port, self._device_name, self._me))
        if self._device is None and tensor.device().backend == "numpy":
            for note in tensor.device_notes():  # nobody asked for NumPy: say why it is
                self.emit(events.Note(note))
        if self._contact is not None:
            me = Member(
                self._me,
                self.host,
                self.port,
                self._transport.bulk_port,
                self._device_name,
                1.0,
                False,
                not self._thin,
            )
            self._transport.connect_to(self._contact)
            self._participant = Participant(me, (self._contact,), self, _now(), JOIN_PATIENCE_S)
        next_tick = _now()
        while self._participant is None or self._participant.ended is None:
            for source, message in self._transport.poll(max(next_tick - _now(), 0.0)):
                self._receive(source, message)
            for peer, refused in self._transport.probed():
                self._give(Participant.on_probed, peer, refused)
            self._take_results()
            if _now() >= next_tick:
                next_tick = _now() + TICK_S
                self._tick()
                on_tick()
        self._wind_up()

    def _give(self, method: Callable[..., None], *facts: object) -> None:
        """Have the participant take something in."""
        if self._participant is not None and self._participant.ended is None:
            method(self._participant, *facts, _now())

    def _receive(self, source: str, message: Message | ProtocolError | None) -> None:
        match message:
            case None:
                self._give(Participant.on_disconnected, source)
            case ProtocolError():
                self._refuse_foreign(source, message)
            case Hello():
                self._admit(source, message)
            case StatusWant():
                self._transport.send(source, Status(self.snapshot().to_dict()))
            case ChunkWant(digest):
                self._transport.send(source, Chunk(digest, self._store.get(digest) if self._store else b""))
            case Chunk() if self._fetching is not None:
                self._fetching.take(message, self._others(), _now())
            case _:
                self._give(Participant.on_message, source, message)

    def _refuse_foreign(self, source: str, error: ProtocolError) -> None:
        """A joiner hears why it is not understood: what its contact says ends it. Anyone else is told."""
        asks = self._participant is not None and self._participant.peer is None
        if asks and source == self._contact:
            raise error
        self._transport.send(source, Refused(str(error)))

    def _take_results(self) -> None:
        for result in self._compute.results():
            if isinstance(result, Prepared):
                self._plan = result.plan
                if self._participant is None:
                    self._found(result)
                    continue
            if isinstance(result, Failed) and self._participant is None:
                raise JobFailedError(result.reason, result.exit_code)
            self._give(Participant.on_result, result)

    def _tick(self) -> None:
        if self._leaving and self._participant is None:
            raise JobFailedError("ended before the job had begun")
        if self._leaving:
            self._give(Participant.leave)
        if self._store is not None and self._participant is not None:
            self._participant.has_data = self._store.complete
            if self._fetching is not None:
                self._fetching.ask(self._others(), _now())
        self._give(Participant.on_tick)

    def _wind_up(self) -> None:
        """Let the compute thread finish the last evaluation and the last save."""
        participant = self._participant
        assert participant is not None
        finished = participant.ended == "finished" and participant.peer is not None
        deadline = _now() + (WIND_UP_S if finished else LEAVE_PATIENCE_S)
        while not self._compute.idle and _now() < deadline:
            if self._leaving:  # also asked for now, or before
                deadline = min(deadline, _now() + LEAVE_PATIENCE_S)
                self._leaving = False
            time.sleep(0.01)
        for result in self._compute.results():
            participant.on_result(result, _now())
        peer = participant.peer
        self.emit(events.Finished(peer.finals.step if peer else 0, participant.ended or "left"))

    # ---- founding, admitting, joining ----

    def _found(self, prepared: Prepared) -> None:
        assert self._job is not None
        me = Member(
            self._me,
            self.host,
            self.port,
            self._transport.bulk_port,
            prepared.device,
            prepared.speed,
            full=True,
            learns=False,
        )
        save_every = prepared.plan.evaluate_every if self._run_folder else 0
        digest = self._job.digest
        self._participant = Participant.founder(me, prepared.plan, self, _now(), save_every, digest)

    def _admit(self, source: str, hello: Hello) -> None:
        """Answer a process that wants to join: with the job, or with the reason why not."""
        participant, job, store = self._participant, self._job, self._store
        peer = participant.peer if participant else None
        if hello.version != SOFTWARE:
            self._transport.send(
                source,
                Refused(f"this mesh speaks {SOFTWARE}, yours {hello.version}: install the same version"),
            )
        elif peer is None or job is None or store is None or peer.ended:
            self._transport.send(source, NotYet())
        elif len(peer.latest.members) >= job.batch:
            self._transport.send(
                source,
                Refused(
                    f"a batch of {job.batch} samples cannot be shared by {len(peer.latest.members) + 1} "
                    "peers: start the job with a larger --batch"
                ),
            )
        else:
            self._transport.send(source, Welcome(job.to_dict(), store.manifest.to_dict(), peer.latest))

    def prepare(self, welcome: Welcome) -> None:
        """Build what the job needs, on the compute thread. RefusedError where files of layers differ."""
        job = Job.from_dict(welcome.job)
        _compare_uses(job.uses, self._uses)
        self._job = job
        self._store = Store.fetched(Manifest.from_dict(welcome.manifest))
        self._fetching = Fetching(self._store, self._transport.send)
        for member in welcome.view.members:
            self.open(member)
        self.prepare_worker()

    def prepare_worker(self) -> None:
        """Have the compute thread build the network and get it going."""
        job, store = self._job, self._store
        assert job is not None
        assert store is not None
        self._compute.prepare(lambda: Worker(job, store, self._device, self._run_folder, self._checkpoint))

    def _others(self) -> list[str]:
        """The other members, as far as this peer knows."""
        participant = self._participant
        if participant is None:
            return []
        view = participant.peer.latest if participant.peer is not None else participant.known
        return [peer for peer in view.ids if peer != self._me] if view is not None else []

    # ---- the Host of the protocol ----

    def open(self, member: Member) -> None:
        """Dial a member."""
        self._transport.connect(member)

    def close(self, peer: str) -> None:
        """Hang up."""
        self._transport.disconnect(peer)

    def send(self, to: str, message: Message) -> None:
        """Hand a message to the network."""
        if isinstance(message, Hello):
            self._transport.connect_to(to)
        self._transport.send(to, message)

    def probe(self, member: Member) -> None:
        """Dial a member on the side, to see whether its process is gone."""
        self._transport.probe(member)

    def submit(self, task: Task) -> None:
        """Have the compute thread do a task."""
        self._compute.submit(task)

    def rename(self, me: str) -> None:
        """Be known under another identity."""
        self._me = me
        self._transport.rename(me)

    def fresh_id(self) -> str:
        """An identity that nobody ever had."""
        return uuid.uuid4().hex[:12]

    def bytes_sent(self) -> int:
        """Bytes handed to the network so far."""
        return self._transport.bytes_sent

    def emit(self, event: Event) -> None:
        """Report what happened."""
        if isinstance(event, events.StepFinal):
            now = _now()
            self._finals.append((now, event.samples, event.bytes_sent))
            while self._finals and now - self._finals[0][0] > RATE_WINDOW_S:
                self._finals.popleft()
        elif isinstance(event, events.Evaluated):
            self._accuracy = event.accuracy
        self._on_event(event)

    # ---- facts ----

    def snapshot(self) -> Snapshot:
        """The facts of this instant."""
        participant, job, plan = self._participant, self._job, self._plan
        peer = participant.peer if participant else None
        if peer is None or job is None or plan is None:
            state = "joining" if self._contact else "preparing"
            return Snapshot("", "", "", state, 0, 0, 0, None, None, 0.0, 0.0, 0, ())
        window = max(_now() - self._finals[0][0], 0.1) if len(self._finals) > 1 else RATE_WINDOW_S
        shares = plan.shares(peer.view)
        members = tuple(
            MemberFacts(
                member.id,
                member.device,
                f"{member.host}:{member.port}",
                "full" if member.full else "learning" if member.learns else "thin",
                member.id == peer.me.id,
                share,
                peer.speeds.get(member.id, member.speed),
            )
            for member, share in zip(peer.view.members, shares, strict=True)
        )
        return Snapshot(
            job=job.digest,
            data=job.data,
            codec=job.codec,
            state=peer.ended or ("waiting" if peer.waiting else "training"),
            step=peer.finals.step,
            steps=plan.steps,
            view=peer.view.number,
            loss=peer.finals.loss if peer.finals.step else None,
            accuracy=self._accuracy,
            samples_s=sum(samples for _, samples, _ in list(self._finals)[1:]) / window,
            bytes_s=sum(size for _, _, size in list(self._finals)[1:]) / window,
            parameters=plan.parameters,
            members=members,
        )


def status(host: str, port: int = DEFAULT_PORT, timeout_s: float = 3.0) -> dict[str, Any]:
    """What the peer at `host`:`port` knows of its job, as the dict of a Snapshot. UnreachableError if
    nobody answers.
    """
    transport = Transport(LOOPBACK, 0, uuid.uuid4().hex[:12])
    address = f"{_resolve(host)}:{port}"
    try:
        transport.connect_to(address)
        transport.send(address, StatusWant())
        deadline = _now() + timeout_s
        while _now() < deadline:
            for _, message in transport.poll(0.1):
                if isinstance(message, Status):
                    return message.facts
                if isinstance(message, ProtocolError | Refused):
                    raise RefusedError(str(getattr(message, "reason", message)))
    finally:
        transport.close()
    raise UnreachableError(
        f"no peer answers at {host}:{port}: is `mesh start` running there, and is the port right?"
    )


def _now() -> float:
    """Seconds that also pass while the machine sleeps, where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _resolve(host: str) -> str:
    """The address of a host name; UnreachableError where there is none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise UnreachableError(
            f"the host {host!r} is not known ({error.strerror}): check the name, or give its address"
        ) from error


def _address_towards(contact: str | None) -> str:
    """This machine's address on the way to `contact` or, without one, to the world; nothing is sent to
    find it.
    """
    target = contact.rsplit(":", 1)[0] if contact else "192.0.2.1"  # TEST-NET-1: routed like any other
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def _compare_uses(wanted: tuple[tuple[str, str], ...], loaded: tuple[tuple[str, str], ...]) -> None:
    """Refuse a job whose layers this peer's user has not loaded, or has in another version."""
    have = dict(loaded)
    for name, digest in wanted:
        if have.get(name) is None:
            raise RefusedError(
                f"the job needs the layers of {name}: get that file from whoever started it, "
                f"then --use {name}"
            )
        if have[name] != digest:
            raise RefusedError(
                f"your {name} differs from the job's (SHA-256 {have[name][:12]}…, there {digest[:12]}…)"
            )
