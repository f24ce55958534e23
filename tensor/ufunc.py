"""What an elementwise operation is, and how it runs: NumPy's definition, or an OpenCL expression.

Inputs are broadcast, and converted to a common dtype first (`dtypes.promote`). Operations that need real
numbers (divide, exp, …) convert integers to float32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from typing import Any, Literal

import numpy

from tensor import dtypes, machine_memory
from tensor.array import Array, Layout, Operand, layout_like
from tensor.constants import PLAIN, operands
from tensor.dtypes import DType
from tensor.errors import DTypeError
from tensor.layout import broadcast_shape
from tensor.pointwise import prepare
from tensor.preset import Producer
from tensor.primitive import Primitive, primitive, taping

Result = Literal["same", "float", "bool", "component"]
Unary = Callable[[Array], Array]
_KEPT = 8192  # launches per operation; a program whose shapes are ever new begins again then
_KEPT_NUMBERS = 256  # that an operation met
Binary = Callable[[Operand, Operand], Array]

# Which dtypes an operation takes, by the letters of numpy.dtype.kind.
ANY, NUMERIC, REAL, INTEGER = "biufc", "iufc", "iuf", "biu"
_MEANING = {
    NUMERIC: "numbers",
    REAL: "real numbers",
    INTEGER: "integers or bool",
    "iu": "integers",
    "biuf": "real numbers",
}


@dataclass(frozen=True, eq=False)
class Operation:
    """One row of the table. In `expression`, one for all kinds of dtype or one each, a, b, c are the
    converted
    inputs."""

    name: str
    expression: str | Mapping[str, str]
    definition: Callable[..., Any]
    result: Result = "same"
    kinds: str = NUMERIC
    ready: dict[tuple[Layout, ...], Producer] = field(default_factory=dict)  # launches, by their inputs

    def expression_for(self, dtype: DType) -> str:
        """The OpenCL expression for inputs converted to `dtype`."""
        return self.expression if isinstance(self.expression, str) else self.expression[dtype.kind]


@lru_cache(maxsize=4096)
def dtypes_of(operation: Operation, *inputs: DType) -> tuple[DType, DType]:
    """The dtype in which an operation computes, and that of its result."""
    values = inputs[-2:]  # the condition of `where` is no value
    common = values[0] if len(values) == 1 else dtypes.promote(values[0], values[1], operation.name)
    if dtypes.kind(common) not in operation.kinds:
        expected = _MEANING[operation.kinds]
        hint = "use logical_and/logical_or, or " if common.kind == "b" else ""
        raise DTypeError(
            f"{operation.name}: expected {expected}, got {common.name}; "
            f"{hint}use astype, such as astype(x, int32)."
        )
    if operation.result == "float":
        common = dtypes.floating(common)
    compute = dtypes.computed(common)
    if operation.result == "component":
        return compute, dtypes.component(common)
    return compute, dtypes.bool_ if operation.result == "bool" else common


def run_numpy(operation: Operation, *inputs: Any) -> Any:
    """The result by NumPy, in memory of its own."""
    compute, result = dtypes_of(operation, *(each.dtype for each in inputs))
    shape = broadcast_shape(operation.name, *(each.shape for each in inputs))  # our error, not NumPy's
    machine_memory.require(prod(shape) * result.itemsize)
    values = [each.astype(compute, copy=False) for each in inputs[-2:]]
    output = numpy.asarray(operation.definition(*inputs[:-2], *values), result)
    return output.copy() if any(output is each for each in inputs) else output


def _prepare(operation: Operation, *inputs: Layout) -> Producer:
    """The launch for inputs of these layouts."""
    found = operation.ready.get(inputs)
    if found is None:
        if len(operation.ready) >= _KEPT:
            operation.ready.clear()
        found = operation.ready[inputs] = _producer(operation, *inputs)
    return found


def _producer(operation: Operation, *inputs: Layout) -> Producer:
    compute, result = dtypes_of(operation, *(each.dtype for each in inputs))
    shape = broadcast_shape(operation.name, *(each.shape for each in inputs))
    output = layout_like(inputs[0], shape, result)
    return Producer(output, prepare(operation.expression_for(compute), compute, output, *inputs))


OPERATIONS: dict[str, Operation] = {}


def elementwise(operation: Operation) -> Primitive:
    """The primitive of an operation, in the table."""
    OPERATIONS[operation.name] = operation
    definition, launch = partial(run_numpy, operation), partial(_prepare, operation)
    return primitive(operation.name, numpy=definition, prepare=launch, stores=True)


def unary(
    name: str,
    expression: str | Mapping[str, str],
    definition: Callable[..., Any],
    result: Result = "same",
    kinds: str = NUMERIC,
    *,
    doc: str,
) -> Unary:
    """The public function of an operation on one array."""
    operation = Operation(name, expression, definition, result, kinds)
    apply, ready = elementwise(operation), operation.ready

    def call(x: Array, /) -> Array:
        try:
            produce = ready[(x.layout,)]
        except (KeyError, AttributeError):  # nothing is prepared, or it is no launch; or x is no Array
            return apply(x)
        return produce(x) if taping.tape is None else apply(x)

    _name(call, name, doc)
    return call


def binary(
    name: str,
    expression: str | Mapping[str, str],
    definition: Callable[..., Any],
    result: Result = "same",
    kinds: str = NUMERIC,
    *,
    doc: str,
) -> Binary:
    """The public function of an operation on two arrays, or an array and a number."""
    operation = Operation(name, expression, definition, result, kinds)
    apply, ready = elementwise(operation), operation.ready
    met: dict[
        tuple[Layout, type, Operand], tuple[Producer, Array]
    ] = {}  # numbers on the right, with launches

    def call(x1: Operand, x2: Operand, /) -> Array:
        key = None
        if type(x1) is not Array or type(x2) is not Array:
            if type(x1) is Array and type(x2) in PLAIN and x2:  # 0.0 and −0.0 would be one key
                key = x1.layout, type(x2), x2
                found = met.get(key)
                if found is not None and taping.tape is None:
                    return found[0](x1, found[1])
            x1, x2 = operands(name, x1, x2)
        try:
            produce = ready[x1.layout, x2.layout]
        except KeyError:  # nothing is prepared, or it is no launch
            return apply(x1, x2)
        if key is not None:
            if len(met) >= _KEPT_NUMBERS:
                met.clear()
            met[key] = produce, x2
        return produce(x1, x2) if taping.tape is None else apply(x1, x2)

    _name(call, name, doc)
    return call


def _name(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
