"""`Optimizer`, from which all are made: one launch over the network's flat vector, whatever the network.

An author names the vectors that the optimizer keeps and its numbers, and writes one small function:

    class Lion(nn.Optimizer):
        type_name = "lion"
        vectors = ("average",)

        def __init__(self, lr: float, decay: float = 0.99, **options):
            super().__init__(lr, {"decay": decay}, **options)

        def update(self, w, g, state, numbers):
            average = state["average"] * numbers["decay"] + g * (numbers["one"] - numbers["decay"])
            return w - average * numbers["lr"], {"average": average}
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy

import tensor
from nn.errors import LayerShapeError, NetworkError
from nn.launch import CPU_ELEMENTS_EACH, flat_sizes, flushed, precision_of
from nn.optimizers.norm import shortening
from nn.optimizers.rule import Floats, Term, Text, Values, terms
from nn.schedules import Schedule, load_schedule
from tensor import Array
from tensor.dtypes import DType
from tensor.kernel import built

if TYPE_CHECKING:
    from nn.layer import Entry

Number = Any  # Values or Term: what a rule computes with
State = dict[str, Number]


class Optimizer:
    """How parameters follow from gradients.

    `initialize(vector, table)` makes `state`, its vectors ([P], 0) and its scalars ([k], 0), in the dtype of
    `vector`, float32 or float64; the network's `table` says where each parameter lies: only LAMB needs it.
    `step(vector, gradient)` updates vector and state in place and waits for nothing. Every number lives in
    device memory: setting `lr` also holds for a step that was recorded before. All of them take `clip_norm`,
    the longest that a gradient may be, `clip_value`, the largest that an element of it may be, and
    `schedule`, by which `at_step(t)` sets the learning rate.
    """

    type_name: ClassVar[str] = ""
    vectors: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        lr: float,
        numbers: Mapping[str, float],
        clip_norm: float | None = None,
        clip_value: float | None = None,
        schedule: Schedule | Mapping[str, Any] | None = None,
    ) -> None:
        for name, bound in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if bound is not None and not bound > 0:
                raise NetworkError(f"{type(self).__name__} expected {name} > 0, got {bound}.")
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.schedule = load_schedule(schedule) if isinstance(schedule, Mapping) else schedule
        self.numbers = {"one": 1.0, "lr": lr, "clip_value": clip_value or 0.0, **numbers}
        self._base_lr = lr
        self.state: dict[str, Array] = {}
        self._numbers: Array | None = None

    # What an author writes

    def update(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        """The new parameters and the new vectors of `state`, which also has the scalars, already advanced."""
        raise NotImplementedError

    def advance(self, state: State, numbers: State) -> State:
        """The new scalars, once a step and before `update`."""
        return state

    # What the rest of the world uses

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.numbers["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        self.numbers["lr"] = value
        if self._numbers is not None:
            self._numbers[...] = self._values(self._numbers.dtype)

    def at_step(self, step: int) -> None:
        """Set the learning rate that the schedule has for `step`, counted from 1; without one it stays."""
        if self.schedule is not None:
            self.lr = self._base_lr * self.schedule(step)

    def initialize(self, vector: Array, table: "Sequence[Entry]" = ()) -> None:
        """Make the state for a flat vector, float32 or float64 [P], on its device: all 0.

        Without `table` the whole vector counts as one parameter.
        """
        device, dtype = vector.device, vector.dtype
        self.state = {name: tensor.zeros(vector.shape, dtype=dtype, device=device) for name in self.vectors}
        if self.scalars:
            self.state["scalars"] = tensor.zeros((len(self.scalars),), dtype=dtype, device=device)
        self._numbers = tensor.asarray(self._values(dtype), device=device)
        self._scale = tensor.ones((1,), dtype=dtype, device=device)

    def _values(self, dtype: DType) -> Floats:
        return numpy.array([*self.numbers.values()], dtype)

    def step(self, vector: Array, gradient: Array) -> None:
        """Update `vector` ([P], in place) along `gradient` ([P]), both of the dtype of `initialize`."""
        if self._numbers is None:
            raise NetworkError(
                "This optimizer has no state yet: call optimizer.initialize(network.vector) first."
            )
        expected = next((list(self.state[name].shape) for name in self.vectors), list(vector.shape))
        if not [*vector.shape] == [*gradient.shape] == expected:
            raise LayerShapeError(
                f"{type(self).__name__}.step expected a vector and a gradient of shape {expected}, "
                f"got {list(vector.shape)} and {list(gradient.shape)}."
            )
        if not vector.dtype == gradient.dtype == self._numbers.dtype:
            raise NetworkError(
                f"{type(self).__name__}.step expected a vector and a gradient of {self._numbers.dtype}, as "
                f"initialize() was given, got {vector.dtype} and {gradient.dtype}: call that again."
            )
        scale = self._scale if self.clip_norm is None else shortening(gradient, self.clip_norm)
        self.move(vector, gradient, self._numbers, scale)

    def move(self, vector: Array, gradient: Array, numbers: Array, scale: Array) -> None:
        """The launches of a step, after all was checked; `scale`, [1], shortens the gradient."""
        _update(vector, gradient, numbers, scale, *self.state.values(), rule=self)

    def definition(self) -> dict[str, Any]:
        """What `load_optimizer` makes an equal optimizer of, its state apart; plain data."""
        params: dict[str, Any] = {"lr": self._base_lr if self.schedule else self.lr, **self.params()}
        if self.clip_norm is not None:
            params["clip_norm"] = self.clip_norm
        if self.clip_value is not None:
            params["clip_value"] = self.clip_value
        if self.schedule is not None:
            params["schedule"] = self.schedule.definition()
        return {"type": self.type_name, "params": params}

    def params(self) -> dict[str, Any]:
        """The constructor's other arguments: the numbers under their names, unless a class says otherwise."""
        return {
            name: value for name, value in self.numbers.items() if name not in ("one", "lr", "clip_value")
        }

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.definition()["params"].items())
        return f"{type(self).__name__}({arguments})"

    # The rule, with what all have in common around it

    def changed(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        """`update`, after the gradient's elements were clipped."""
        return self.update(w, self.clipped(g, numbers), state, numbers)

    def clipped(self, g: Number, numbers: State) -> Number:
        """The gradient's elements within `clip_value`."""
        return g if self.clip_value is None else g.clamp(numbers["clip_value"])


# The two forms of a step: vector, gradient, numbers, scale, and the state in the order of its names


def _update_numpy(
    w: Floats, g: Floats, numbers: Floats, scale: Floats, *state: Floats, rule: Optimizer
) -> None:
    named = named_values(rule.numbers, numbers)
    scalars: State = {}
    if rule.scalars:
        *state, kept = state  # type: ignore[assignment]  # a list as good as a tuple
        scalars = advanced(rule, kept, named)
    vectors = {name: Values(flushed(array.copy())) for name, array in zip(rule.vectors, state, strict=True)}
    slope = Values(flushed(flushed(g.copy()) * scale))
    new, changed = rule.changed(Values(flushed(w.copy())), slope, {**vectors, **scalars}, named)
    w[...] = new.array
    for name, array in zip(rule.vectors, state, strict=True):
        array[...] = changed[name].array


def named_values(names: Iterable[str], numbers: Floats) -> State:
    """Each of the numbers by its name."""
    return {name: Values(numbers[i : i + 1].copy()) for i, name in enumerate(names)}


def advanced(rule: Optimizer, scalars: Floats, numbers: State) -> State:
    """The rule's scalars a step further, in place too."""
    new = rule.advance(named_values(rule.scalars, scalars), numbers)
    scalars[...] = numpy.concatenate([new[name].array for name in rule.scalars])
    return new


def _update_opencl(w: Array, g: Array, numbers: Array, scale: Array, *state: Array, rule: Optimizer) -> None:
    device, vectors = w.device, state[: len(rule.vectors)]
    scalars = state[-1].buffer if rule.scalars else numbers.buffer
    if rule.scalars:
        launch_advance(rule, numbers, state[-1])
    if w.size:
        global_size, local_size = flat_sizes(device, w.size, CPU_ELEMENTS_EACH)
        arrays = [argument for array in (g, w, *vectors) for argument in (array.buffer, array.offset)]
        kernel = built(device, "update.cl", "update", _update_text(rule) | precision_of(w))
        sources = (numbers.buffer, scalars, scale.buffer)
        kernel(global_size, w.size, CPU_ELEMENTS_EACH, *sources, *arrays, local_size=local_size)


_update = tensor.primitive("optimizer_step", numpy=_update_numpy, opencl=_update_opencl, in_place=True)


def launch_advance(rule: Optimizer, numbers: Array, scalars: Array) -> None:
    """The rule's scalars a step further."""
    text = _advance_text(rule) | precision_of(numbers)
    kernel = built(numbers.device, "update.cl", "advance", text)
    kernel((1,), numbers.buffer, scalars.buffer, local_size=(1,))


def _advance_text(rule: Optimizer) -> dict[str, str | int]:
    text = Text()
    numbers, scalars = terms([*rule.numbers], text), terms(rule.scalars, text)
    new = rule.advance(scalars, numbers)
    stores = [f"scalars[{i}] = {new[name].name};" for i, name in enumerate(rule.scalars)]
    return {
        "SCALARS_ONLY": 1,
        "NUMBERS": numbers_text(rule),
        "RULE": " ".join(text.statements),
        "STORES": " ".join(stores),
    }


def _update_text(rule: Optimizer) -> dict[str, str | int]:
    text = Text()
    named = terms([*rule.numbers], text)
    state = terms([*rule.vectors, *rule.scalars], text)
    new, changed = rule.changed(Term("w", text), Term("g", text), state, named)
    return {
        "SCALARS_ONLY": 0,
        **vectors_text(rule),
        "RULE": " ".join(text.statements),
        "STORES": f"vector[i] = {new.name}; " + stores_text(changed),
    }


def vectors_text(rule: Optimizer) -> dict[str, str | int]:
    """The rule's vectors as a kernel's arguments, and its loads of them and of all numbers."""
    return {
        "ARGUMENTS": "".join(
            f", __global real *restrict {name}_at, const long {name}_offset" for name in rule.vectors
        ),
        "POINTERS": " ".join(f"{name}_at += {name}_offset;" for name in rule.vectors),
        "NUMBERS": numbers_text(rule),
        "LOADS": " ".join(f"const real {name} = flushed({name}_at[i]);" for name in rule.vectors),
    }


def numbers_text(rule: Optimizer) -> str:
    """Loads of the rule's numbers and scalars."""
    places = {"numbers": rule.numbers, "scalars": rule.scalars}
    return "".join(
        f"const real {name} = {place}[{i}]; "
        for place, names in places.items()
        for i, name in enumerate(names)
    )


def stores_text(changed: State) -> str:
    """Stores of the vectors' new elements."""
    return " ".join(f"{name}_at[i] = {new.name};" for name, new in changed.items())
