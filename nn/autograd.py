"""Reverse-mode differentiation.

While a tape is on, `tensor` notes every call of a primitive: its inputs, its parameters, its output. The
chain rule then walks that list backwards once. For y = f(a, b), with `gradient` = dL/dy at hand, the rules of
f in `nn.derivatives` give what dL/da and dL/db gain. Only what leads from a source (a parameter) to the
output is walked, so that, for instance, the first convolution's input has no gradient computed; a call's
arrays are let go of as soon as it has been walked.

A source's gradient is final when the earliest call that used it has been walked. So the last layer's
gradients are known first, while most of the walk is still to come, and the mesh can send them meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import tensor
from nn.derivatives import rule_of, sum_to
from nn.errors import GradientError
from tensor import Array, Call, Primitive

if TYPE_CHECKING:
    from nn.layer import Entry, Layer

_own_backward = Primitive("layer with a backward() of its own")
_tape: ContextVar[list[Call] | None] = ContextVar("nn_tape", default=None)


@contextmanager
def recording() -> Iterator[list[Call]]:
    """A tape of all primitive calls made inside."""
    with tensor.recording_calls() as tape:
        token = _tape.set(tape)
        try:
            yield tape
        finally:
            _tape.reset(token)


def value_and_grad(
    network: "Layer",
    loss_function: Callable[..., Array],
    on_gradient: Callable[["Entry"], None] | None = None,
    accumulate: bool = False,
) -> Callable[..., tuple[Array, dict[str, Array]]]:
    """A function that takes what `loss_function` takes, and returns its value and all parameters' gradients.

    The gradients are written to the slices of `network.gradient`, and returned as views of them by parameter
    name. `on_gradient(entry)` is called as soon as the gradient of one line of `network.table` is final, last
    layer first. With `accumulate` they are added to what is there, for batches in several pieces; begin with
    `network.gradient[...] = 0`. Nothing waits for the device, so all of it may be recorded by
    `tensor.record`; `on_gradient`
    is a `tensor.host_call`, which a replay calls again.

        step = nn.value_and_grad(network, lambda x, labels: nn.softmax_cross_entropy(network(x), labels))
        loss, gradients = step(images, labels)

    Raises `GradientError` if the loss is not a float32 scalar, or cannot be differentiated.
    """

    def run(*inputs: Any) -> tuple[Array, dict[str, Array]]:
        parameters, slices = network.parameters(), network.gradients()
        with recording() as tape:
            loss = loss_function(*inputs)
        _require_scalar(loss)

        if on_gradient is not None:
            for entry in network.buffer_table:  # what was observed for them is there
                tensor.host_call(partial(on_gradient, entry), network.vector.device)

        def receive(index: int, gradient: Array | None) -> None:
            entry = network.table[index]
            if gradient is not None:
                slices[entry.name][...] = slices[entry.name] + gradient if accumulate else gradient
            elif not accumulate:
                slices[entry.name][...] = 0.0
            if on_gradient is not None:
                tensor.host_call(lambda: on_gradient(entry), network.vector.device)

        one = tensor.ones((), dtype=tensor.float32, device=loss.device)
        differentiate(tape, loss, one, list(parameters.values()), receive)
        return loss, slices

    return run


def differentiate(
    tape: list[Call],
    output: Array,
    gradient: Array,
    sources: Sequence[Array],
    receive: Callable[[int, Array | None], None],
) -> None:
    """Walk `tape` backwards from `output`, whose gradient is `gradient`, and consume it.

    `receive(index, gradient)` is called once per source, as soon as its gradient is final: None where
    `output` does not depend on it.
    """
    leading = _leading_to(tape, sources)
    final_at = _last_walked_use(tape, sources)
    gradients = {id(output): gradient}
    for index in final_at.pop(-1, []):
        receive(index, gradients.get(id(sources[index])))
    while tape:
        call = tape.pop()
        arriving = gradients.pop(id(call.output), None)
        if arriving is not None and id(call.output) in leading:
            for x, contribution in _contributions(call, arriving, leading):
                present = gradients.get(id(x))
                gradients[id(x)] = contribution if present is None else present + contribution
        for index in final_at.get(len(tape), []):
            receive(index, gradients.pop(id(sources[index]), None))


def _leading_to(tape: Sequence[Call], sources: Sequence[Array]) -> set[int]:
    """The ids of all floating arrays that depend on a source: those that a gradient has to reach."""
    leading = {id(source) for source in sources}
    for call in tape:
        if any(id(x) in leading for x in call.inputs):
            if call.primitive.in_place:
                raise GradientError(
                    f"{call.primitive.name} wrote in place what depends on a parameter, which has no "
                    "derivative: make a new array instead, with tensor.where for instance."
                )
            if call.output.dtype == tensor.float32:
                leading.add(id(call.output))
    return leading


def _last_walked_use(tape: Sequence[Call], sources: Sequence[Array]) -> dict[int, list[int]]:
    """For positions on the tape, the sources used there and nowhere before; for −1, those used nowhere."""
    first_use: dict[int, int] = {}
    for position, call in enumerate(tape):
        for x in call.inputs:
            first_use.setdefault(id(x), position)
    final_at: dict[int, list[int]] = {}
    for index, source in reversed(list(enumerate(sources))):
        final_at.setdefault(first_use.get(id(source), -1), []).append(index)
    return final_at


def _contributions(call: Call, gradient: Array, leading: set[int]) -> Iterator[tuple[Array, Array]]:
    """What each input of `call` that leads to a source gains from the output's `gradient`."""
    if call.primitive is _own_backward:
        yield from _ask_layer(call, gradient, leading)
        return
    for argument, x in enumerate(call.inputs):
        if id(x) in leading:
            rule = rule_of(call.primitive.name, argument)
            yield x, sum_to(rule(gradient, call.output, *call.inputs, **call.parameters), x.shape)


# Layers with a backward() of their own


def call_with_own_backward(layer: "Layer", inputs: tuple[Array, ...]) -> Array:
    """Run `layer.forward`; on the tape it is one call, whatever happened inside."""
    tape = _tape.get()
    start = 0 if tape is None else len(tape)
    output = layer.forward(*inputs)
    if tape is not None:
        del tape[start:]
        parameters = layer.parameters()
        tape.append(
            Call(
                _own_backward,
                (*inputs, *parameters.values()),
                {"layer": layer, "names": [*parameters]},
                output,
            )
        )
    return output


def _ask_layer(call: Call, gradient: Array, leading: set[int]) -> Iterator[tuple[Array, Array]]:
    layer, names = call.parameters["layer"], call.parameters["names"]
    inputs = call.inputs[: len(call.inputs) - len(names)]
    answer = layer.backward(gradient, call.output, *inputs)
    of_inputs, of_parameters = answer if _has_parameter_gradients(answer) else (answer, {})
    if isinstance(of_inputs, Array):
        of_inputs = (of_inputs,)
    if len(of_inputs) != len(inputs) or set(of_parameters) != set(names):
        raise GradientError(
            f"{layer.title}.backward() returned gradients of {len(of_inputs)} inputs and of the parameters "
            f"{sorted(of_parameters)}; expected {len(inputs)} and {sorted(names)}."
        )
    answers = (*of_inputs, *(of_parameters[name] for name in names))
    for x, contribution in zip(call.inputs, answers, strict=True):
        if id(x) not in leading:
            continue
        if contribution.shape != x.shape:
            raise GradientError(
                f"{layer.title}.backward() returned a gradient of shape {list(contribution.shape)} for an "
                f"array of shape {list(x.shape)}; they must be the same."
            )
        yield x, contribution


def _has_parameter_gradients(answer: Any) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)


def _require_scalar(loss: Any) -> None:
    if not isinstance(loss, Array) or loss.ndim != 0 or loss.dtype != tensor.float32:
        got = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, Array) else type(loss).__name__
        raise GradientError(
            f"A loss must be a float32 scalar, got {got}: take the mean or the sum over the batch."
        )
