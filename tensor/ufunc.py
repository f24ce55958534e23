"""What an elementwise operation is, and how it runs: NumPy's definition, or an OpenCL expression.

Inputs are broadcast, and converted to a common dtype first (`dtypes.promote`). Operations that need real
numbers (divide, exp, …) convert integers to float32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy

from tensor import dtypes
from tensor.array import Array, Operand, Shape, contiguous_strides
from tensor.constants import operands
from tensor.device import Device
from tensor.dtypes import DType
from tensor.errors import DTypeError
from tensor.layout import broadcast_shape
from tensor.pointwise import Layout, prepare
from tensor.preset import Preset
from tensor.primitive import Primitive, primitive

Result = Literal["same", "float", "bool", "component"]
Unary = Callable[[Array], Array]
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

    def expression_for(self, dtype: DType) -> str:
        """The OpenCL expression for inputs converted to `dtype`."""
        return self.expression if isinstance(self.expression, str) else self.expression[dtype.kind]


@lru_cache(maxsize=4096)
def _dtypes(operation: Operation, *inputs: DType) -> tuple[DType, DType]:
    """The dtype in which an operation computes, and that of its result."""
    values = inputs[-2:]  # the condition of `where` is no value
    compute = values[0] if len(values) == 1 else dtypes.promote(values[0], values[1], operation.name)
    if compute.kind not in operation.kinds:
        expected = _MEANING[operation.kinds]
        hint = "use logical_and/logical_or, or " if compute.kind == "b" else ""
        raise DTypeError(
            f"{operation.name}: expected {expected}, got {compute.name}; "
            f"{hint}use astype, such as astype(x, int32)."
        )
    if operation.result == "float":
        compute = dtypes.floating(compute)
    if operation.result == "component":
        return compute, dtypes.component(compute)
    return compute, dtypes.bool_ if operation.result == "bool" else compute


def _run_numpy(operation: Operation, *inputs: Any) -> Any:
    compute, result = _dtypes(operation, *(each.dtype for each in inputs))
    broadcast_shape(operation.name, *(each.shape for each in inputs))  # our error, not NumPy's
    values = [each.astype(compute, copy=False) for each in inputs[-2:]]
    output = numpy.asarray(operation.definition(*inputs[:-2], *values), result)
    return output.copy() if any(output is each for each in inputs) else output


def _run_opencl(operation: Operation, *inputs: Array) -> Array:
    device = inputs[0].storage.device
    run, shape, dtype = _prepared(operation, device, *[(x.shape, x.strides, x.dtype) for x in inputs])
    output = Array.new(shape, dtype, device)
    if run is not None:
        run(output, *inputs)
    return output


@lru_cache(maxsize=8192)
def _prepared(operation: Operation, device: Device, *inputs: Layout) -> tuple[Preset | None, Shape, DType]:
    """The launch for inputs of these layouts, and shape and dtype of its output."""
    compute, result = _dtypes(operation, *(dtype for _, _, dtype in inputs))
    shape = broadcast_shape(operation.name, *(each for each, _, _ in inputs))
    output = (shape, contiguous_strides(shape), result)
    return prepare(operation.expression_for(compute), compute, device, output, *inputs), shape, result


def elementwise(operation: Operation) -> Primitive:
    """The primitive of an operation, in the table."""
    return primitive(
        operation.name, numpy=partial(_run_numpy, operation), opencl=partial(_run_opencl, operation)
    )


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
    apply = elementwise(Operation(name, expression, definition, result, kinds))

    def call(x: Array, /) -> Array:
        return apply(x)

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
    apply = elementwise(Operation(name, expression, definition, result, kinds))

    def call(x1: Operand, x2: Operand, /) -> Array:
        return apply(*operands(name, x1, x2))

    _name(call, name, doc)
    return call


def _name(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
