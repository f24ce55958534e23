"""How good a network is, in numbers that people read; no gradient comes from them."""

import tensor
from nn.errors import NetworkError
from nn.losses import require_labels, softmax_cross_entropy
from tensor import Array


def accuracy(logits: Array, labels: Array) -> Array:
    """The part of all labels, within [0, 1], whose class has the largest logit; a scalar on the device.

    logits: float32 [N, ..., classes]; labels: integers [N, ...]. Of equal largest logits the first counts.
    Raises `LayerShapeError`.
    """
    require_labels("accuracy", logits, labels)
    right = tensor.equal(tensor.argmax(logits, axis=-1), labels)
    return tensor.mean(tensor.astype(right, tensor.float32))


def top_k_accuracy(logits: Array, labels: Array, k: int = 5) -> Array:
    """The part of all labels, within [0, 1], whose class is among the `k` largest logits; a scalar on the
    device.

    logits: float32 [N, ..., classes]; labels: integers [N, ...]. Of equal logits the first ones count. Raises
    `LayerShapeError`.
    """
    require_labels("top_k_accuracy", logits, labels)
    if k < 1:
        raise NetworkError(f"top_k_accuracy: expected k ≥ 1, got {k}.")
    classes = tensor.arange(logits.shape[-1], device=logits.device)
    own = labels[..., None]
    value = tensor.max(
        tensor.where(tensor.equal(classes, own), logits, -float("inf")), axis=-1, keepdims=True
    )
    before = (logits > value) | (tensor.equal(logits, value) & (classes < own))
    right = tensor.sum(tensor.astype(before, tensor.float32), axis=-1) < float(k)
    return tensor.mean(tensor.astype(right, tensor.float32))


def perplexity(logits: Array, labels: Array, ignore_index: int | None = None) -> Array:
    """e to the mean softmax cross-entropy: among how many equally likely classes the network still guesses.

    A scalar on the device. logits: float32 [N, ..., classes]; labels: integers [N, ...], of which those equal
    to `ignore_index` do not count. Raises `LayerShapeError`.
    """
    return tensor.exp(softmax_cross_entropy(logits, labels, ignore_index=ignore_index))
