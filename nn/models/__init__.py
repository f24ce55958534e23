"""Networks by name."""

from collections.abc import Callable
from typing import Any

from nn.errors import NetworkError
from nn.layer import Layer
from nn.models.alexnet import alexnet
from nn.models.chargpt import chargpt
from nn.models.lenet import lenet
from nn.models.mlp import mlp
from nn.models.mobilenet import mobilenet_v2
from nn.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from nn.models.vgg import vgg11, vgg13, vgg16, vgg19

_MODELS: dict[str, Callable[..., Layer]] = {
    "mlp": mlp,
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "vgg13": vgg13,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "mobilenet_v2": mobilenet_v2,
    "chargpt": chargpt,
}

__all__ = [
    "alexnet",
    "by_name",
    "chargpt",
    "lenet",
    "mlp",
    "mobilenet_v2",
    "names",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]


def names() -> tuple[str, ...]:
    """The names that `by_name` knows."""
    return tuple(_MODELS)


def by_name(name: str, **arguments: Any) -> Layer:
    """The model `name`, made with `arguments`, such as `input_shape` and `classes`."""
    if name not in _MODELS:
        raise NetworkError(f"There is no model {name!r}. Known are: {', '.join(_MODELS)}.")
    return _MODELS[name](**arguments)
