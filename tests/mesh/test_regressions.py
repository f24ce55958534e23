"""Defects that were found once, each with the schedule or the input that showed it."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import zmq

import nn
from mesh.backlog import BYTES_MOST
from mesh.datasets import Manifest, Store
from mesh.errors import ProtocolError, RefusedError
from mesh.job import Job
from mesh.learning import Learning
from mesh.loopback import Process
from mesh.membership import Membership, Progress
from mesh.message import (
    Bye,
    Message,
    Ping,
    Prepare,
    Promise,
    Push,
    Ready,
    State,
    Update,
    Weights,
    Welcome,
    encode,
    size_bytes,
)
from mesh.tasks import Merge, Result, Spoiled, Task
from mesh.transport import Transport
from mesh.view import Member, View
from mesh.worker import Worker
from nn.data import Dataset
from tests.mesh.simulation import PLAN, Simulation, finish


def mesh_of(full: int, thin: int = 0, step_s: float = 0.05) -> Simulation:
    """A simulation in which so many full and thin members train."""
    simulation = Simulation(1)
    simulation.step_s = step_s
    simulation.start()
    for number in range(1, full + thin):
        simulation.join(thin=number >= full)
    assert simulation.network.run(lambda: is_settled(simulation, full, thin), 30.0)
    return simulation


def is_settled(simulation: Simulation, full: int, thin: int) -> bool:
    peers = [process.participant.peer for process in simulation.working]
    return all(peer and (len(peer.view.servers), len(peer.view.thin)) == (full, thin) for peer in peers)


def pass_time(simulation: Simulation, seconds: float) -> None:
    simulation.network.run(lambda: False, seconds)


def after_first(process: Process, kind: type[Message], act: Callable[[], None]) -> None:
    """Have something happen instead of the first message of that kind which `process` sends."""
    send, seen = process.send, []

    def watched(to: str, message: Message) -> None:
        if isinstance(message, kind) and not seen:
            seen.append(message)
            act()
        else:
            send(to, message)

    process.send = watched


def longest_pause_s(simulation: Simulation, since: float) -> float:
    """The longest time from one final step to the next after `since`."""
    moments = [since, *sorted(moment for moment in simulation.final_at.values() if moment > since)]
    return max(later - earlier for earlier, later in pairwise(moments))


def test_peers_frozen_by_a_proposer_that_is_steward_no_more_free_themselves():
    """The Prepare to the first member is lost as its connection breaks, and then it is heard of again."""
    simulation = mesh_of(full=3)
    first, second, _ = simulation.processes
    ping = Ping(first.participant.peer.latest.key, 0, 0, 100.0)

    def hear() -> None:
        simulation.network.after(0.0, lambda: second.on_message(first.id, ping))

    after_first(second, Prepare, hear)
    at = simulation.network.now
    second.on_broken(first.id)
    finish(simulation)
    assert longest_pause_s(simulation, at) < 6.0


def test_joiner_that_dies_between_asking_and_being_let_in_holds_nobody_up():
    simulation = mesh_of(full=2)
    at = simulation.network.now
    joiner = simulation.join()
    ready = Ready(replace(joiner.participant._me, speed=100.0))
    after_first(joiner, Ready, joiner.crash)
    simulation.network.run(lambda: joiner.crashed, 10.0)
    simulation.processes[0].on_message(joiner.id, ready)  # it was on its way
    finish(simulation)
    assert joiner.crashed
    assert longest_pause_s(simulation, at) < 2.0


def test_joiner_waits_for_long_steps_as_long_as_somebody_answers():
    """The second joiner must wait until the view with the first has begun; and who waits for the others to
    end a long step is not behind them: joiners gave up after 15 s, and the step was done again for ever.
    """
    simulation = mesh_of(full=2)
    for process in simulation.processes:
        process.computer.step_s = 12.0
    joiners = [simulation.join() for _ in range(3)]
    for joiner in joiners:
        joiner.participant._patience_s = 8.0
    pass_time(simulation, 100.0)
    finish(simulation)
    assert [joiner.participant.ended for joiner in joiners] == ["finished"] * 3


def test_push_that_was_lost_is_sent_again_from_the_next_view():
    """A thin member goes on to a planned view as soon as it has pushed; one of its pushes may be lost."""
    simulation = mesh_of(full=2, thin=1)
    at, thin = simulation.network.now, simulation.processes[2]
    steward, send, lost = simulation.processes[0].participant.peer, thin.send, []

    def losing(to: str, message: Message) -> None:
        boundary = steward._membership._stop or steward.latest.step
        if isinstance(message, Push) and message.step == boundary - 1 and not lost:
            lost.append(message)
        else:
            send(to, message)

    thin.send = losing
    simulation.join()
    finish(simulation)
    assert lost
    assert longest_pause_s(simulation, at) < 6.0


def full_member(name: str) -> Member:
    return Member(name, "127.0.0.1", 1, 2, "simulated", 100.0, full=True, learns=False)


def test_who_dies_after_the_prepare_counts_in_its_quorum():
    """The others have not been told of that death: they may still take in what the dead one decided."""
    view = View(1, 1, tuple(full_member(name) for name in "abcde"))
    progress = Progress(4, (), 5, True, True, view.ids)
    first = Membership("a", view, lambda: progress, lambda step: 1, 100)
    for peer in ("c", "d"):
        first.suspect(peer, dead=True)
    ballot = first.tick(0.0)[0][1].ballot
    promise = Promise(1, ballot, (0, ""), None, 4, ())
    first.receive("a", promise, 0.01)
    first.receive("b", promise, 0.01)
    first.suspect("e", dead=True)
    again = first.tick(0.02)
    assert {to for to, message in again if isinstance(message, Prepare) and "e" in message.dead} == {"a", "b"}


@pytest.fixture
def pair():
    """Two members at work, and what the first makes of a message of the second."""
    simulation = mesh_of(full=2)
    first, second = simulation.processes

    def say(message: Message) -> None:
        first.on_message(second.id, message)
        pass_time(simulation, 0.5)
        assert first.failure is None

    return simulation, second.participant.peer, say


@pytest.mark.parametrize("step", [10**18, 62])
def test_step_messages_of_no_step_in_progress_change_nothing(pair, step):
    simulation, peer, say = pair
    for bucket in (0, -1, 10**18):
        say(Update(peer.view.key, step, bucket, 24, 1.0, 0, b""))
        say(Weights(peer.view.key, step, bucket, 24, 1.0, 0, b""))
        say(Push(peer.view.key, step, bucket, 24, 1.0, 0, b""))
    finish(simulation)


@pytest.mark.parametrize(("samples", "loss"), [(0, 1.0), (-24, 1.0), (10**9, 1.0), (None, float("nan"))])
def test_push_that_counts_other_samples_than_its_share_is_not_merged(pair, samples, loss):
    simulation, peer, say = pair
    share = peer.plan.share(peer.view, peer.me.id) if samples is None else samples
    for bucket in range(3):
        say(Push(peer.view.key, peer.steps.applied + 1, bucket, share, loss, 0, b""))
    finish(simulation)


@pytest.mark.parametrize("speed", [1e300, float("inf"), float("nan"), -1.0, 0.0])
def test_absurd_speeds_deal_no_shares(pair, speed):
    simulation, peer, say = pair
    first = simulation.processes[0].participant.peer
    first.on_message(peer.me.id, Ping(peer.view.key, peer.steps.applied, 0, speed), simulation.network.now)
    assert 0 < first.speeds[peer.me.id] < 1e9
    say(Ready(replace(peer.me, speed=speed)))
    assert 0 < first.latest.member(peer.me.id).speed < 1e9
    finish(simulation)


def test_parts_of_a_state_that_cannot_be_are_dropped():
    host = Recorder()
    learning = Learning("me", PLAN, host, 0.0)
    learning.tick(View(1, 1, (full_member("a"),)), 5, 0.0)
    for part, parts in ((-1, 3), (3, 3), (0, -1), (7, 0)):
        learning.add_state("a", State(5, part, parts, b""), 0.1)
    learning.add_state("a", State(5, 0, 10**18, b""), 0.1)
    for part in range(3):
        learning.add_state("a", State(5, part, 3, bytes([part])), 0.2)
    assert [task.parts for task in host.tasks] == [(b"\0", b"\1", b"\2")]


class Recorder:
    """Keeps what a peer wants done."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def send(self, to: str, message: Message) -> None:
        pass

    def submit(self, task: Task) -> None:
        self.tasks.append(task)


def test_a_chunk_that_is_there_twice_fills_both_places(tmp_path):
    """A test set that is the training set, for instance."""
    images = np.arange(2 * 4, dtype=np.uint8).reshape(2, 2, 2, 1)
    labels = np.array([0, 1], np.int32)
    data = Dataset("twice", images, labels, images, labels, 2, 1.0, "here", "none")
    giver = Store.of(data)
    taker = Store(Manifest.from_dict(giver.manifest.to_dict()), tmp_path)
    for array in taker.arrays.values():
        array[...] = 99
    for digest in taker.wanted:
        assert taker.add(digest, giver.get(digest))
    assert taker.complete
    for name in taker.arrays:
        np.testing.assert_array_equal(taker.arrays[name], giver.arrays[name])


@pytest.mark.parametrize("change", [{"rows": 0}, {"digests": ["../secret"]}, {"dtype": "O"}, {"shape": []}])
def test_manifests_that_cannot_be_are_refused(change):
    images, labels = np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int32)
    facts = Store.of(Dataset("d", images, labels, images, labels, 2, 1.0, "", "")).manifest.to_dict()
    facts["parts"] = [{**facts["parts"][0], **change}, *facts["parts"][1:]]
    with pytest.raises(ProtocolError):
        Manifest.from_dict(facts)


def test_members_that_cannot_be_dialled_are_left_alone():
    transport = Transport("127.0.0.1", 0, "me")
    try:
        for host, port in (("no address", 1), ("127.0.0.1", 0), ("127.0.0.1", -1), ("127.0.0.1", 1 << 20)):
            member = replace(full_member("x"), host=host, port=port)
            transport.connect(member)
            transport.probe(member)
        assert list(transport.probed()) == []
    finally:
        transport.close()


def test_peer_that_dials_again_is_heard_before_its_old_connection_is_noticed_dead():
    transport = Transport("127.0.0.1", 0, "me")
    context, dealers = zmq.Context(), []
    try:
        for number in range(2):
            dealer = context.socket(zmq.DEALER)
            dealer.setsockopt(zmq.IDENTITY, b"peer")
            dealer.connect(f"tcp://127.0.0.1:{transport.port}")
            dealers.append(dealer)
            dealer.send_multipart(encode(Bye(bool(number))))
            heard: list[object] = []
            deadline = time.monotonic() + 2.0
            while not heard and time.monotonic() < deadline:
                heard += transport.poll(0.05)
            assert heard == [("peer", Bye(bool(number)))]
    finally:
        for dealer in dealers:
            dealer.close(0)
        context.term()
        transport.close()


def test_sender_of_a_push_that_does_not_decode_goes_and_the_others_train_on():
    simulation = mesh_of(full=3)
    first, second, _ = simulation.processes
    merge = first.computer.execute

    def execute(task: Task) -> list[Result]:
        spoils = isinstance(task, Merge) and not second.failure and len(task.pushes) == 3
        return [Spoiled(task, 1, "it has 3 bytes")] if spoils else merge(task)

    first.computer.execute = execute
    at = simulation.network.now
    assert simulation.network.run(lambda: second.failure is not None, 5.0)
    assert isinstance(second.failure, RefusedError)
    assert "it has 3 bytes" in str(second.failure)
    assert any(f"what {second.id} sent" in line for line in simulation.log)
    second.crash()
    second.failure = None
    finish(simulation)
    assert longest_pause_s(simulation, at) < 2.0


def test_worker_names_the_push_that_does_not_decode():
    images, labels = np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32)
    store = Store.of(Dataset("few", images, labels, images, labels, 10, 1.0, "", ""))
    network = nn.Sequential(flatten=nn.Flatten(), linear=nn.Linear(64, 10))
    worker = Worker(Job(network, "few", batch=4), store, "numpy", None)
    key, size = (1, (0, "")), worker.plan.buckets[0].size
    whole = worker.codec.encode(np.ones(size, np.float32))
    pushes = tuple(Push(key, 1, 0, 2, 1.0, 0, payload) for payload in (whole, whole[:-1]))
    results: list[Result] = []
    worker.execute(Merge(key, 1, 0, pushes), results.append)
    assert [type(result) for result in results] == [Spoiled]
    assert results[0].number == 1


@pytest.mark.parametrize("number", [0, 1], ids=["founder", "joiner"])
def test_peer_that_was_voted_out_does_not_join_another_job(number):
    """The process at an address that it knows may have ended, and another one of another job listen there."""
    simulation = mesh_of(full=3)
    participant = simulation.processes[number].participant
    view, now = participant.peer.view, simulation.network.now
    participant.peer.ended = "excluded"
    participant.on_tick(now)
    assert participant.peer is None
    one, other = participant._contacts
    participant.on_message(one, Welcome({"network": "another"}, {}, view), now)
    assert participant._contacts == (other,)
    assert participant.known is None
    participant.on_message(other, Welcome({}, {}, view), now)
    assert participant.known == view
    with pytest.raises(RefusedError, match=r"trains another job now.*mesh join"):
        participant.on_message(other, Welcome({"network": "another"}, {}, view), now)


def test_messages_of_views_to_come_do_not_fill_the_memory(pair):
    """Thousands of them were kept, of any size."""
    simulation, peer, _ = pair
    first = simulation.processes[0].participant.peer
    number, ballot = first.view.key
    early = Push((number + 1, ballot), first.steps.applied + 1, 0, 1, 0.5, 0, bytes(16 << 20))
    for _ in range(100):
        first.on_message(peer.me.id, early, simulation.network.now)
    kept = sum(size_bytes(message) for _, message in first.steps._future.take())
    assert BYTES_MOST - size_bytes(early) < kept <= BYTES_MOST
