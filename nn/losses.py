"""What a network is trained to make small, and how good it is."""

from collections.abc import Callable
from typing import Literal

import tensor
from nn.errors import LayerShapeError, NetworkError
from tensor import Array


def softmax_cross_entropy(
    logits: Array, labels: Array, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Array:
    """−log of the probability that softmax(logits) gives the right class: mean or sum over the batch, or [N].

    logits: float32 [N, classes]; labels: int32 [N] within [0, classes). Raises `LayerShapeError`.
    """
    _check("softmax_cross_entropy", logits, labels)
    losses = tensor.softmax_cross_entropy(logits, labels)
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise LayerShapeError(
            f"softmax_cross_entropy knows the reductions mean, sum and none, not {reduction!r}."
        )
    return tensor.mean(losses) if reduction == "mean" else tensor.sum(losses)


Loss = Callable[..., Array]

_LOSSES: dict[str, Loss] = {"softmax_cross_entropy": softmax_cross_entropy}


def by_name(name: str) -> Loss:
    """The loss that a definition calls `name`; raises `NetworkError` for an unknown one."""
    if name not in _LOSSES:
        raise NetworkError(f"There is no loss {name!r}. Known are: {', '.join(_LOSSES)}.")
    return _LOSSES[name]


def accuracy(logits: Array, labels: Array) -> Array:
    """The part of the batch, within [0, 1], whose largest logit is the right class; a scalar on the device.

    logits: float32 [N, classes]; labels: int32 [N]. Of equal largest logits the first counts. Raises
    `LayerShapeError`.
    """
    _check("accuracy", logits, labels)
    right = tensor.equal(tensor.argmax(logits, axis=1), labels)
    return tensor.mean(tensor.astype(right, tensor.float32))


def _check(function: str, logits: Array, labels: Array) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise LayerShapeError(
            f"{function} expected logits [N, classes] and labels [N], "
            f"got {list(logits.shape)} and {list(labels.shape)}."
        )
