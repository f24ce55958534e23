"""Which image is flattened before a Linear: the order of its columns depends on it."""

from collections.abc import Mapping, Sequence

from nn.errors import NetworkError
from nn.graph import Node, trace
from nn.interchange.traced import INPUT, traced
from nn.layer import Layer
from nn.layer_types import form_of
from nn.layers import GELU, Dropout, Flatten, LeakyReLU, Linear, ReLU, ReLU6, Sigmoid, SiLU, Tanh

ELEMENTWISE = (ReLU, ReLU6, LeakyReLU, Sigmoid, Tanh, SiLU, GELU, Dropout)

_REMEDY = (
    "definitions do not know, and the network has a Flatten: give the Linear after it the image's shape "
    "instead, as nn.Linear((height, width, channels), …)"
)


def flattened_images(network: Layer, input_shape: Sequence[int] | None) -> Mapping[str, tuple[int, ...]]:
    """By a Linear's path: the image [H, W, C] that a Flatten before it made one axis of.

    Raises `NetworkError` where there is one and `input_shape` is not given, since its size depends on that.
    """
    if not any(isinstance(layer, Flatten) for _, layer in network.layers()):
        return {}
    nodes, _ = trace(network, _is_known, INPUT, _REMEDY)
    flat = _taking_flat(nodes)
    if not flat:
        return {}
    if input_shape is None:
        raise NetworkError(
            f"{next(iter(flat))!r} takes what a Flatten makes: say input_shape=(height, width, channels), so "
            "that its columns can be put in the order of other programs."
        )
    shapes = traced(network, input_shape, _is_known, _REMEDY).shapes
    return {path: shapes[blob] for path, blob in flat.items() if len(shapes[blob]) == 3}


def _taking_flat(nodes: Sequence[Node]) -> dict[str, str]:
    """By the path of a layer with parameters: the blob that was flattened for it."""
    flattened: dict[str, str] = {}
    taking = {}
    for node in nodes:
        source = flattened.get(node.inputs[0])
        if isinstance(node.layer, Flatten):
            flattened[node.output] = source or node.inputs[0]
        elif source and isinstance(node.layer, ELEMENTWISE):
            flattened[node.output] = source
        elif source and isinstance(node.layer, Linear):
            taking[node.name] = source
    return taking


def _is_known(layer: Layer) -> bool:
    return form_of(layer) is not None
