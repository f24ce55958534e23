"""LAMB: Adam's direction for each parameter, in a length that is measured by the parameter's own.

The lengths are sums of squares over each line of the network's table, and every device has the same bits of
them: each line is cut in pieces (at most 256, kernels/layerwise.cl), a piece in rows of 256 elements, whose
columns are summed from top to bottom; then 256 columns, and 256 pieces, are folded in halves.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.errors import NetworkError
from nn.launch import flushed, precision_of
from nn.optimizers.adaptive import Adam
from nn.optimizers.optimizer import (
    Number,
    State,
    advanced,
    launch_advance,
    named_values,
    stores_text,
    vectors_text,
)
from nn.optimizers.rule import Floats, Term, Text, Values, terms
from tensor import Array
from tensor.kernel import built

if TYPE_CHECKING:
    from nn.layer import Entry

_COLUMNS = 256  # of a row, and pieces of a parameter at most, as kernels/layerwise.cl has them
_SHORTEST_PIECE = 64 * _COLUMNS
Pieces = NDArray[numpy.int64]


class LAMB(Adam):
    """Adam for large batches: each parameter moves by a part of its own length.

        mean, square, c as in Adam
        direction ← mean / c1 / (√(square / c2) + eps) + weight_decay · parameter
        parameter ← parameter − lr · ratio · direction,  ratio = ‖parameter‖ / ‖direction‖, or 1 if one is 0

    Two launches a step, whatever the network. Source: Y. You and others: "Large Batch Optimization for Deep
    Learning: Training BERT in 76 minutes", 2019, algorithm 2, with φ(z) = z.
    """

    type_name = "lamb"

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps, weight_decay, **options)

    def initialize(self, vector: Array, table: "Sequence[Entry]" = ()) -> None:
        """Make the state for a flat vector, float32 or float64 [P]; `table` is the network's, or the whole
        vector counts as one parameter."""
        super().initialize(vector, table)
        spans = [entry.span for entry in table] or [slice(0, vector.size)]
        if [0, *(span.stop for span in spans)] != [*(span.start for span in spans), vector.size]:
            raise NetworkError(
                f"LAMB.initialize expected the table of a vector of {vector.size} elements, got one of "
                f"{spans[-1].stop}: pass network.vector and network.table."
            )
        self._pieces = tensor.asarray(_cut(spans), device=vector.device)

    def direction(self, w: Number, state: State, numbers: State) -> Number:
        """Where an element of a parameter goes to, before the length of that is measured."""
        size = (state["square"] / state["c2"]).sqrt() + numbers["eps"]
        return state["mean"] / state["c1"] / size + numbers["weight_decay"] * w

    def move(self, vector: Array, gradient: Array, numbers: Array, scale: Array) -> None:
        _step(vector, gradient, numbers, scale, self._pieces, *self.state.values(), rule=self)


def _cut(spans: Sequence[slice]) -> Pieces:
    """[K, 4]: where each piece begins and ends, and the first and the end of its parameter's pieces."""
    lines: list[tuple[int, int, int, int]] = []
    for span in spans:
        rows = -(-(span.stop - span.start) // (_COLUMNS * _COLUMNS))
        length = max(rows * _COLUMNS, _SHORTEST_PIECE)
        begins = range(span.start, span.stop, length)
        first, end = len(lines), len(lines) + len(begins)
        lines += [(begin, min(begin + length, span.stop), first, end) for begin in begins]
    return numpy.array(lines, numpy.int64).reshape(-1, 4)


# The two forms of a step


def _folded(sums: Floats) -> Floats:
    """The sums of rows of 256: the first half plus the second one, until one is left."""
    while sums.shape[-1] > 1:
        half = sums.shape[-1] // 2
        sums = flushed(sums[..., :half] + sums[..., half:])
    return sums[..., 0]


def _length(x: Floats, piece: int) -> Floats:
    """‖x‖, [], of one parameter that is cut in pieces of this length."""
    rows = -(-piece // _COLUMNS)
    padded = numpy.zeros((-(-x.size // piece), rows * _COLUMNS), x.dtype)
    for to, start in zip(padded, range(0, x.size, piece), strict=True):
        to[: min(piece, x.size - start)] = x[start : start + piece]
    squares = flushed(padded * padded).reshape(-1, rows, _COLUMNS)
    columns = numpy.zeros((len(squares), _COLUMNS), x.dtype)
    for row in range(rows):
        columns = flushed(columns + squares[:, row])
    pieces = numpy.zeros(_COLUMNS, x.dtype)
    pieces[: len(columns)] = _folded(columns)
    return numpy.sqrt(_folded(pieces))


def _step_numpy(
    w: Floats,
    g: Floats,
    numbers: Floats,
    scale: Floats,
    pieces: Pieces,
    *state: Floats,
    rule: LAMB,
) -> None:
    *vectors, kept = state
    named = named_values(rule.numbers, numbers)
    scalars = advanced(rule, kept, named)
    old = {name: Values(flushed(array.copy())) for name, array in zip(rule.vectors, vectors, strict=True)}
    averages = rule.averages(rule.clipped(Values(flushed(flushed(g.copy()) * scale)), named), old, named)
    for name, array in zip(rule.vectors, vectors, strict=True):
        array[...] = averages[name].array
    flushed(w)
    direction = rule.direction(Values(w), averages | scalars, named).array
    for number, (begin, end, first, last) in enumerate(pieces):
        if number != first:
            continue  # its parameter has been done
        span = slice(begin, pieces[last - 1, 1])
        own, other = (_length(each[span], int(end - begin)) for each in (w, direction))
        ratio = Values(own) / Values(other) if own > 0 and other > 0 else 1.0
        w[span] = (Values(w[span]) - named["lr"] * ratio * Values(direction[span])).array


def _step_opencl(
    w: Array, g: Array, numbers: Array, scale: Array, pieces: Array, *state: Array, rule: LAMB
) -> None:
    *vectors, scalars = state
    count, is_cpu = len(pieces), w.device.kind == "cpu"
    if not count:
        launch_advance(rule, numbers, scalars)
        return
    sums = tensor.empty((count, 2), dtype=w.dtype, device=w.device)
    ahead = tensor.empty(scalars.shape, dtype=w.dtype, device=w.device)
    sources = (numbers.buffer, scalars.buffer, ahead.buffer, scale.buffer, pieces.buffer, sums.buffer)
    arrays = [argument for array in (g, w, *vectors) for argument in (array.buffer, array.offset)]
    global_size, local_size = ((count,), (1,)) if is_cpu else ((count * _COLUMNS,), (_COLUMNS,))
    for name, text in (("average", _average_text(rule)), ("move", _move_text(rule))):
        kernel = built(w.device, "layerwise.cl", name, text | precision_of(w))
        kernel(global_size, *sources, *arrays, local_size=local_size)


_step = tensor.primitive("layerwise_step", numpy=_step_numpy, opencl=_step_opencl, in_place=True)


def _average_text(rule: LAMB) -> dict[str, str | int]:
    advance = Text()
    advanced_terms = rule.advance(terms(rule.scalars, advance), terms([*rule.numbers], advance))
    text = Text()
    numbers, state = terms([*rule.numbers], text), terms([*rule.vectors, *rule.scalars], text)
    averages = rule.averages(rule.clipped(Term("g", text), numbers), state, numbers)
    direction = rule.direction(Term("w", text), state | averages, numbers)
    return {
        "AVERAGE": 1,
        **vectors_text(rule),
        "ADVANCE": " ".join(
            [
                *advance.statements,
                *(f"const real next_{name} = {advanced_terms[name].name};" for name in rule.scalars),
            ]
        ),
        "ADVANCED": " ".join(f"const real {name} = next_{name};" for name in rule.scalars),
        "KEEP": " ".join(f"ahead[{place}] = next_{name};" for place, name in enumerate(rule.scalars)),
        "RULE": " ".join([*text.statements, f"const real direction = {direction.name};"]),
        "STORES": stores_text(averages),
    }


def _move_text(rule: LAMB) -> dict[str, str | int]:
    text = Text()
    numbers, state = terms([*rule.numbers], text), terms([*rule.vectors, *rule.scalars], text)
    direction = rule.direction(Term("w", text), state, numbers)
    new = Term("w", text) - numbers["lr"] * Term("ratio", text) * direction
    return {
        "AVERAGE": 0,
        **vectors_text(rule),
        "KEEP": " ".join(f"kept[{place}] = ahead[{place}];" for place in range(len(rule.scalars))),
        "RULE": " ".join(text.statements),
        "STORES": f"vector[i] = {new.name};",
    }
