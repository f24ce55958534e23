"""A perceptron with layers between."""

from collections.abc import Sequence
from itertools import pairwise

from nn.errors import NetworkError
from nn.layers import Linear, ReLU, Sequential


def mlp(
    input_shape: Sequence[int] = (28, 28, 1), classes: int = 10, hidden: Sequence[int] = (256, 128)
) -> Sequential:
    """Linear layers of the sizes `hidden`, a ReLU after each, and one to the classes.

    Takes float32 [N, *input_shape], gives logits [N, classes].
    """
    sizes = (*hidden, classes)
    if not input_shape or min(*input_shape, *sizes) < 1:
        raise NetworkError(f"mlp expected sizes of at least 1, got {tuple(input_shape)}, {tuple(hidden)}.")
    network: dict[str, Linear | ReLU] = {"fc1": Linear(tuple(input_shape), sizes[0], init="he")}
    for number, (before, size) in enumerate(pairwise(sizes), 2):
        network[f"relu{number - 1}"] = ReLU()
        network[f"fc{number}"] = Linear(before, size, init="he")
    return Sequential(**network)
