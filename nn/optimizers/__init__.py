"""How parameters follow from gradients, one launch or a few over the network's flat vector; with the same
bits everywhere."""

from typing import Any, TypeVar

from nn.errors import NetworkError
from nn.optimizers.adaptive import Adam, AdamW, RMSprop
from nn.optimizers.descent import SGD
from nn.optimizers.layerwise import LAMB
from nn.optimizers.optimizer import Optimizer

__all__ = ["LAMB", "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "load_optimizer", "register_optimizer"]

OptimizerType = TypeVar("OptimizerType", bound=type[Optimizer])

_TYPES: dict[str, type[Optimizer]] = {each.type_name: each for each in (SGD, Adam, AdamW, RMSprop, LAMB)}


def register_optimizer(made: OptimizerType) -> OptimizerType:
    """Make the decorated `Optimizer` class known by its `type_name`, so that jobs can name it."""
    present = _TYPES.get(made.type_name)
    if not made.type_name or (present is not None and present.__qualname__ != made.__qualname__):
        raise NetworkError(f"{made.__name__} needs a type_name of its own; {made.type_name!r} is none.")
    _TYPES[made.type_name] = made
    return made


def load_optimizer(definition: dict[str, Any]) -> Optimizer:
    """The optimizer that `definition()` describes: {"type": "sgd", "params": {"lr": …, "momentum": …, …}}.

    Raises `NetworkError` for an unknown type, or parameters that do not fit it.
    """
    made = _TYPES.get(str(definition.get("type")))  # str: whatever it is, a peer may have sent it
    if made is None:
        raise NetworkError(
            f"There is no optimizer of type {definition.get('type')!r}. Known are: {', '.join(_TYPES)}."
        )
    try:
        return made(**definition.get("params", {}))
    except TypeError as error:
        raise NetworkError(f"The optimizer {definition!r} cannot be made: {error}.") from error
