"""Networks by name."""

from collections.abc import Callable
from typing import Any

from nn.errors import NetworkError
from nn.layer import Layer
from nn.models.lenet import lenet

__all__ = ["by_name", "lenet", "names"]

_MODELS: dict[str, Callable[..., Layer]] = {"lenet": lenet}


def names() -> tuple[str, ...]:
    """The names that `by_name` knows."""
    return tuple(_MODELS)


def by_name(name: str, **arguments: Any) -> Layer:
    """The model `name`, made with `arguments`, such as `input_shape` and `classes`."""
    if name not in _MODELS:
        raise NetworkError(f"There is no model {name!r}. Known are: {', '.join(_MODELS)}.")
    return _MODELS[name](**arguments)
