"""Where a NaN or an infinity came from: a step done once more, looking at every layer.

It waits for the device after each layer, so it is for when a loss or a gradient was found not to be finite.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy

import tensor
from nn.autograd import require_scalar, walk
from nn.layer import Layer
from nn.tape import Tape, Value, own_backward
from tensor import Array, Primitive
from tensor.primitive import calls_through

Where = Literal["input", "parameter", "buffer", "rounding", "forward", "loss", "backward"]

_WORDS = {
    "input": "The {name} had {value} at {index} before the step began",
    "parameter": "The parameter {name} had {value} at {index} before the step began",
    "buffer": "The buffer {name} had {value} at {index} before the step began",
    "rounding": "The parameter {name} has {value} at {index}, which {of} cannot hold",
    "forward": "The first layer with one is {name}: its output has {value} at {index}",
    "loss": "All layers' outputs are finite, and the loss of them is {value}",
    "backward": "Forward all is finite; on the way back the first layer with one is {name}: the gradient of "
    "{of} has {value} at {index}",
}
_ADVICE = {
    "input": "Look at the data: what is not finite there cannot be learnt.",
    "parameter": "An earlier step went too far: begin again, with a smaller lr or with clip_norm.",
    "buffer": "An earlier batch had statistics that are not finite: look at its data, and begin again.",
    "rounding": "Use bfloat16, which has the range of float32.",
    "forward": "Try a smaller lr, or clip_norm of the optimizer, or smaller initial weights.",
    "loss": "Check that labels are within the classes; else try a smaller lr, or clip_norm of the optimizer.",
    "backward": "Try a smaller lr, or clip_norm of the optimizer; a root, a logarithm or a division of 0 has "
    "an infinite gradient.",
}


@dataclass(frozen=True)
class NonFinite:
    """The first value of a step that is NaN or infinite; `str` of it is a sentence, `advice` another one.

    `name`: the layer's path and type, the parameter or the input; `of`: on the way back, whose gradient;
    `index`: the place of the value within its array. Where `nn.mixed_precision` has rounded a finite
    parameter to an infinite one, `value` is that before, and `of` the dtype.
    """

    where: Where
    name: str
    index: tuple[int, ...]
    value: float
    of: str = ""

    def __str__(self) -> str:
        return _WORDS[self.where].format(name=self.name, value=self.value, index=list(self.index), of=self.of)

    @property
    def advice(self) -> str:
        """What one might do about it."""
        return _ADVICE[self.where]


class _Found(Exception):  # noqa: N818 - it ends the pass
    def __init__(self, finding: NonFinite) -> None:
        self.finding = finding


def first_non_finite(network: Layer, loss_function: Callable[..., Array], *inputs: Any) -> NonFinite | None:
    """Do a training step again, and say where its first NaN or infinity is; None if all is finite.

    `loss_function` and `inputs` are those of `value_and_grad`. Looked at, in this order: inputs, parameters
    and buffers; the output of every layer, in the order in which they return, so layers within go before what
    they are in; the loss; the gradients, in the order of the way back. `network.gradient` is left as it is; a
    BatchNorm observes the batch again. With a Dropout, `network.randomness` has to be set as it was.
    """
    try:
        for finding in _before(network, inputs):
            return finding
        tape = _Looking(network)
        with calls_through(tape):
            loss = loss_function(*inputs)
        require_scalar(loss, network)
        _look(loss, "loss", "loss")
        _look_back(tape, loss)
    except _Found as found:
        return found.finding
    return None


def _before(network: Layer, inputs: tuple[Any, ...]) -> Iterator[NonFinite]:
    own = {entry.name: network.vector[entry.span].reshape(entry.shape) for entry in network.table}
    arrays: list[tuple[Where, str, Any]] = [
        *(("input", f"input {number}", x) for number, x in enumerate(inputs)),
        *(("parameter", name, x) for name, x in own.items()),
        *(("buffer", name, x) for name, x in network.buffers().items()),
    ]
    for where, name, x in arrays:
        found = _bad_value(x) if isinstance(x, Array) else None
        if found is not None:
            yield NonFinite(where, name, *found)
    for name, x in network.parameters().items():
        found = _bad_value(x) if x.dtype in tensor.dtypes.STORED else None
        if found is not None:
            index, _ = found
            yield NonFinite("rounding", name, index, float(own[name][index]), x.dtype.name)


class _Looking(Tape):
    """A tape that knows the layer of each step and looks at the output of each layer."""

    def __init__(self, network: Layer) -> None:
        parameters = network.parameters()
        super().__init__([*parameters.values()])
        self.makers: list[str] = []  # of the steps' outputs
        self.names = dict(zip(self.source_values, parameters, strict=True))
        self._paths = {id(layer): path for path, layer in network.layers()}
        self._under_way: list[str] = []

    def call(self, layer: Layer, inputs: tuple[Array, ...]) -> Array:
        path = self._paths.get(id(layer)) or layer.name
        self._under_way.append(f"{path!r} ({type(layer).__name__})" if path else type(layer).__name__)
        output = super().call(layer, inputs)
        _look(output, "forward", self._under_way.pop())
        return output

    def note(
        self, primitive: Primitive, inputs: tuple[Array, ...], parameters: dict[str, Any], output: Array
    ) -> None:
        super().note(primitive, inputs, parameters, output)
        if len(self.steps) > len(self.makers):
            self.makers.append(self._under_way[-1] if self._under_way else "the loss function")


def _look_back(tape: _Looking, loss: Array) -> None:
    end = tape.end_of_forward(loss)
    gradients: dict[Value, Array] = {}
    if end is not None:
        gradients[end] = tensor.ones((), dtype=loss.dtype, device=loss.device)
    while tape.steps:
        maker, step = tape.makers[len(tape.steps) - 1], tape.pop()
        walk(step, gradients)
        is_whole = step.primitive is own_backward
        inside = "its input" if is_whole else f"an input of its {step.primitive.name}"
        for x in step.inputs:
            if x in gradients:
                of = f"the parameter {tape.names[x]}" if x in tape.names else inside
                _look(gradients[x], "backward", maker, of)


def _look(x: Array, where: Where, name: str, of: str = "") -> None:
    found = _bad_value(x)
    if found is not None:
        raise _Found(NonFinite(where, name, *found, of))


def _bad_value(x: Array) -> tuple[tuple[int, ...], float] | None:
    """Index and value of the first element that is not finite."""
    if tensor.dtypes.kind(x.dtype) != "f" or bool(tensor.all(tensor.isfinite(x))):
        return None
    values = numpy.asarray(x)
    index = tuple(int(each) for each in numpy.argwhere(~numpy.isfinite(values))[0])
    return index, float(values[index])
