"""What a peer holds of the steps in progress."""

from mesh.exchange import Exchange
from mesh.message import Push, Update

VIEW = (1, (0, ""))


def push(step: int, bucket: int, payload: bytes = b"") -> Push:
    return Push(VIEW, step, bucket, 1, 0.0, 0, payload)


def update(step: int, bucket: int, payload: bytes = b"") -> Update:
    return Update(VIEW, step, bucket, 1, 0.0, 0, payload)


def test_pushes_are_given_once_in_member_order_and_only_when_all_are_there():
    exchange = Exchange()
    exchange.add_push("c", push(1, 0, b"c"))
    exchange.add_push("a", push(1, 0, b"a"))
    assert exchange.take_pushes(1, 0, ("a", "b", "c")) is None
    assert exchange.awaited_pushes(("a", "b", "c")) == [((1, 0), "b")]
    exchange.add_push("b", push(1, 0, b"b"))
    exchange.add_push("stranger", push(1, 0, b"x"))
    taken = exchange.take_pushes(1, 0, ("a", "b", "c"))
    assert [each.payload for each in taken] == [b"a", b"b", b"c"]
    exchange.add_push("a", push(1, 0, b"again"))  # asked for twice, came twice
    assert exchange.take_pushes(1, 0, ("a",)) is None
    assert exchange.awaited_pushes(("a", "b", "c")) == []


def test_a_new_view_voids_what_was_merged_of_its_steps():
    exchange = Exchange()
    exchange.updates[4][0] = update(4, 0)
    exchange.updates[5][0] = update(5, 0)
    exchange.own_pushes[5, 0] = push(5, 0)
    exchange.add_push("a", push(5, 0))
    exchange.begin_view(5)
    assert exchange.held(4) == (0,)
    assert exchange.held(5) == ()
    assert not exchange.own_pushes
    assert exchange.take_pushes(5, 0, ("a",)) is None
    exchange.add_push("a", push(5, 0))
    assert exchange.take_pushes(5, 0, ("a",)) is not None


def test_payloads_stand_in_bucket_order_and_old_ones_go():
    exchange = Exchange()
    for bucket in (2, 0, 1):
        exchange.updates[7][bucket] = update(7, bucket, bytes([bucket]))
    exchange.own_pushes[6, 0] = push(6, 0)
    assert exchange.held(7) == (0, 1, 2)
    assert exchange.payloads(exchange.updates, 7) == (b"\0", b"\1", b"\2")
    exchange.forget_before(7)
    assert exchange.held(7) == (0, 1, 2)
    assert not exchange.own_pushes
    exchange.forget_before(8)
    assert exchange.held(7) == ()
