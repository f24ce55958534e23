"""Defects that were found once, each with the schedule or the input that showed it."""

from collections.abc import Callable

from dataclasses import replace

import numpy as np
import pytest

from mesh import events
from mesh.datasets import Manifest, Store
from mesh.loopback import Process
from mesh.membership import Membership, Progress
from mesh.message import Message, Ping, Prepare, Promise, Push, Ready, Update
from mesh.view import Member, View
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
    return max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False))


def test_peers_frozen_by_a_proposer_that_is_steward_no_more_free_themselves():
    """The Prepare to the first member is lost as its connection breaks, and then it is heard of again."""
    simulation = mesh_of(full=3)
    first, second, _ = simulation.processes
    ping = Ping(first.participant.peer.latest.key, 0, 0, 100.0)
    heard = lambda: simulation.network.after(0.0, lambda: second.on_message(first.id, ping))  # noqa: E731
    after_first(second, Prepare, heard)
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


def test_what_a_promise_held_back_is_sent_when_the_promise_is_lifted():
    """A promise after a fault that ends in a planned view, which somebody had accepted before it."""
    simulation = mesh_of(full=2)
    steps = simulation.processes[1].participant.peer.steps
    may_push, steps._may_push = steps._may_push, lambda step: False
    pass_time(simulation, 1.0)
    steps._may_push = may_push
    finish(simulation)


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
