"""What came too early is kept in order, within bounds."""

from mesh.backlog import Backlog
from mesh.message import NotYet, Update, size_bytes

KEY = (1, (0, ""))


def update(bucket: int, size: int) -> Update:
    return Update(KEY, 1, bucket, 1, 0.5, 0, bytes(size))


def test_messages_are_kept_in_order_and_given_once():
    backlog = Backlog()
    sent = [("a", update(0, 10)), ("b", NotYet()), ("a", update(1, 0))]
    for source, message in sent:
        backlog.add(source, message)
    assert backlog.take() == sent
    assert backlog.take() == []


def test_what_is_too_much_is_dropped_and_the_room_comes_back():
    small, large = update(0, 100), update(1, 1000)
    backlog = Backlog(most_bytes=size_bytes(large) + 2 * size_bytes(small))
    for message in (small, large, large, small, small):
        backlog.add("a", message)
    assert [message for _, message in backlog.take()] == [small, large, small]
    backlog.add("a", large)
    assert backlog.take() == [("a", large)]


def test_a_message_is_as_large_as_its_frames():
    assert 1000 < size_bytes(update(0, 1000)) < 1100
