"""`Layer`, from which all networks are made, and the flat vectors of their parameters and gradients.

Assigning a `Parameter`, a `Buffer`, a `Layer` or a list of layers to an attribute registers it under the
attribute's name. The network, which is nothing but the outermost layer, is given memory by `initialize`: ONE
vector, `state`, of float32 or float64, for all parameters and after them all buffers, and one, `change`, for
the parameters' gradients and after them what the batch had for the buffers. `vector` and `gradient` are the
parameters' parts of the two. A parameter is a view of a slice, and `table` says which one. So an optimizer, a
codec or an exchange works on the whole network with one launch and need not know its layers.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy

import tensor
from nn import autograd
from nn.errors import LayerShapeError, NetworkError, NotInitializedError
from nn.follow import follow
from nn.initialization import Initializer, initial_value, zeros
from nn.randomness import Randomness
from tensor import Array, Device
from tensor.dtypes import DType
from tensor.errors import ShapeError

if TYPE_CHECKING:
    from nn.optimizers import Optimizer


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
    """Plan a trainable array of `shape` for the attribute that it is assigned to.

    The type is `Any`, as that of `dataclasses.field` is: after `network.initialize()` the attribute is a
    `tensor.Array`, and may be annotated so.
    """
    return ParameterPlan(tuple(shape), initializer)


@dataclass(frozen=True)
class BufferPlan(ParameterPlan):
    """What a buffer will be once its network is initialized; `rate` is how fast it follows the batches."""

    rate: float


def Buffer(shape: Sequence[int], initializer: Initializer = zeros, rate: float = 0.1) -> Any:  # noqa: N802 — as above
    """Plan an array that no gradient leads to but that follows the batches, such as running statistics.

    In training the layer says what a batch has by `self.observe(name, value)`; the step that follows moves
    the buffer towards it: buffer ← buffer + rate · (value − buffer). Peers move it towards the mean of
    theirs.
    """
    return BufferPlan(tuple(shape), initializer, rate)


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
    loss_options: Mapping[str, Any] = MappingProxyType({})  # such as {"label_smoothing": 0.1}
    takes: DType | None = None  # what float32 inputs become: for float64 networks, and nn.mixed_precision
    is_chain = False  # whether forward() does nothing but call the layers within
    arguments: dict[str, Any]
    training: bool
    table: tuple[Entry, ...]
    buffer_table: tuple[Entry, ...]
    state: Array
    change: Array
    vector: Array
    gradient: Array
    randomness: Randomness
    _plans: dict[str, ParameterPlan]
    _observed: dict[str, Array]
    _rates: Array
    _children: dict[str, "Layer"]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor's arguments, for `repr` and `nn.to_definition`, and begin the registers.

        Here and not in `__init__`, so that an author need not call `super().__init__()`.
        """
        layer = super().__new__(cls)
        layer.name = layer.path = ""
        layer.training = True
        layer._plans, layer._children, layer._observed = {}, {}, {}
        bound = inspect.signature(cls.__init__).bind(layer, *args, **kwargs)
        layer.arguments = dict(list(bound.arguments.items())[1:])
        return layer

    def _no_forward(self, *inputs: Array) -> Array:
        raise NetworkError(f"{self} has no forward(): write what it computes as `def forward(self, x)`.")

    forward: Callable[..., Array] = _no_forward

    def __call__(self, *inputs: Array) -> Array:
        if inputs and isinstance(inputs[0], Blob):
            return inputs[0].apply(self, inputs)  # type: ignore[no-any-return]  # a blob, for an array
        if self.takes is not None:
            inputs = tuple([_rounded(x, self.takes) for x in inputs])
        try:
            return autograd.call(self, inputs)
        except ShapeError as error:  # of an operation in forward(), which does not know where it is
            if type(error) is not ShapeError:
                raise
            raise LayerShapeError(f"{self.title}: {error}") from error

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
                "state",
                "change",
                "vector",
                "gradient",
                "table",
                "buffer_table",
                "randomness",
            ):
                raise NotInitializedError(f"{self} has no {name} yet: call network.initialize() first.")
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def layers(self, prefix: str = "") -> Iterator[tuple[str, "Layer"]]:
        """This layer and all within it, outermost first, each with its path, such as "block.0.conv"."""
        yield prefix, self
        for name, child in self._children.items():
            yield from child.layers(f"{prefix}.{name}" if prefix else name)

    def stages(self) -> Iterator["Layer"]:
        """The layers within that a pass goes through one by one, so that it may be cut between them."""
        for child in self._children.values():
            yield from child.stages() if child.is_chain else (child,)

    # The network as a whole

    def initialize(
        self, device: str | Device | None = None, seed: int = 0, dtype: DType | str = tensor.float32
    ) -> Self:
        """Give the network memory on `device` and its first values, a pure function of `seed` and the table.

        Sets `state`, `change` ([P + B]), their parts `vector`, `gradient` ([P]), `table`, `buffer_table` and
        `randomness`; returns the network itself. `dtype`: float32, or float64 to compute in double precision,
        from the same first values; inputs in float32 become float64 in the layers that have parameters.
        Raises `NetworkError` for another one.
        """
        chosen, dtype = tensor.device(device), _known_dtype(dtype)
        plans = sorted(self._named_plans(), key=lambda each: isinstance(each[3], BufferPlan))
        table = tuple(_table(plans))
        buffers = sum(isinstance(plan, BufferPlan) for *_, plan in plans)
        self.table, self.buffer_table = table[: len(table) - buffers], table[len(table) - buffers :]
        host = numpy.empty(sum(entry.size for entry in table), dtype=dtype)
        for entry, (name, _, _, plan) in zip(table, plans, strict=True):
            host[entry.span] = initial_value(plan.initializer, plan.shape, seed, name).ravel()
        self.state = tensor.asarray(host, device=chosen)
        self.change = tensor.zeros(host.shape, dtype=dtype, device=chosen)
        parameters = sum(entry.size for entry in self.table)
        self.vector, self.gradient = self.state[:parameters], self.change[:parameters]
        rates = numpy.zeros(host.size - parameters, dtype=dtype)
        for entry, (_, layer, attribute, plan) in zip(table, plans, strict=True):
            setattr(layer, attribute, self.state[entry.span].reshape(plan.shape))
            if isinstance(plan, BufferPlan):
                layer._observed[attribute] = self.change[entry.span].reshape(plan.shape)
                rates[entry.offset - parameters : entry.offset - parameters + entry.size] = plan.rate
        self._rates = tensor.asarray(rates, device=chosen)
        randomness = Randomness(seed, chosen)
        for path, layer in self.layers():
            layer.path, layer.randomness = path, randomness
            layer.takes = tensor.float64 if dtype == tensor.float64 and layer._plans else None
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
        return self._planned(buffers=False)

    def buffers(self) -> dict[str, Array]:
        """Every buffer by its name in the buffer table, such as "bn1.running_mean"; views of `state`."""
        return self._planned(buffers=True)

    def _planned(self, buffers: bool) -> dict[str, Array]:
        return {
            name: getattr(layer, attribute)
            for name, layer, attribute, plan in self._named_plans()
            if isinstance(plan, BufferPlan) == buffers
        }

    def observe(self, name: str, value: Array) -> None:
        """Say what the batch at hand has for the buffer `name` of this layer; for `forward`, in training."""
        with tensor.not_recording_calls():
            self._observed[name][...] = value

    def advance(
        self, optimizer: "Optimizer", state: Array | None = None, change: Array | None = None
    ) -> None:
        """One step: parameters by the optimizer along their gradients, buffers towards what was observed.

        `state` and `change` ([P + B], the network's own unless given) are those of any network with this
        table and dtype. No wait.
        """
        whole = self.state if state is None else state
        by = self.change if change is None else change
        parameters = self.vector.size
        optimizer.step(whole[:parameters], by[:parameters])
        if self.buffer_table:
            follow(whole[parameters:], by[parameters:], self._rates)

    def gradients(self) -> dict[str, Array]:
        """Every parameter's gradient by its name in the table; views of `gradient`."""
        return {entry.name: self.gradient[entry.span].reshape(entry.shape) for entry in self.table}

    def train(self) -> Self:
        """Behave as in training: Dropout drops, BatchNorm uses the batch's own statistics."""
        return self._set_training(True)

    def evaluate(self) -> Self:
        """Behave as in use: Dropout does nothing, BatchNorm uses its running statistics."""
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
        """The layer in an error message: its type, and its path in the network, or its name."""
        name = self.path or self.name
        return f"{type(self).__name__} {name!r}" if name else type(self).__name__

    def shape_error(self, expected: str, got: Sequence[int]) -> LayerShapeError:
        """The error that an input of shape `got` does not fit; `expected` is in words: "[N, 28, 28, 1]"."""
        return LayerShapeError(f"{self.title} expected an input of shape {expected}, got {list(got)}.")


def _known_dtype(dtype: DType | str) -> DType:
    known = tensor.dtypes.as_dtype(dtype)
    if known not in (tensor.float32, tensor.float64):
        raise NetworkError(
            f"initialize: expected a dtype of float32 or float64, got {known}; to compute in 16 bits see "
            "nn.mixed_precision."
        )
    return known


def _rounded(x: Array, dtype: DType) -> Array:
    return tensor.astype(x, dtype) if x.dtype == tensor.float32 else x


def _table(plans: Sequence[tuple[str, Layer, str, ParameterPlan]]) -> Iterator[Entry]:
    offset = 0
    for name, _, _, plan in plans:
        size = math.prod(plan.shape)
        yield Entry(name, plan.shape, offset, size)
        offset += size
