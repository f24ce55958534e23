"""What a network consists of: `print(nn.summary(network, (224, 224, 3)))`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod

import tensor
from nn.layer import BufferPlan, Layer
from tensor import Array, Device
from tensor.dtypes import DType
from tensor.primitive import watching_calls

_HEADINGS = ("layer", "type", "output", "parameters", "operations", "bytes")


@dataclass(frozen=True)
class LayerSummary:
    """One call of a layer, for one sample; `parameters` count where a layer is called first."""

    name: str
    type_name: str
    output_shape: tuple[int, ...]
    parameters: int
    operations: int
    activation_bytes: int


@dataclass(frozen=True)
class Summary:
    """The layers of a network in the order of their calls; `str` of it is a table."""

    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(each.parameters for each in self.layers)

    @property
    def operations(self) -> int:
        """Multiplications and additions of matrix products and convolutions, for one sample."""
        return sum(each.operations for each in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs, for one sample."""
        return sum(each.activation_bytes for each in self.layers)

    def __str__(self) -> str:
        totals = f"{self.parameters:,}", f"{self.operations:,}", f"{self.activation_bytes:,}"
        rows = [_HEADINGS, *map(_cells, self.layers), ("total", "", "", *totals)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_line(row, widths) for row in rows]
        rule = "─" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summary(network: Layer, input_shape: Sequence[int], dtype: DType = tensor.float32) -> Summary:
    """The layers of `network` for one input of `input_shape` (without the batch): shapes, sizes and work.

    It computes one sample of zeros in evaluation: where the network lies, or by NumPy if it is not
    initialized, with weights that take no memory. Operations are two for each product that a convolution or a
    matrix product adds; bytes are those of the outputs, 0 of one that is a view of its input. `dtype` is that
    of the input: an integer one for an Embedding. Raises what the network raises at a wrong shape.
    """
    was_training = [layer for _, layer in network.layers() if layer.training]
    device = _device_of(network)
    with _placeholders(network), _watched(network) as rows:
        try:
            network.evaluate()
            network(tensor.zeros((1, *input_shape), dtype=dtype, device=device))
        finally:
            for layer in was_training:
                layer.training = True
    return Summary(tuple(rows))


def _device_of(network: Layer) -> Device:
    present = (layer.__dict__.get(attribute) for _, layer, attribute, _ in network._named_plans())
    return next((each.device for each in present if each is not None), tensor.device("numpy"))


@contextmanager
def _placeholders(network: Layer) -> Iterator[None]:
    """Zeros of every missing parameter's shape, all in the same four bytes."""
    plans = network._named_plans()
    missing = [(layer, name, plan) for _, layer, name, plan in plans if name not in layer.__dict__]
    zero = tensor.zeros((), device="numpy")
    for layer, name, plan in missing:
        setattr(layer, name, tensor.broadcast_to(zero, plan.shape))
    try:
        yield
    finally:
        for layer, name, _ in missing:
            delattr(layer, name)


class _Work:
    """Counts the operations of primitives, as a watch of `tensor`."""

    def __init__(self) -> None:
        self.operations = 0
        self._under_way: list[str] = []

    def begin(self, name: str) -> None:
        """Note which one begins."""
        self._under_way.append(name)

    def end(self, inputs: Sequence[Array], output: Array | None) -> None:
        """Add what it computed."""
        name = self._under_way.pop()
        if output is None:
            return
        if name == "matmul":
            self.operations += 2 * output.size * inputs[0].shape[-1]
        elif name == "conv2d":
            self.operations += 2 * output.size * prod(inputs[1].shape[1:])
        elif name == "conv2d_backward_data":
            self.operations += 2 * inputs[0].size * prod(inputs[1].shape[1:])


@contextmanager
def _watched(network: Layer) -> Iterator[list[LayerSummary]]:
    """The rows of what is called inside: each layer's own `forward` stands behind one that looks on."""
    rows: list[LayerSummary] = []
    layers = {id(layer): (path, layer) for path, layer in reversed([*network.layers()])}
    work, counted = _Work(), set[int]()

    def look_on(path: str, layer: Layer, forward: Callable[..., Array], *inputs: Array) -> Array:
        calls, operations = len(rows), work.operations
        output = forward(*inputs)
        within = rows[calls:]
        own = work.operations - operations - sum(each.operations for each in within)
        parameters = 0 if id(layer) in counted else _own_parameters(layer)
        counted.add(id(layer))
        if not within or own or parameters:
            is_view = any(output.storage is each.storage for each in inputs)
            size = 0 if within or is_view else output.size_bytes
            shape = output.shape[1:]
            rows.append(LayerSummary(path, type(layer).__name__, shape, parameters, own, size))
        return output

    try:
        for path, layer in layers.values():
            layer.forward = partial(look_on, path, layer, layer.forward)
        with watching_calls(work):
            yield rows
    finally:
        for _, layer in layers.values():
            layer.__dict__.pop("forward", None)


def _own_parameters(layer: Layer) -> int:
    return sum(prod(plan.shape) for plan in layer._plans.values() if not isinstance(plan, BufferPlan))


def _cells(row: LayerSummary) -> tuple[str, ...]:
    shape = " × ".join(map(str, row.output_shape))
    numbers = (row.parameters, row.operations, row.activation_bytes)
    return row.name, row.type_name, shape, *(f"{each:,}" if each else "" for each in numbers)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*words, *numbers])
