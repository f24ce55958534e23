"""Writing with a language model, one token after the other."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers import PositionalEmbedding


def generate(
    network: Layer,
    prompt: Sequence[int] | NDArray[numpy.integer],
    count: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> NDArray[numpy.int32]:
    """`count` tokens that follow `prompt` (at least one), drawn by softmax(logits / temperature); int32
    [count].

    The network takes int32 [1, T] and gives logits [1, T, classes]; it sees as many last tokens as its
    PositionalEmbedding has places, and is in evaluation meanwhile. A temperature of 0 always takes the
    likeliest. The number drawn for a token is a function of (seed, its place) alone. Raises `NetworkError`.
    """
    tokens = [int(each) for each in prompt]
    if not tokens or count < 0 or not temperature >= 0:
        raise NetworkError(
            "generate expected a prompt of at least one token, count ≥ 0 and temperature ≥ 0; "
            f"got {len(tokens)} tokens, {count} and {temperature}."
        )
    places = [layer.length for _, layer in network.layers() if isinstance(layer, PositionalEmbedding)]
    draws = tensor.random.random_uniform((count,), (seed,), device="numpy").numpy()
    modes = [(layer, layer.training) for _, layer in network.layers()]
    network.evaluate()
    try:
        for draw in draws:
            seen = numpy.array([tokens[-min(places, default=0) :]], dtype=numpy.int32)
            logits = network(tensor.asarray(seen, device=network.vector.device))[0, -1].numpy()
            tokens.append(_drawn(logits.astype(numpy.float64), temperature, float(draw)))
    finally:
        for layer, training in modes:
            layer.training = training
    return numpy.array(tokens[len(tokens) - count :], dtype=numpy.int32)


def _drawn(logits: NDArray[numpy.float64], temperature: float, draw: float) -> int:
    """The token within whose part of [0, 1) the number lies."""
    if temperature == 0:
        return int(logits.argmax())
    powers = numpy.exp((logits - logits.max()) / temperature)
    ends = powers.cumsum()
    return min(int(numpy.searchsorted(ends, draw * ends[-1], side="right")), len(ends) - 1)
