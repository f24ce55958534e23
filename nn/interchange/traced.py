"""A network as its layers in order, with the shapes of what goes between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensor
from nn.graph import Node, trace
from nn.layer import Layer
from nn.layers import Embedding
from tensor import Array

INPUT = "data"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Traced:
    """Layers, the blob that the last one makes, and every blob's shape for one sample, without the batch."""

    nodes: list[Node]
    output: str
    shapes: dict[str, Shape]
    takes_integers: bool


def traced(
    network: Layer, input_shape: Sequence[int], is_known: Callable[[Layer], bool], remedy: str
) -> Traced:
    """The known layers that `network` calls for an input of `input_shape`; it computes one sample of zeros.

    Raises `DefinitionError` for a layer that is not known, with `remedy`, and what the network raises at a
    wrong shape.
    """
    nodes, output = trace(network, is_known, INPUT, remedy)
    takes_integers = any(isinstance(node.layer, Embedding) and INPUT in node.inputs for node in nodes)
    dtype = tensor.int32 if takes_integers else tensor.float32
    zeros = tensor.zeros((1, *input_shape), dtype=dtype, device=network.vector.device)
    was_training = [layer for _, layer in network.layers() if layer.training]
    network.evaluate()
    try:
        shapes = _shapes(nodes, zeros)
    finally:
        for layer in was_training:
            layer.training = True
    return Traced(nodes, output, shapes, takes_integers)


def _shapes(nodes: list[Node], x: Array) -> dict[str, Shape]:
    last_use = {blob: place for place, node in enumerate(nodes) for blob in node.inputs}
    blobs, shapes = {INPUT: x}, {INPUT: x.shape[1:]}
    for place, node in enumerate(nodes):
        y = node.layer(*(blobs[name] for name in node.inputs))
        blobs[node.output], shapes[node.output] = y, y.shape[1:]
        for name in node.inputs:
            if last_use[name] == place:
                blobs.pop(name, None)
    return shapes
