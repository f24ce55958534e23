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


def test_joiner_waits_for_a_long_step_as_long_as_somebody_answers():
    simulation = mesh_of(full=2)
    for process in simulation.processes:
        process.computer.step_s = 10.0
    for _ in range(2):
        simulation.join().participant._patience_s = 8.0
    pass_time(simulation, 60.0)
    simulation.check()
    for process in simulation.processes:
        process.computer.step_s = 0.02
    finish(simulation)
