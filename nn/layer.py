"""`Layer`, from which all networks are made, and the flat vectors of their parameters and gradients.

Assigning a `Parameter`, a `Layer` or a list of layers to an attribute registers it under the attribute's
name. The network, which is nothing but the outermost layer, is given memory by `initialize`: ONE float32
vector for all parameters and one for their gradients. A parameter is a view of a slice of the first, and
`table` says which slice. So an optimizer, a codec or an exchange works on the whole network with one launch
and need not know its layers.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy

import tensor
from nn import autograd
from nn.errors import LayerShapeError, NetworkError, NotInitializedError
from nn.initialization import Initializer, initial_value, zeros
from nn.randomness import Randomness
from tensor import Array, Device


@dataclass(frozen=True)
class Entry:
    """One line of a network's table: the parameter `name` is vector[offset : offset + size], in `shape`."""

    name: str
    shape: tuple[int, ...]
    offset: int
    size: int

    @property
    def span(self) -> slice:
        """Where the parameter lies in `network.vector`, and its gradient in `network.gradient`."""
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True)
class ParameterPlan:
    """What a parameter will be once its network is initialized."""

    shape: tuple[int, ...]
    initializer: Initializer


def Parameter(shape: Sequence[int], initializer: Initializer = zeros) -> Any:  # noqa: N802 — it stands for a type
    """Plan a trainable float32 array of `shape` for the attribute that it is assigned to.

    The type is `Any`, as that of `dataclasses.field` is: after `network.initialize()` the attribute is a
    `tensor.Array`, and may be annotated so.
    """
    return ParameterPlan(tuple(shape), initializer)


class Blob:
    """What takes an array's place when a network is called to see its structure (nn.graph), not to
    compute."""

    def apply(self, layer: "Layer", inputs: Sequence[Any]) -> Any:
        """What stands for layer(*inputs)."""
        raise NotImplementedError


class Layer:
    """A part of a network, or all of it: `forward` takes arrays to an array.

    An author writes `forward(self, x)` from operations of `tensor` and has its gradient. One who knows a
    better way back also writes `backward(self, gradient, output, *inputs)`, which returns the gradient of the
    input (a tuple for several), or a pair of that and a dict {parameter name: gradient} that also has the
    parameters of layers within, as `self.parameters()` names them; then `forward` may use any code at all.
    """

    name: str
    path: str
    loss: str = "softmax_cross_entropy"  # by its name in nn.losses
    arguments: dict[str, Any]
    training: bool
    table: tuple[Entry, ...]
    vector: Array
    gradient: Array
    randomness: Randomness
    _plans: dict[str, ParameterPlan]
    _children: dict[str, "Layer"]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor's arguments, for `repr` and `nn.to_definition`, and begin the registers.

        Here and not in `__init__`, so that an author need not call `super().__init__()`.
        """
        layer = super().__new__(cls)
        layer.name = layer.path = ""
        layer.training = True
        layer._plans, layer._children = {}, {}
        bound = inspect.signature(cls.__init__).bind(layer, *args, **kwargs)
        layer.arguments = dict(list(bound.arguments.items())[1:])
        return layer

    def _no_forward(self, *inputs: Array) -> Array:
        raise NetworkError(f"{self} has no forward(): write what it computes as `def forward(self, x)`.")

    forward: Callable[..., Array] = _no_forward

    def __call__(self, *inputs: Array) -> Array:
        if inputs and isinstance(inputs[0], Blob):
            return inputs[0].apply(self, inputs)  # type: ignore[no-any-return]  # a blob, for an array
        if hasattr(self, "backward"):
            return autograd.call_with_own_backward(self, inputs)
        return self.forward(*inputs)

    # Registers

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ParameterPlan):
            self._plans[name] = value
            return
        if isinstance(value, Layer):
            self._adopt(name, value)
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Layer) for item in value):
            for index, item in enumerate(value):
                self._adopt(f"{name}.{index}", item)
        super().__setattr__(name, value)

    def _adopt(self, name: str, child: "Layer") -> None:
        child.name = child.name or name
        self._children[name] = child

    if not TYPE_CHECKING:  # a type checker would otherwise take every misspelt attribute for one that exists

        def __getattr__(self, name: str) -> Any:
            if name in self.__dict__.get("_plans", ()) or name in (
                "vector",
                "gradient",
                "table",
                "randomness",
            ):
                raise NotInitializedError(f"{self} has no {name} yet: call network.initialize() first.")
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """This layer and all within it, outermost first, each with its path, such as "block.0.conv"."""
        yield prefix, self
        for name, child in self._children.items():
            yield from child.layers(f"{prefix}.{name}" if prefix else name)

    # The network as a whole

    def initialize(self, device: str | Device | None = None, seed: int = 0) -> Self:
        """Give the network memory on `device` and its first values, a pure function of `seed` and the table.

        Sets `vector`, `gradient` (float32 [P]), `table` and `randomness`; returns the network itself.
        """
        chosen = tensor.device(device)
        plans = list(self._named_plans())
        self.table = tuple(_table(plans))
        host = numpy.empty(sum(entry.size for entry in self.table), dtype=numpy.float32)
        for entry, (name, _, _, plan) in zip(self.table, plans, strict=True):
            host[entry.span] = initial_value(plan.initializer, plan.shape, seed, name).ravel()
        self.vector = tensor.asarray(host, device=chosen)
        self.gradient = tensor.zeros(host.shape, dtype=tensor.float32, device=chosen)
        for entry, (_, layer, attribute, plan) in zip(self.table, plans, strict=True):
            setattr(layer, attribute, self.vector[entry.span].reshape(plan.shape))
        randomness = Randomness(seed, chosen)
        for path, layer in self.layers():
            layer.path, layer.randomness = path, randomness
        return self

    def _named_plans(self) -> Iterator[tuple[str, "Layer", str, ParameterPlan]]:
        seen = set()
        for path, layer in self.layers():
            if id(layer) in seen:  # a layer used in two places has its parameters once
                continue
            seen.add(id(layer))
            for attribute, plan in layer._plans.items():
                yield f"{path}.{attribute}" if path else attribute, layer, attribute, plan

    def parameters(self) -> dict[str, Array]:
        """Every parameter by its name in the table, such as "conv1.weight"; views of `vector`."""
        return {name: getattr(layer, attribute) for name, layer, attribute, _ in self._named_plans()}

    def gradients(self) -> dict[str, Array]:
        """Every parameter's gradient by its name in the table; views of `gradient`."""
        return {entry.name: self.gradient[entry.span].reshape(entry.shape) for entry in self.table}

    def train(self) -> Self:
        """Behave as in training: Dropout drops."""
        return self._set_training(True)

    def evaluate(self) -> Self:
        """Behave as in use: Dropout does nothing."""
        return self._set_training(False)

    def _set_training(self, training: bool) -> Self:
        for _, layer in self.layers():
            layer.training = training
        return self

    # Words for people

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.title}({arguments})"

    __str__ = __repr__

    @property
    def title(self) -> str:
        """The layer in an error message: its type, and its name where it has one."""
        return f"{type(self).__name__} {self.name!r}" if self.name else type(self).__name__

    def shape_error(self, expected: str, got: Sequence[int]) -> LayerShapeError:
        """The error that an input of shape `got` does not fit; `expected` is in words: "[N, 28, 28, 1]"."""
        return LayerShapeError(f"{self.title} expected an input of shape {expected}, got {list(got)}.")


def _table(plans: Sequence[tuple[str, Layer, str, ParameterPlan]]) -> Iterator[Entry]:
    offset = 0
    for name, _, _, plan in plans:
        size = math.prod(plan.shape)
        yield Entry(name, plan.shape, offset, size)
        offset += size
