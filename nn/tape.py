"""What a forward pass leaves behind for the way back: the calls that lead from the sources (parameters) on,
and of their arrays only those whose values a derivative will read.

Of y = x + bias, for instance, no derivative needs any value, so x is free as soon as forward is done with it;
a network of convolutions, biases and ReLUs so keeps one array a layer, and not three.

*Segments* are stretches of the tape that keep even less: only what comes in from outside and what goes out.
When the way back arrives at the end of one, its calls are done once more (`restore`), the same primitives
with the same parameters on the same arrays, so with the same bits. No layer's Python runs again: what it
does beside its calls, such as observing a batch's statistics or drawing the key of a mask, happens once.
"""

import math
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import tensor
from nn.derivatives import OUTPUT, is_read
from nn.errors import GradientError
from tensor import Array, Device, Primitive
from tensor.memory import Storage
from tensor.primitive import taping

if TYPE_CHECKING:
    from nn.layer import Layer

OUTSIDE = -1  # where an array was made that no call of the tape has made

own_backward = Primitive("layer with a backward() of its own")


class Value:
    """One array on the tape. `array` is there as long as its values are to be kept; `leads` says whether a
    gradient has to reach it, `of_source` whether it is a source or a view of one."""

    __slots__ = (
        *("array", "is_read", "known_as", "leads", "made_at"),
        *("of_source", "size_bytes", "used_until", "valueless"),
    )

    def __init__(self, array: Array, leads: bool, made_at: int, of_source: bool) -> None:
        self.array: Array | None = None
        self.known_as = weakref.ref(array)
        self.leads, self.of_source = leads, of_source
        self.is_read = False  # by a derivative
        self.made_at = made_at
        self.used_until = made_at
        self.size_bytes = array.size_bytes
        nowhere = _nowhere(array.device)
        self.valueless = Array(nowhere, array.shape, array.strides, array.offset, array.dtype)

    @property
    def shown(self) -> Array:
        """The array for a derivative: without values, and an error for who asks for them, where none are
        kept."""
        return self.valueless if self.array is None else self.array


@lru_cache
def _nowhere(device: Device) -> Storage:
    return Storage(device, None, 0)


@dataclass(frozen=True, eq=False)
class Step:
    """One call: `output = primitive(*inputs, **parameters)`."""

    primitive: Primitive
    inputs: tuple[Value, ...]
    parameters: dict[str, Any]
    output: Value

    def again(self) -> Array:
        """The output, computed once more from inputs that are there."""
        inputs = [each.array for each in self.inputs]
        if self.primitive is own_backward:
            layer: Layer = self.parameters["layer"]
            return layer.forward(*inputs[: len(inputs) - len(self.parameters["names"])])
        return self.primitive(*inputs, **self.parameters)  # type: ignore[arg-type]  # all are there


class Segment:
    """The steps [begin, end), and what they have made."""

    def __init__(self, begin: int, end: int, values: Sequence[Value]) -> None:
        self.begin, self.end = begin, end
        self.values = values

    def forget(self) -> None:
        """Keep nothing of what is used in here alone."""
        for value in self.values:
            if value.used_until < self.end:
                value.array = None

    @property
    def returning_bytes(self) -> int:
        """How large is what derivatives read when it is restored."""
        return sum(
            value.size_bytes
            for value in self.values
            if value.is_read and value.array is None and value.used_until > value.made_at
        )

    def joined_by(self, other: "Segment") -> tuple["Segment", int, int]:
        """Both in one; how many bytes it need not keep any more, and how many then return."""
        both = Segment(self.begin, other.end, [*self.values, *other.values])
        between = [value for value in self.values if value.array is not None and value.used_until < other.end]
        returning = self.returning_bytes + other.returning_bytes
        returning += sum(value.size_bytes for value in between if value.is_read)
        return both, sum(value.size_bytes for value in between), returning


@dataclass(frozen=True)
class Segments:
    """What is computed again: the calls of each of `layers` (by their ids).

    With `most`, neighbours are joined until no more than that are left, and where that saves memory.
    """

    layers: Collection[int] = ()
    most: int | None = None


@dataclass(eq=False)
class Tape:
    """The steps that depend on `sources`, in order; it stands where tensor looks for a tape."""

    sources: Sequence[Array]
    plan: Segments = field(default_factory=Segments)

    def __post_init__(self) -> None:
        self.steps: list[Step] = []
        self._segments: list[Segment] = []
        self._begin: int | None = None  # of the segment under way
        self._values: dict[int, Value] = {}  # by the id of their array, while it lives
        self._in_segments: weakref.WeakSet[Storage] = weakref.WeakSet()
        self._source_storages = {source.storage for source in self.sources}
        self.source_values = [self._value(source, True, OUTSIDE) for source in self.sources]

    # ---- forward ----

    def call(self, layer: "Layer", inputs: tuple[Array, ...]) -> Array:
        """layer(*inputs): all the calls that it makes, or one if it knows its own way back."""
        with self._segment(layer):
            if not hasattr(layer, "backward"):
                return layer.forward(*inputs)
            with tensor.not_recording_calls():
                output = layer.forward(*inputs)
            parameters = layer.parameters()
            facts = {"layer": layer, "names": [*parameters]}
            self.note(own_backward, (*inputs, *parameters.values()), facts, output)
            return output

    def run(self, primitive: Primitive, inputs: tuple[Array, ...], parameters: dict[str, Any]) -> Array:
        """Do what a call asks for, and note it."""
        taping.tape = None
        try:
            output = primitive.run_watched(inputs, parameters)
        finally:
            taping.tape = self
        if primitive.in_place:
            self._require_harmless(primitive, inputs)
        else:
            self.note(primitive, inputs, parameters, output)
        return output

    def note(
        self, primitive: Primitive, inputs: tuple[Array, ...], parameters: dict[str, Any], output: Array
    ) -> None:
        """Append a call, if it depends on a source, and keep what it will be asked for."""
        known = [self._find(each) for each in inputs]
        if not any(known):
            return
        at = len(self.steps)
        values = tuple(
            [value or self._value(x, False, OUTSIDE) for value, x in zip(known, inputs, strict=True)]
        )
        leads = tensor.dtypes.kind(output.dtype) == "f" and any(value.leads for value in values)
        result = self._find(output) or self._value(output, leads, at)
        self.steps.append(Step(primitive, values, parameters, result))
        for value, x in zip(values, inputs, strict=True):
            value.used_until = at
            if self._begin is not None and value.made_at < self._begin:  # computing again begins with it
                value.array = x
        if self._begin is not None:
            self._in_segments.update(each.storage for each in (*inputs, output))
        arrays = {id(value): x for value, x in zip((*values, result), (*inputs, output), strict=True)}
        for value in _read_on_the_way_back(self.steps[-1]):
            value.is_read = True
            value.array = arrays[id(value)]

    @contextmanager
    def _segment(self, layer: "Layer") -> Iterator[None]:
        """What is called in this block is computed again on the way back, if `layer` is planned to be."""
        if self._begin is not None or id(layer) not in self.plan.layers:
            yield
            return
        begin = self._begin = len(self.steps)
        try:
            yield
        finally:
            self._begin = None
        if begin < len(self.steps):
            made = dict.fromkeys(step.output for step in self.steps[begin:])
            segment = Segment(begin, len(self.steps), [value for value in made if value.made_at >= begin])
            segment.forget()
            self._segments.append(segment)
            while self.plan.most is not None and self._join_two(self.plan.most):
                pass

    def _join_two(self, most: int) -> bool:
        """Make one of two neighbours, if there are more than `most` or if it saves bytes.

        A step holds what leaves all segments and what returns in one, so the pair is chosen for which the sum
        of the first and the largest of the second becomes least.
        """
        returning = [segment.returning_bytes for segment in self._segments]
        best, best_bytes = None, 0 if len(self._segments) <= most else math.inf
        for at, (first, second) in enumerate(pairwise(self._segments)):
            both, saved_bytes, return_bytes = first.joined_by(second)
            change_bytes = max(return_bytes, *returning) - max(returning) - saved_bytes
            if change_bytes < best_bytes:
                best, best_bytes = (at, both), change_bytes
        if best is not None:
            at, both = best
            both.forget()
            self._segments[at : at + 2] = [both]
        return best is not None

    def _require_harmless(self, primitive: Primitive, inputs: tuple[Array, ...]) -> None:
        known = [self._find(each) for each in inputs]
        if any(value is not None and value.leads for value in known):
            raise GradientError(
                f"{primitive.name} wrote in place what depends on a parameter, which has no "
                "derivative: make a new array instead, with tensor.where for instance."
            )
        if inputs[0].storage in self._in_segments:
            raise GradientError(
                f"{primitive.name} wrote in place what had been read before, so that checkpoint= could not "
                "compute the same again: make a new array instead, or leave that layer out of the checkpoint."
            )

    def _value(self, array: Array, leads: bool, made_at: int) -> Value:
        of_source = array.storage in self._source_storages
        value = self._values[id(array)] = Value(array, leads, made_at, of_source)
        return value

    def _find(self, array: Array) -> Value | None:
        value = self._values.get(id(array))
        return value if value is not None and value.known_as() is array else None

    # ---- backward ----

    def end_of_forward(self, output: Array) -> Value | None:
        """What stands for `output` here, if it depends on a source; nothing more is noted after that."""
        value = self._find(output)
        self._values.clear()
        return value

    def first_uses(self) -> dict[int, list[int]]:
        """For places on the tape, the sources used there and nowhere before, the last source first; for
        OUTSIDE, those used nowhere."""
        first: dict[Value, int] = {}
        for at, step in enumerate(self.steps):
            for value in step.inputs:
                first.setdefault(value, at)
        uses: dict[int, list[int]] = {}
        for index, value in reversed([*enumerate(self.source_values)]):
            uses.setdefault(first.get(value, OUTSIDE), []).append(index)
        return uses

    def pop(self) -> Step:
        """Take the last step off the tape, with all that its derivative reads."""
        if self._segments and self._segments[-1].end == len(self.steps):
            self._restore(self._segments.pop())
        return self.steps.pop()

    def _restore(self, segment: Segment) -> None:
        """Compute again what the derivatives of a segment read, and what that takes."""
        steps = self.steps[segment.begin : segment.end]
        read = {value for step in steps for value in _read_on_the_way_back(step) if value.array is None}
        missing, again = set(read), []
        for step in reversed(steps):
            if step.output in missing:
                missing.discard(step.output)
                missing.update(value for value in step.inputs if value.array is None)
                again.append(step)
        again.reverse()
        passing = {step.output for step in again} - read
        last_use = {value: at for at, step in enumerate(again) for value in step.inputs}
        with tensor.not_recording_calls():
            for at, step in enumerate(again):
                step.output.array = step.again()
                for value in passing.intersection(step.inputs):
                    if last_use[value] == at:
                        value.array = None


def _read_on_the_way_back(step: Step) -> Iterator[Value]:
    if not step.output.leads:
        return
    name = step.primitive.name
    for argument, x in enumerate(step.inputs):
        if x.leads:
            if is_read(name, argument, OUTPUT):
                yield step.output
            for place, value in enumerate(step.inputs):
                if is_read(name, argument, place):
                    yield value
