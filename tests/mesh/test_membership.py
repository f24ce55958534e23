"""The view state machine alone: quorums, freezing, promises, takeover. The simulations test it whole."""

from dataclasses import replace

import pytest

from mesh.membership import GRACE_S, TAKEOVER_ROUND, TAKEOVER_S, Membership, Progress
from mesh.message import Accept, Accepted, Decided, Prepare, Promise, Reject
from mesh.view import Member, View


def member(name: str, full: bool = True) -> Member:
    return Member(name, "127.0.0.1", 1, 2, "device", 1.0, full, learns=False)


def view_of(full: str, thin: str = "", number: int = 3, step: int = 10) -> View:
    return View(number, step, (*map(member, full), *(member(name, full=False) for name in thin)))


class Seat:
    """One member's Membership, with a progress that the test sets."""

    def __init__(self, me: str, view: View, applied: int = 20, buckets: int = 2) -> None:
        full = me in view.servers
        self.progress = Progress(applied, (), applied + 1, full, True, view.ids)
        self.machine = Membership(me, view, lambda: self.progress, lambda step: buckets, 100)

    def suspect(self, *peers: str, dead: bool = False) -> None:
        for peer in peers:
            self.machine.suspect(peer, dead)

    def promise(
        self, source: str, prepare: Prepare, applied: int = 20, held: tuple[int, ...] = ()
    ) -> Promise:
        return Promise(prepare.view, prepare.ballot, (0, ""), None, applied, held)


def addressed(outgoing, kind) -> dict:
    return {to: message for to, message in outgoing if isinstance(message, kind)}


def proposed(seat: Seat, now: float = 0.0) -> tuple[Prepare, dict]:
    """What the seat asks all to promise, and the Accepts that follow from its own promise alone."""
    prepares = addressed(seat.machine.tick(now), Prepare)
    prepare = prepares[seat.machine.me]
    ((_, own),) = seat.machine.receive(seat.machine.me, prepare, now)
    return prepare, addressed(seat.machine.receive(seat.machine.me, own, now), Accept)


@pytest.mark.parametrize(
    ("voters", "alive", "dead", "decides"),
    [
        ("abc", "ab", "", True),  # a majority
        ("abc", "bc", "", True),
        ("abc", "a", "", False),
        ("abc", "a", "bc", True),  # every one that is not proved dead
        ("abc", "a", "b", False),  # c is silent, and may live
        ("abcd", "ab", "", True),  # half, with the first
        ("abcd", "cd", "", False),  # the other half
        ("abcd", "cd", "ab", True),
        ("ab", "a", "", True),
        ("ab", "b", "", False),
        ("ab", "b", "a", True),
    ],
)
def test_quorums(voters, alive, dead, decides):
    seat = Seat(alive[0], view_of(voters))
    seat.suspect(*dead, dead=True)
    seat.suspect(*(set(voters) - set(alive) - set(dead)))
    assert bool(seat.machine.waits_for) != decides
    prepare, accepts = proposed(seat)
    assert prepare.stop == 0
    assert prepare.dead == tuple(sorted(dead))
    for peer in alive[1:]:
        accepts |= addressed(seat.machine.receive(peer, seat.promise(peer, prepare), 0.1), Accept)
    assert set(accepts) == (set(alive) if decides else set())


def test_a_proposer_waits_for_those_it_does_not_suspect_but_not_for_ever():
    seat = Seat("a", view_of("abcd"))
    seat.suspect("d")
    now, accepts = 0.0, {}
    while not accepts and now < 10.0:  # a and b promise again at every retry; c never does
        for to, message in seat.machine.tick(now):
            if to == "a" and isinstance(message, Prepare):
                ((_, own),) = seat.machine.receive("a", message, now)
                accepts |= addressed(seat.machine.receive("a", own, now), Accept)
                accepts |= addressed(seat.machine.receive("b", seat.promise("b", message), now), Accept)
            elif isinstance(message, Accept):
                accepts[to] = message
        now += 0.05
    assert set(accepts) == {"a", "b"}
    assert GRACE_S <= now <= GRACE_S + 0.2


def test_a_promise_after_a_fault_freezes_and_a_planned_one_stops_ahead():
    seat = Seat("b", view_of("abc"))
    ((to, promise),) = seat.machine.receive("a", Prepare(3, (1, "a"), 23, ()), 0.0)
    assert (to, promise.applied) == ("a", 20)
    assert seat.machine.may_push(22)
    assert not seat.machine.may_push(23)
    seat.machine.receive("a", Prepare(3, (2, "a"), 0, ()), 0.0)
    assert not seat.machine.may_push(21)


def test_a_planned_stop_that_is_past_is_rejected():
    seat = Seat("b", view_of("abc"), applied=20)  # works on 21
    ((_, answer),) = seat.machine.receive("a", Prepare(3, (1, "a"), 21, ()), 0.0)
    assert answer == Reject(3, (0, ""), 21)
    assert seat.machine.may_push(21)


def test_an_accepted_step_binds_whatever_is_promised_afterwards():
    seat = Seat("b", view_of("abc"))
    seat.machine.receive("a", Prepare(3, (1, "a"), 23, ()), 0.0)
    value = replace(view_of("abcd", number=4, step=23), planned=True, ballot=(1, "a"))
    ((_, accepted),) = seat.machine.receive("a", Accept(3, (1, "a"), value), 0.0)
    assert accepted == Accepted(3, (1, "a"))
    ((_, promise),) = seat.machine.receive("c", Prepare(3, (2, "c"), 30, ()), 0.0)
    assert (promise.accepted, promise.accepted_ballot) == (value, (1, "a"))
    assert not seat.machine.may_push(23)
    assert seat.machine.may_push(22)


def test_lower_ballots_are_neither_promised_nor_accepted():
    seat = Seat("b", view_of("abc"))
    seat.machine.receive("c", Prepare(3, (5, "c"), 0, ()), 0.0)
    ((_, answer),) = seat.machine.receive("a", Prepare(3, (4, "a"), 0, ()), 0.0)
    assert isinstance(answer, Reject)
    assert answer.ballot == (5, "c")
    ((_, answer),) = seat.machine.receive("a", Accept(3, (4, "a"), view_of("ab", number=4)), 0.0)
    assert isinstance(answer, Reject)


def test_a_value_accepted_before_is_proposed_again():
    seat = Seat("a", view_of("abc"))
    seat.suspect("c")
    prepare, _ = proposed(seat)
    before = replace(view_of("abx", number=4, step=22), ballot=(0, "c"))
    promise = replace(seat.promise("b", prepare), accepted=before, accepted_ballot=(0, "c"))
    accepts = addressed(seat.machine.receive("b", promise, 0.1), Accept)
    assert {accept.value for accept in accepts.values()} == {before}


@pytest.mark.parametrize(
    ("mine", "yours", "step", "sources"),
    [
        ((20, ()), (20, ()), 21, ()),  # the step in progress is dropped and done again
        ((20, (0,)), (20, (1,)), 22, ("a", "b")),  # together they hold all of it: it stands
        ((20, (0,)), (20, ()), 21, ()),
        ((19, (0, 1)), (20, ()), 21, ("b", "b")),  # b has applied what a still misses
        ((19, ()), (20, (0, 1)), 22, ("b", "b")),
    ],
)
def test_where_the_new_view_begins(mine, yours, step, sources):
    seat = Seat("a", view_of("abc", thin="t"))
    seat.progress = replace(seat.progress, applied=mine[0], held=mine[1])
    seat.suspect("c", dead=True)
    prepare, _ = proposed(seat)
    accepts = addressed(seat.machine.receive("b", seat.promise("b", prepare, *yours), 0.1), Accept)
    value = accepts["b"].value
    assert (value.step, value.sources, value.planned) == (step, sources, False)
    assert value.ids == ("a", "b", "t")


def test_who_promised_hears_nothing_more_of_the_dead():
    seat = Seat("b", view_of("abc"))
    seat.machine.receive("a", Prepare(3, (1, "a"), 0, ("c",)), 0.0)
    assert "c" in seat.machine.dead
    assert seat.machine.receive("c", Decided(view_of("c", number=4)), 0.0) == []
    assert seat.machine.view.number == 3


def test_a_decision_reaches_those_who_lag_and_messages_of_old_views_are_answered_with_it():
    seat = Seat("a", view_of("ab"))
    assert seat.machine.hears("b", (2, (0, ""))) == [("b", Decided(seat.machine.view))]
    assert seat.machine.hears("b", seat.machine.view.key) == []
    ((_, answer),) = seat.machine.receive("b", Prepare(2, (9, "b"), 0, ()), 0.0)
    assert answer == Decided(seat.machine.view)
    assert seat.machine.receive("b", Prepare(4, (9, "b"), 0, ()), 0.0) == []


def test_strangers_and_thin_members_do_not_vote():
    seat = Seat("a", view_of("ab", thin="t"))
    for stranger in ("t", "x"):
        assert seat.machine.receive(stranger, Prepare(3, (9, stranger), 0, ()), 0.0) == []
    thin = Seat("t", view_of("ab", thin="t"))
    assert thin.machine.receive("a", Prepare(3, (9, "a"), 0, ()), 0.0) == []
    assert thin.machine.may_push(21)


def test_the_first_thin_member_takes_over_after_a_while_when_all_full_ones_are_dead():
    first, second = (Seat(name, view_of("ab", thin="st"), applied=19) for name in "st")
    for seat in (first, second):
        seat.suspect("a", dead=True)
        seat.suspect("b")
        assert seat.machine.tick(0.0) == []
        assert seat.machine.tick(5.0) == []  # b may live
        seat.suspect("b", dead=True)
        assert seat.machine.tick(5.0) == []
    assert second.machine.tick(9.0) == []
    ((to, decided),) = first.machine.tick(5.01 + TAKEOVER_S)
    assert to == "t"
    assert decided.view.number == 4
    assert decided.view.step == 20
    assert decided.view.servers == ("s",)
    assert decided.view.thin == ("t",)
    assert decided.view.ballot[0] == TAKEOVER_ROUND


def test_a_joiner_waits_until_every_member_knows_the_view():
    seat = Seat("a", view_of("ab"))
    seat.machine.wants_in(member("n", full=False))
    assert seat.machine.tick(0.0) == []
    seat.machine.hears("b", seat.machine.view.key)
    prepares = addressed(seat.machine.tick(0.1), Prepare)
    assert set(prepares) == {"a", "b"}
    assert prepares["b"].stop == 22  # one beyond the step in progress


def test_the_dead_and_the_leaving_do_not_come_in():
    seat = Seat("a", view_of("a"))
    seat.suspect("n", dead=True)
    seat.machine.wants_in(member("n"))
    assert seat.machine.tick(0.0) == []
    seat.machine.wants_in(member("m"))
    seat.machine.wants_out("m")
    assert seat.machine.ready == {}
