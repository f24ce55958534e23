"""Reverse-mode differentiation.

While a tape is on (`nn.tape`), every call of a primitive that depends on a source (a parameter) is noted: its
inputs, its parameters, its output. The chain rule then walks that list backwards once. For y = f(a, b), with
`gradient` = dL/dy at hand, the rules of f in `nn.derivatives` give what dL/da and dL/db gain. Only what leads
from a source to the output is walked, so that, for instance, the first convolution's input has no gradient
computed; a call's arrays are let go of as soon as it has been walked.

A source's gradient is final when the earliest call that used it has been walked. So the last layer's
gradients are known first, while most of the walk is still to come, and the mesh can send them meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import tensor
from nn.deposit import Deposit
from nn.derivatives import joint_rule_of, rule_of, sum_to
from nn.errors import GradientError, NetworkError
from nn.mixed_precision import LossScale, Precision, mixed_precision, require_precision
from nn.tape import OUTSIDE, Segments, Step, Tape, Value, own_backward
from tensor import Array
from tensor.constants import constant
from tensor.primitive import calls_through, taping

if TYPE_CHECKING:
    from nn.layer import Entry, Layer

Checkpoint = int | Sequence[str] | None
"""How many segments are computed again, or the paths of the layers that are; None: nothing is."""


@contextmanager
def recording(sources: Sequence[Array], segments: Segments | None = None) -> Iterator[Tape]:
    """A tape of all primitive calls made inside that depend on `sources`."""
    tape = Tape(sources, segments or Segments())
    with calls_through(tape):
        yield tape


def value_and_grad(
    network: "Layer",
    loss_function: Callable[..., Array],
    on_gradient: Callable[["Entry"], None] | None = None,
    accumulate: bool = False,
    checkpoint: Checkpoint = None,
    precision: Precision = "float32",
    loss_scale: LossScale | None = None,
) -> Callable[..., tuple[Array, dict[str, Array]]]:
    """A function that takes what `loss_function` takes, and returns its value and all parameters' gradients.

    The gradients are written to the slices of `network.gradient`, a few small ones together, and returned as
    views of them by parameter name. `on_gradient(entry)` is called as soon as the gradient of one line of
    `network.table` is there, last layer first. With `accumulate` they are added to what is there, for batches
    in several pieces; begin with `network.gradient[...] = 0`. Nothing waits for the device, so all of it may
    be recorded by `tensor.record`; `on_gradient` is a `tensor.host_call`, which a replay calls again.

    `checkpoint` saves memory for another forward pass: the network is cut in so many segments at most, where
    that saves most, and of each only what enters it is kept; or the paths of layers, each of which becomes
    one, such as ["layer1", "layer2"]. The results have the same bits. Cuts lie between the layers that a
    Sequential or a Graph calls, or the network itself.

    `precision` "bfloat16" or "float16" rounds parameters, and what flows through the network and back, to 16
    bits (see `nn.mixed_precision`); gradients of parameters are summed up and stored in float32. float16
    wants a `loss_scale`, an `nn.LossScale`; the gradients that come out are those without it.

        step = nn.value_and_grad(network, lambda x, labels: nn.softmax_cross_entropy(network(x), labels))
        loss, gradients = step(images, labels)

    Raises `GradientError` if the loss is not a scalar of the network's dtype, or cannot be differentiated,
    `NetworkError` for a checkpoint that names no layer, an unknown precision, or 16 bits of a network in
    float64.
    """
    segments = segments_of(network, checkpoint)
    require_precision(precision)

    def run(*inputs: Any) -> tuple[Array, dict[str, Array]]:
        with mixed_precision(network, precision):
            return run_as_it_is(*inputs)

    def run_as_it_is(*inputs: Any) -> tuple[Array, dict[str, Array]]:
        slices = network.gradients()
        with recording([*network.parameters().values()], segments) as tape:
            loss = loss_function(*inputs)
        require_scalar(loss, network)

        if on_gradient is not None:
            for entry in network.buffer_table:  # what was observed for them is there
                tensor.host_call(partial(on_gradient, entry), network.vector.device)

        deposit = Deposit(network, accumulate, on_gradient)
        if loss_scale is None:
            differentiate(tape, loss, constant(1.0, loss.dtype, loss.device), deposit.receive)
        else:
            scale, inverse = loss_scale.factors(loss)
            differentiate(
                tape, loss, scale, lambda at, g: deposit.receive(at, None if g is None else g * inverse)
            )
        deposit.finish()
        return loss, slices

    return run


def segments_of(network: "Layer", checkpoint: Checkpoint) -> Segments:
    """The plan that `checkpoint` of `value_and_grad` stands for."""
    if checkpoint is None:
        return Segments()
    if isinstance(checkpoint, int):
        if checkpoint < 1:
            raise NetworkError(f"checkpoint= expected at least one segment, got {checkpoint}.")
        return Segments({id(layer) for layer in network.stages()}, checkpoint)
    layers = dict(network.layers())
    for path in checkpoint:
        if path not in layers:
            known = ", ".join(path for path in layers if path and "." not in path)
            raise NetworkError(
                f"checkpoint= names {path!r}, which is no layer of the network. It has {known}."
            )
    return Segments({id(layers[path]) for path in checkpoint})


def differentiate(
    tape: Tape, output: Array, gradient: Array, receive: Callable[[int, Array | None], None]
) -> None:
    """Walk `tape` backwards from `output`, whose gradient is `gradient`, and consume it.

    `receive(index, gradient)` is called once per source, as soon as its gradient is final: None where
    `output` does not depend on it.
    """
    end, final_at, sources = tape.end_of_forward(output), tape.first_uses(), tape.source_values
    gradients: dict[Value, Array] = {} if end is None else {end: gradient}
    for index in final_at.pop(OUTSIDE, []):
        receive(index, gradients.get(sources[index]))
    while tape.steps:
        walk(tape.pop(), gradients)
        for index in final_at.get(len(tape.steps), []):
            receive(index, gradients.pop(sources[index], None))


def walk(step: Step, gradients: dict[Value, Array]) -> None:
    """Pass the gradient of a step's output on to its inputs."""
    arriving = gradients.pop(step.output, None)
    if arriving is None or not step.output.leads:
        return
    with tensor.float32_results():  # gradients of parameters stay so, whatever they are made from
        contributions = [*_contributions(step, arriving)]
    for x, contribution in contributions:
        if not x.of_source:
            contribution = tensor.astype(contribution, x.valueless.dtype, copy=False)
        present = gradients.get(x)
        gradients[x] = contribution if present is None else present + contribution


def _contributions(step: Step, gradient: Array) -> Iterator[tuple[Value, Array]]:
    """What each input of `step` that leads to a source gains from the output's `gradient`."""
    if step.primitive is own_backward:
        yield from _ask_layer(step, gradient)
        return
    arrays = [value.shown for value in step.inputs]
    joint_rule = joint_rule_of(step.primitive.name)
    if joint_rule is not None:
        wanted = [value.leads for value in step.inputs]
        answers = joint_rule(gradient, step.output.shown, *arrays, wanted=wanted, **step.parameters)
        yield from ((x, answers[argument]) for argument, x in enumerate(step.inputs) if x.leads)
        return
    for argument, x in enumerate(step.inputs):
        if x.leads:
            rule = rule_of(step.primitive.name, argument)
            contribution = rule(gradient, step.output.shown, *arrays, **step.parameters)
            yield x, sum_to(contribution, arrays[argument].shape)


def call(layer: "Layer", inputs: tuple[Array, ...]) -> Array:
    """layer(*inputs), noted by the tape of this thread if there is one."""
    tape = taping.tape
    return tape.call(layer, inputs) if isinstance(tape, Tape) else layer.forward(*inputs)


def _ask_layer(step: Step, gradient: Array) -> Iterator[tuple[Value, Array]]:
    layer, names = step.parameters["layer"], step.parameters["names"]
    inputs = [value.shown for value in step.inputs[: len(step.inputs) - len(names)]]
    answer = layer.backward(gradient, step.output.shown, *inputs)
    of_inputs, of_parameters = answer if _has_parameter_gradients(answer) else (answer, {})
    if isinstance(of_inputs, Array):
        of_inputs = (of_inputs,)
    if len(of_inputs) != len(inputs) or set(of_parameters) != set(names):
        raise GradientError(
            f"{layer.title}.backward() returned gradients of {len(of_inputs)} inputs and of the parameters "
            f"{sorted(of_parameters)}; expected {len(inputs)} and {sorted(names)}."
        )
    answers = (*of_inputs, *(of_parameters[name] for name in names))
    for x, contribution in zip(step.inputs, answers, strict=True):
        if not x.leads:
            continue
        if contribution.shape != x.shown.shape:
            raise GradientError(
                f"{layer.title}.backward() returned a gradient of shape {list(contribution.shape)} for an "
                f"array of shape {list(x.shown.shape)}; they must be the same."
            )
        yield x, contribution


def _has_parameter_gradients(answer: Any) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)


def require_scalar(loss: Any, network: "Layer") -> None:
    dtype = network.vector.dtype
    if not isinstance(loss, Array) or loss.ndim != 0 or loss.dtype != dtype:
        got = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, Array) else type(loss).__name__
        raise GradientError(
            f"A loss must be a {dtype} scalar, got {got}: take the mean or the sum over the batch, in the "
            "network's dtype."
        )
