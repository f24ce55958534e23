"""Messages there and back, and everything that must be refused."""

import contextlib
import dataclasses
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import message
from mesh.errors import ProtocolError
from mesh.message import Accept, Decided, Hello, Ping, Promise, Push, Want, Welcome, decode, encode
from mesh.view import MEMBERS_MOST, Member, View, ViewKey

numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False)
names = st.text(max_size=20)
ballots = st.tuples(numbers, names)
members = st.builds(Member, names, names, numbers, numbers, names, reals, st.booleans(), st.booleans())


@st.composite
def sensible_views(draw: st.DrawFn) -> View:
    """Views that a peer takes from the wire: the others are refused."""
    ids = draw(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3, unique=True))
    ports, speeds = st.integers(0, 65535), st.floats(1e-6, 1e12)
    full = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)).filter(any))
    listed = tuple(
        Member(
            peer,
            draw(names),
            draw(ports),
            draw(ports),
            draw(names),
            draw(speeds),
            serves,
            draw(st.booleans()),
        )
        for peer, serves in zip(ids, full, strict=True)
    )
    servers = [peer for peer, serves in zip(ids, full, strict=True) if serves]
    sources = tuple(draw(st.lists(st.sampled_from(servers), max_size=3)))
    first = st.integers(1, 2**63 - 1)
    return View(draw(first), draw(first), listed, sources, draw(st.booleans()), draw(ballots))


views = sensible_views()
plain = st.recursive(
    st.none() | st.booleans() | numbers | reals | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
BY_ANNOTATION = {
    "int": numbers,
    "float": reals,
    "str": names,
    "bool": st.booleans(),
    "Ballot": ballots,
    "ViewKey": st.tuples(numbers, ballots),
    "Member": members,
    "View": views,
    "View | None": st.none() | views,
    "Payload": st.binary(max_size=100),
    "tuple[int, ...]": st.lists(numbers, max_size=4).map(tuple),
    "tuple[str, ...]": st.lists(names, max_size=4).map(tuple),
    "dict[str, Any]": st.dictionaries(names, plain, max_size=4),
}


def annotation(field: dataclasses.Field) -> str:
    kinds = {"Ballot": message.Ballot, "Payload": message.Payload, "ViewKey": ViewKey}
    known = [name for name, kind in kinds.items() if field.type == kind]
    return known[0] if known else getattr(field.type, "__name__", "") if field.type in (
        int, float, str, bool, Member, View
    ) else str(field.type).replace("mesh.view.", "").replace("typing.", "")  # fmt: skip


def instances(kind: type) -> st.SearchStrategy:
    return st.builds(kind, *(BY_ANNOTATION[annotation(field)] for field in dataclasses.fields(kind)))


anything = st.one_of([instances(kind) for kind in message.TYPES.values()])


@pytest.mark.parametrize("kind", message.TYPES.values(), ids=message.TYPES)
def test_there_and_back(kind):
    @settings(max_examples=25, deadline=None)
    @given(instances(kind))
    def check(sent):
        assert decode(encode(sent)) == sent
        assert decode([memoryview(frame) for frame in encode(sent)]) == sent

    check()


ALICE = Member("alice", "127.0.0.1", 1, 2, "device", 1.0, full=True, learns=False)
BOB = replace(ALICE, id="bob", full=False)
SENSIBLE = View(3, 7, (ALICE, BOB), ("alice", "alice"))


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (replace(SENSIBLE, members=()), "no full member"),
        (replace(SENSIBLE, members=(BOB,), sources=()), "no full member"),
        (replace(SENSIBLE, members=(ALICE, ALICE)), "one id"),
        (replace(SENSIBLE, sources=("alice", "bob")), "source"),
        (replace(SENSIBLE, sources=("mallory",)), "source"),
        (replace(SENSIBLE, number=0), "begin with 1"),
        (replace(SENSIBLE, step=-5), "begin with 1"),
        (replace(SENSIBLE, sources=("alice",) * 65_537), "too many"),
        (
            replace(SENSIBLE, members=(ALICE, *(replace(BOB, id=f"{n}") for n in range(MEMBERS_MOST)))),
            "too many",
        ),
        *(
            (replace(SENSIBLE, members=(ALICE, replace(BOB, **change))), "cannot be a member")
            for change in (
                {"id": ""},
                {"id": "x" * 2000},
                {"device": "x" * 2000},
                {"host": "x" * 2000},
                {"port": 65_536},
                {"bulk_port": -1},
                {"speed": 0.0},
                {"speed": float("nan")},
                {"speed": float("inf")},
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_views_without_sense_are_refused(view, why):
    assert decode(encode(Decided(SENSIBLE))) == Decided(SENSIBLE)
    promise = Promise(2, (1, "alice"), (1, "bob"), view, 6, ())
    for sent in (Decided(view), Accept(2, (1, "alice"), view), Welcome({}, {}, view), promise):
        assert why in refused(encode(sent))


def refused(frames) -> str:
    with pytest.raises(ProtocolError) as error:
        decode(frames)
    assert error.value.exit_code == 4
    return str(error.value)


@settings(max_examples=150, deadline=None)
@given(anything, st.data())
def test_truncated_headers_are_refused(sent, data):
    header, *rest = encode(sent)
    refused([header[: data.draw(st.integers(0, len(header) - 1))], *rest])


@settings(max_examples=150, deadline=None)
@given(anything, st.sampled_from(["missing", "more"]))
def test_wrong_number_of_frames_is_refused(sent, change):
    frames = encode(sent)
    refused(frames[:-1] if change == "missing" else [*frames, b"more"])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_random_bytes_are_refused(frames):
    refused(frames)


@settings(max_examples=400, deadline=None)
@given(plain | st.lists(plain, max_size=9))
def test_foreign_msgpack_is_refused(value):
    refused([msgpack.packb(value)])


@settings(max_examples=400, deadline=None)
@given(anything, st.data())
def test_changed_fields_are_refused_or_valid(sent, data):
    header, *rest = encode(sent)
    fields = msgpack.unpackb(header)
    place = data.draw(st.integers(0, len(fields) - 1))
    fields[place] = data.draw(plain)
    try:
        got = decode([msgpack.packb(fields), *rest])
    except ProtocolError:
        return
    assert decode(encode(got)) == got or "nan" in repr(got)


@settings(max_examples=300, deadline=None)
@given(anything, st.data())
def test_flipped_bytes_never_raise_anything_else(sent, data):
    header, *rest = encode(sent)
    changed = bytearray(header)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        decode([bytes(changed), *rest])


def test_wrong_version_says_what_to_do():
    header = msgpack.packb([message.VERSION + 1, "Ping", [1, [1, "a"]], 1, 1, 1.0])
    assert "install the same mesh on both" in refused([header])


def test_wrong_types_are_refused():
    view = [1, [1, "a"]]
    assert decode([msgpack.packb([message.VERSION, "Ping", view, 1, 1, 1.0])]) == Ping(
        (1, (1, "a")), 1, 1, 1.0
    )
    for wrong in (
        [view, 1, 1, 1],
        [view, 1, 1, "1"],
        [view, True, 1, 1.0],
        [1, 1, 1, 1.0],
        [None, 1, 1, 1.0],
    ):
        refused([msgpack.packb([message.VERSION, "Ping", *wrong])])
    refused([msgpack.packb([message.VERSION, "NoSuchName", 1])])
    refused([msgpack.packb([message.VERSION, "ping", 1, 1, 1, 1.0])])
    refused([msgpack.packb([message.VERSION, "Decided", [1, 1, [["a"]], [], False, [0, ""]]])])


def test_nested_far_too_deep_is_refused():
    refused([b"\x91" * 100_000 + b"\x00"])


def test_oversized_frames_are_refused():
    refused([b"\x00" * (message.HEADER_BYTES_MOST + 1)])
    push = encode(Push((1, (1, "a")), 1, 0, 1, 0.0, 0, b""))
    refused([push[0], memoryview(bytearray(message.PAYLOAD_BYTES_MOST + 1))])


def test_payloads_are_not_copied():
    payload = bytes(1 << 20)
    frames = encode(Push((1, (1, "a")), 1, 0, 1, 0.0, 0, payload))
    assert frames[1] is payload
    assert decode(frames).payload is payload
    assert len(frames[0]) < 100


def test_headers_are_small():
    assert sum(map(len, encode(Ping((3, (1, "a")), 400, 399, 1234.5)))) < 50
    assert sum(map(len, encode(Want((1, (1, "a")), 1, 1, "push")))) < 50
    assert len(encode(Hello("x"))) == 1
