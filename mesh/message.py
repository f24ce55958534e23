"""Every message between peers: frozen dataclasses, and their form on the wire.

A message is one msgpack array `[version, name, field, field, …]` in its first frame. A message with a
`payload` carries it in a second frame, so that megabytes of codes are never copied into a header. Nothing
in a frame is trusted: the version, the name, the number and the type of every field and the sizes are
checked before a message object exists, and a frame that fails raises ProtocolError. No value on the wire
names code.
"""

import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import msgpack

from mesh.errors import ProtocolError
from mesh.view import Member, View, ViewKey

VERSION = 1
HEADER_BYTES_MOST = 4 << 20
PAYLOAD_BYTES_MOST = 64 << 20

Ballot = tuple[int, str]
Payload = bytes | memoryview


# ---- letting peers in ----


@dataclass(frozen=True)
class Hello:
    """A process that wants to join asks any member; `version` is its software's."""

    version: str


@dataclass(frozen=True)
class Welcome:
    """What a newcomer must know to get ready: the job as data, the data set's chunks, who is there."""

    job: dict[str, Any]
    manifest: dict[str, Any]
    view: View


@dataclass(frozen=True)
class NotYet:
    """A peer that is still getting ready itself: ask again."""


@dataclass(frozen=True)
class Refused:
    """A peer says no, in a sentence for the other's user."""

    reason: str


@dataclass(frozen=True)
class Ready:
    """The sender wants to be a member as it describes itself: a newcomer, or a learner that is full now."""

    member: Member


@dataclass(frozen=True)
class Leave:
    """The sender will go: a view without it, please."""


@dataclass(frozen=True)
class Bye:
    """The sender goes now. `finished`: because the job's last step is final."""

    finished: bool


# ---- who is alive, and the next view (single-decree Paxos, see membership) ----


@dataclass(frozen=True)
class Ping:
    """The sender lives; its latest view, its last applied and last final step, its speed in samples/s."""

    view: ViewKey
    applied: int
    final: int
    speed: float


@dataclass(frozen=True)
class Suspect:
    """The sender cannot reach `peer`; `dead` if its host says that the process is gone."""

    view: int
    peer: str
    dead: bool


@dataclass(frozen=True)
class Prepare:
    """Promise me `ballot` for the successor of `view`, and push nothing for step `stop` or later in it
    (0: nothing at all).
    """

    view: int
    ballot: Ballot
    stop: int
    dead: tuple[str, ...]


@dataclass(frozen=True)
class Promise:
    """Promised; with what the sender accepted before, its last applied step, and the buckets of the
    next that it holds.
    """

    view: int
    ballot: Ballot
    accepted_ballot: Ballot
    accepted: View | None
    applied: int
    held: tuple[int, ...]


@dataclass(frozen=True)
class Reject:
    """Not promised or not accepted: the sender has promised `ballot`, or is past the step, working on `step`.

    A `step` of −1: it is frozen, and only a change after a fault can follow.
    """

    view: int
    ballot: Ballot
    step: int


@dataclass(frozen=True)
class Accept:
    """Accept `value` as the successor of `view`."""

    view: int
    ballot: Ballot
    value: View


@dataclass(frozen=True)
class Accepted:
    """The sender has accepted the value of `ballot`."""

    view: int
    ballot: Ballot


@dataclass(frozen=True)
class Decided:
    """`view` is decided."""

    view: View


# ---- one step ----


@dataclass(frozen=True)
class Push:
    """A peer's gradient sum over its `samples` of `step`, for the bucket's server."""

    view: ViewKey
    step: int
    bucket: int
    samples: int
    loss: float
    digest: int
    payload: Payload


@dataclass(frozen=True)
class Update:
    """The merged gradient of a bucket: the same bytes for every full peer."""

    view: ViewKey
    step: int
    bucket: int
    samples: int
    loss: float
    digest: int
    payload: Payload


@dataclass(frozen=True)
class Weights:
    """For thin peers: what brings a bucket of their weights to the state after `step`."""

    view: ViewKey
    step: int
    bucket: int
    samples: int
    loss: float
    digest: int
    payload: Payload


@dataclass(frozen=True)
class Want:
    """Send me once more your `kind` ("push", "update" or "weights") of that step and bucket."""

    view: ViewKey
    step: int
    bucket: int
    kind: str


@dataclass(frozen=True)
class Evaluated:
    """The sender measured the weights after `step` on the test samples."""

    step: int
    accuracy: float
    loss: float


# ---- state and data ----


@dataclass(frozen=True)
class StateWant:
    """Part `part` of an exact state, please; `step` −1 asks for a fresh one, otherwise for one begun
    before.
    """

    step: int
    part: int


@dataclass(frozen=True)
class State:
    """Part `part` of `parts` of the exact state after `step`: a slice of weights and optimizer state,
    as float32 bytes.
    """

    step: int
    part: int
    parts: int
    payload: Payload


@dataclass(frozen=True)
class ChunkWant:
    """The data chunk of that SHA-256, please."""

    digest: str


@dataclass(frozen=True)
class Chunk:
    """A data chunk; empty where the sender has not got it."""

    digest: str
    payload: Payload


# ---- asked from outside ----


@dataclass(frozen=True)
class StatusWant:
    """How do things stand? Anyone on an admitted connection may ask."""


@dataclass(frozen=True)
class Status:
    """The facts of this instant, as the JSON-like form of a snapshot."""

    facts: dict[str, Any]


Message = (
    Hello | Welcome | NotYet | Refused | Ready | Leave | Bye
    | Ping | Suspect | Prepare | Promise | Reject | Accept | Accepted | Decided
    | Push | Update | Weights | Want | Evaluated
    | StateWant | State | ChunkWant | Chunk
    | StatusWant | Status
)  # fmt: skip

TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(Message)}
BULK = (Push, Update, Weights, State, Chunk)


def encode(message: Message) -> list[Payload]:
    """The frames of a message: its header, and its payload if it has one."""
    kind = type(message)
    names, has_payload = _LAYOUTS[kind]
    frames: list[Payload] = [
        msgpack.packb([VERSION, kind.__name__, *(_unstructure(getattr(message, name)) for name in names)])
    ]
    if has_payload:
        frames.append(message.payload)  # type: ignore[union-attr]  # has_payload says that the field is there
    return frames


def size_bytes(message: Message) -> int:
    """What a message takes on the wire."""
    return sum(len(frame) for frame in encode(message))


def decode(frames: list[Payload]) -> Message:
    """The message in `frames`; ProtocolError says what is wrong with them."""
    if not frames or len(frames[0]) > HEADER_BYTES_MOST:
        raise ProtocolError("a message without a header, or with one over 4 MiB, was refused")
    try:
        header = msgpack.unpackb(frames[0], strict_map_key=True, use_list=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a message was refused: its header is not msgpack ({error})") from error
    if not isinstance(header, list) or len(header) < 2 or not isinstance(header[1], str):
        raise ProtocolError("a message was refused: its header is not [version, name, fields…]")
    if header[0] != VERSION:
        raise ProtocolError(
            f"a peer speaks protocol version {header[0]!r}, this one {VERSION}: install the same mesh on both"
        )
    kind = TYPES.get(header[1])
    if kind is None:
        raise ProtocolError(f"a message was refused: unknown name {header[1][:40]!r}")
    return typing.cast(Message, _build(kind, header[2:], frames[1:]))


def _build(kind: type[Any], values: list[Any], payloads: list[Payload]) -> Any:
    names, has_payload = _LAYOUTS[kind]
    if len(payloads) != int(has_payload) or len(values) != len(names):
        raise ProtocolError(f"a {kind.__name__} message was refused: wrong number of fields or frames")
    if payloads and len(payloads[0]) > PAYLOAD_BYTES_MOST:
        raise ProtocolError(f"a {kind.__name__} message was refused: its payload is over 64 MiB")
    return _structure(kind, values + payloads)


def _layout(kind: type[Any]) -> tuple[tuple[str, ...], bool]:
    """The names of the fields that stand in the header, and whether a payload follows."""
    hints = typing.get_type_hints(kind)
    names = tuple(field.name for field in fields(kind) if hints[field.name] != Payload)
    return names, len(names) < len(fields(kind))


_LAYOUTS = {kind: _layout(kind) for kind in TYPES.values()}


def _unstructure(value: Any) -> Any:
    if is_dataclass(value):
        return [_unstructure(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple):
        return [_unstructure(item) for item in value]
    return value


@cache
def _field_types(kind: type[Any]) -> tuple[Any, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(hints[field.name] for field in fields(kind))


def _structure(kind: Any, value: Any) -> Any:
    """`value` as an instance of the annotated type `kind`, or ProtocolError."""
    if is_dataclass(kind):
        kinds = _field_types(kind)  # type: ignore[arg-type]  # is_dataclass narrows to instances too
        if isinstance(value, list) and len(value) == len(kinds):
            made = kind(*(_structure(k, v) for k, v in zip(kinds, value, strict=True)))  # type: ignore[operator]  # a class
            if isinstance(made, View) and made.fault:
                raise ProtocolError(f"a view was refused: {made.fault}")
            return made
    elif typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if isinstance(value, list) and len(kinds) == 2 and kinds[1] is Ellipsis:
            return tuple(_structure(kinds[0], item) for item in value)
        if isinstance(value, list) and len(value) == len(kinds):
            return tuple(_structure(k, v) for k, v in zip(kinds, value, strict=True))
    elif isinstance(kind, types.UnionType):
        return _structure_union(typing.get_args(kind), value)
    elif typing.get_origin(kind) is dict:
        if isinstance(value, dict):
            return value
    elif type(value) is kind:
        return value
    raise ProtocolError(f"a message was refused: {value!r:.60} where {kind!r:.80} belongs")


def _structure_union(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    if isinstance(value, bytes | memoryview) and type(value) in kinds:
        return value
    rest = [kind for kind in kinds if kind not in (types.NoneType, bytes, memoryview)]
    if len(rest) == 1:
        return _structure(rest[0], value)
    raise ProtocolError(f"a message was refused: {value!r:.60} fits none of its types")
