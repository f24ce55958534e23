"""What a network is trained to make small.

A loss takes the network's outputs, what they should be, and how the losses of all samples become one:
reduction="mean", "sum" or "none". Others are added with `nn.losses.register("name")`, and definitions and
jobs then know them by that name.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tensor
from nn.errors import LayerShapeError, NetworkError
from nn.mixed_precision import in_float32
from tensor import Array

if TYPE_CHECKING:
    from nn.layer import Layer

Reduction = Literal["mean", "sum", "none"]
Loss = Callable[..., Array]
LossType = TypeVar("LossType", bound=Loss)

_LOSSES: dict[str, Loss] = {}


def register(name: str) -> Callable[[LossType], LossType]:
    """Make the decorated loss(outputs, targets, reduction="mean") known as `name`.

    Raises `NetworkError` where another loss has that name.
    """

    def remember(loss: LossType) -> LossType:
        present = _LOSSES.setdefault(name, loss)
        if present.__qualname__ != loss.__qualname__:
            raise NetworkError(f"The loss {name!r} is there already; register {loss.__name__} as another.")
        _LOSSES[name] = loss
        return loss

    return remember


def by_name(name: str, **options: Any) -> Loss:
    """The loss that a definition calls `name`, with the `options` that are its "params" there.

    Raises `NetworkError` for an unknown one, or options that it does not take.
    """
    if name not in _LOSSES:
        raise NetworkError(
            f"There is no loss {name!r}. Known are: {', '.join(_LOSSES)}. "
            "Make one of your own known by @nn.losses.register(name)."
        )
    known = [*inspect.signature(_LOSSES[name]).parameters][2:]
    unknown = next((option for option in options if option not in known or option == "reduction"), None)
    if unknown is not None:
        others = ", ".join(option for option in known if option != "reduction") or "none"
        raise NetworkError(f"The loss {name!r} has no option {unknown!r}; it has: {others}.")
    return partial(_LOSSES[name], **options) if options else _LOSSES[name]


def of(network: "Layer") -> Loss:
    """The loss that `network` names, with its options."""
    return by_name(network.loss, **network.loss_options)


def names() -> tuple[str, ...]:
    """The names that `by_name` knows."""
    return tuple(_LOSSES)


@register("softmax_cross_entropy")
def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Array:
    """−log of the probability that softmax(logits) gives the right class: mean or sum, or one a label.

    With `label_smoothing` s the right class is wanted with probability 1 − s + s / classes and each other
    with s / classes. Labels equal to `ignore_index` lose nothing and do not count in the mean, which is 0
    where all are ignored. logits: float32 [N, ..., classes]; labels: integers [N, ...] within [0, classes),
    the loss of others being NaN. Raises `LayerShapeError`. Source of smoothing: C. Szegedy and others:
    "Rethinking the Inception Architecture", 2015, section 7.
    """
    require_labels("softmax_cross_entropy", logits, labels)
    logits = in_float32(logits)
    if not 0 <= label_smoothing < 1:
        raise NetworkError(f"softmax_cross_entropy: expected 0 ≤ label_smoothing < 1, got {label_smoothing}.")
    rows, wanted = logits.reshape((labels.size, logits.shape[-1])), labels.reshape((labels.size,))
    counted = None
    if ignore_index is not None:
        counted = tensor.not_equal(wanted, ignore_index)
        wanted = tensor.where(counted, wanted, 0)
    losses = tensor.softmax_cross_entropy(rows, wanted)
    if label_smoothing:
        is_wanted = tensor.equal(tensor.arange(rows.shape[1], device=rows.device), wanted[:, None])
        own = tensor.sum(tensor.where(is_wanted, rows, 0.0), axis=1)
        losses = losses + (own - tensor.mean(rows, axis=1)) * label_smoothing
    if counted is None:
        return _reduced("softmax_cross_entropy", losses.reshape(labels.shape), reduction)
    losses = tensor.where(counted, losses, 0.0).reshape(labels.shape)
    if reduction != "mean":
        return _reduced("softmax_cross_entropy", losses, reduction)
    return tensor.sum(losses) / tensor.maximum(tensor.sum(tensor.astype(counted, losses.dtype)), 1.0)


@register("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(logits: Array, targets: Array, reduction: Reduction = "mean") -> Array:
    """log(1 + eˣ) − x · t, which is −log of the probability that sigmoid(x) gives to a target t of 0 or 1.

    Targets between are probabilities. logits: float32 of any shape; targets: the same shape, any real dtype.
    Raises `LayerShapeError`.
    """
    logits, targets = _as_targets("binary_cross_entropy_with_logits", logits, targets)
    losses = tensor.logaddexp(logits, 0.0) - logits * targets
    return _reduced("binary_cross_entropy_with_logits", losses, reduction)


@register("loss")  # its name in the definitions of 2016
@register("squared")
def squared(outputs: Array, targets: Array, reduction: Reduction = "mean") -> Array:
    """(x − t)². outputs: float32 of any shape; targets: the same shape. Raises `LayerShapeError`."""
    outputs, targets = _as_targets("squared", outputs, targets)
    return _reduced("squared", tensor.square(outputs - targets), reduction)


@register("l1")
def l1(outputs: Array, targets: Array, reduction: Reduction = "mean") -> Array:
    """|x − t|. outputs: float32 of any shape; targets: the same shape. Raises `LayerShapeError`."""
    outputs, targets = _as_targets("l1", outputs, targets)
    return _reduced("l1", tensor.abs(outputs - targets), reduction)


@register("huber")
def huber(outputs: Array, targets: Array, reduction: Reduction = "mean", delta: float = 1.0) -> Array:
    """d² / 2 where d = |x − t| ≤ delta, else delta · (d − delta / 2).

    outputs: float32 of any shape; targets: the same shape. Raises `LayerShapeError`. Source: P. Huber:
    "Robust Estimation of a Location Parameter", 1964.
    """
    if not delta > 0:
        raise NetworkError(f"huber: expected delta > 0, got {delta}.")
    outputs, targets = _as_targets("huber", outputs, targets)
    distance = tensor.abs(outputs - targets)
    bounded = tensor.minimum(distance, delta)
    return _reduced("huber", bounded * (distance - bounded * 0.5), reduction)


def require_labels(function: str, logits: Array, labels: Array) -> None:
    """Raise `LayerShapeError` unless labels stand to logits as [N, ...] to [N, ..., classes]."""
    if logits.ndim < 2 or labels.shape != logits.shape[:-1]:
        raise LayerShapeError(
            f"{function} expected logits [N, ..., classes] and labels [N, ...], "
            f"got {list(logits.shape)} and {list(labels.shape)}."
        )


def _as_targets(function: str, outputs: Array, targets: Array) -> tuple[Array, Array]:
    if outputs.shape != targets.shape:
        raise LayerShapeError(
            f"{function} expected outputs and targets of one shape, "
            f"got {list(outputs.shape)} and {list(targets.shape)}."
        )
    wide = in_float32(outputs)
    return wide, tensor.astype(targets, wide.dtype, copy=False)


def _reduced(function: str, losses: Array, reduction: str) -> Array:
    if reduction not in ("mean", "sum", "none"):
        raise LayerShapeError(f"{function} knows the reductions mean, sum and none, not {reduction!r}.")
    if reduction == "none":
        return losses
    return tensor.mean(losses) if reduction == "mean" else tensor.sum(losses)
