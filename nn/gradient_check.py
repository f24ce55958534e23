"""Is a gradient right? Compare it with finite differences."""

from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.autograd import differentiate, recording
from nn.errors import GradientError
from nn.layer import Layer
from tensor import Array

Index = tuple[int, ...]
Floats = NDArray[Any]  # float32, or float64


def check_gradient(
    network: Layer,
    *inputs: Array,
    elements: int = 16,
    difference: float | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    """Raise `GradientError` unless the gradients of parameters and inputs agree with finite differences.

    The function checked is Σ r·network(*inputs) with random weights r. Of each array `elements` random
    elements are moved by ±`difference`, and the change must be within `tolerance` of what the gradient says,
    relative to the array's largest gradient. Keep inputs further than `difference` from kinks, such as 0 for
    a ReLU and ties for a MaxPool2d. They are 0.02 and 0.005 by default; 1e-5 and 1e-6 where parameters and
    inputs are float64, which is 5,000 times as sharp: `network.initialize(dtype="float64")`. Inputs of other
    dtypes stay as they are.
    """
    generator = numpy.random.default_rng(seed)
    sources = {**network.parameters(), **_floating(inputs)}
    in_double = all(x.dtype == tensor.float64 for x in sources.values())
    if difference is None:
        difference = 1e-5 if in_double else 0.02
    if tolerance is None:
        tolerance = 1e-6 if in_double else 0.005
    weights, gradients = _gradients(network, inputs, sources, generator)
    for name, source in sources.items():
        scale = max(float(numpy.abs(gradients[name]).max(initial=0)), 1e-3)
        for index in _some(source.shape, elements, generator):
            expected = _finite_difference(network, inputs, source, index, difference, weights)
            got = float(gradients[name][index])
            if not abs(got - expected) <= tolerance * scale:
                raise GradientError(
                    f"The gradient of {name}{list(index)} in {network.title} is {got:.6g}; "
                    f"finite differences give {expected:.6g}. Check its backward(), or nn.derivative."
                )


def _floating(inputs: tuple[Array, ...]) -> dict[str, Array]:
    """Those inputs that have the digits for finite differences."""
    known = tensor.float32, tensor.float64
    return {f"input {index}": x for index, x in enumerate(inputs) if x.dtype in known}


def _gradients(
    network: Layer, inputs: tuple[Array, ...], sources: dict[str, Array], generator: numpy.random.Generator
) -> tuple[Floats, dict[str, Floats]]:
    with recording([*sources.values()]) as tape:
        output = network(*inputs)
    weights = generator.uniform(0.5, 1.5, output.shape).astype(output.dtype)
    gradients: dict[str, Floats] = {}
    names = list(sources)

    def receive(index: int, gradient: Array | None) -> None:
        source = sources[names[index]]
        zeros = numpy.zeros(source.shape, source.dtype)
        gradients[names[index]] = zeros if gradient is None else numpy.asarray(gradient)

    differentiate(tape, output, tensor.asarray(weights, device=output.device), receive)
    return weights, gradients


def _some(shape: Index, count: int, generator: numpy.random.Generator) -> Iterator[Index]:
    size = int(numpy.prod(shape))
    for flat in generator.choice(size, size=min(count, size), replace=False):
        yield tuple(int(part) for part in numpy.unravel_index(flat, shape))


def _finite_difference(
    network: Layer,
    inputs: tuple[Array, ...],
    source: Array,
    index: Index,
    difference: float,
    weights: Floats,
) -> float:
    """(f(x + d) − f(x − d)) / 2d for one element of `source`, which is put back; summed in float64."""
    before = float(source[index])
    values = []
    for moved in (before + difference, before - difference):
        source[index] = moved
        values.append(numpy.sum(numpy.asarray(network(*inputs), dtype=numpy.float64) * weights))
    source[index] = before
    return float(values[0] - values[1]) / (2 * difference)
