"""Elementwise operations with broadcasting: a table of one line each, NumPy's definition beside the OpenCL
expression.

Inputs of different dtypes are converted to a common one first (`dtypes.promote`). Operations that need real
numbers (divide, exp, …) convert integers to float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy

from tensor import dtypes
from tensor.array import Array, Operand, Shape, contiguous_strides
from tensor.constants import constant, operands
from tensor.device import Device
from tensor.dtypes import DType
from tensor.errors import DTypeError
from tensor.layout import broadcast_shape
from tensor.pointwise import Layout, Pointwise, launch, prepare
from tensor.primitive import Primitive, primitive

Result = Literal["same", "float", "bool"]


@dataclass(frozen=True, eq=False)
class Operation:
    """One row of the table. In `expression` a, b, c are the converted inputs."""

    name: str
    expression: str
    definition: Callable[..., Any]
    result: Result = "same"
    takes_bool: bool = False


@lru_cache(maxsize=4096)
def _dtypes(operation: Operation, *inputs: DType) -> tuple[DType, DType]:
    """The dtype in which an operation computes, and that of its result."""
    values = inputs[-2:]  # the condition of `where` is no value
    compute = values[0] if len(values) == 1 else dtypes.promote(values[0], values[1], operation.name)
    if operation.result == "float" and compute.kind != "f":
        compute = dtypes.float32
    if not operation.takes_bool:
        dtypes.require_numeric(compute, operation.name)
    return compute, dtypes.bool_ if operation.result == "bool" else compute


def _run_numpy(operation: Operation, *inputs: Any) -> Any:
    compute, result = _dtypes(operation, *(each.dtype for each in inputs))
    broadcast_shape(operation.name, *(each.shape for each in inputs))  # our error, not NumPy's
    values = [each.astype(compute) for each in inputs[-2:]]
    return numpy.asarray(operation.definition(*inputs[:-2], *values), result)


def _run_opencl(operation: Operation, *inputs: Array) -> Array:
    device = inputs[0].storage.device
    run, shape, dtype = _prepared(operation, device, *[(x.shape, x.strides, x.dtype) for x in inputs])
    output = Array.new(shape, dtype, device)
    run(output, inputs)
    return output


@lru_cache(maxsize=8192)
def _prepared(operation: Operation, device: Device, *inputs: Layout) -> tuple[Pointwise, Shape, DType]:
    """The launch for inputs of these layouts, and shape and dtype of its output."""
    compute, result = _dtypes(operation, *(dtype for _, _, dtype in inputs))
    shape = broadcast_shape(operation.name, *(each for each, _, _ in inputs))
    output = (shape, contiguous_strides(shape), result)
    return prepare(operation.expression, compute, device, output, *inputs), shape, result


def _add(operation: Operation) -> Primitive:
    return primitive(
        operation.name, numpy=partial(_run_numpy, operation), opencl=partial(_run_opencl, operation)
    )


_ADD = _add(Operation("add", "a + b", numpy.add))
_SUBTRACT = _add(Operation("subtract", "a - b", numpy.subtract))
_MULTIPLY = _add(Operation("multiply", "a * b", numpy.multiply))
_DIVIDE = _add(Operation("divide", "a / b", numpy.divide, "float"))
_POW = _add(Operation("pow", "pow(a, b)", numpy.power, "float"))
# NaN wins, as in NumPy; OpenCL's fmax would drop it.
_MAXIMUM = _add(Operation("maximum", "a >= b || a != a ? a : b", numpy.maximum))
_MINIMUM = _add(Operation("minimum", "a <= b || a != a ? a : b", numpy.minimum))
_NEGATIVE = _add(Operation("negative", "-a", numpy.negative))
_ABS = _add(Operation("abs", "a < 0 ? -a : a == 0 ? 0 : a", numpy.abs))
_EXP = _add(Operation("exp", "exp(a)", numpy.exp, "float"))
_LOG = _add(Operation("log", "log(a)", numpy.log, "float"))
_SQRT = _add(Operation("sqrt", "sqrt(a)", numpy.sqrt, "float"))
_TANH = _add(Operation("tanh", "tanh(a)", numpy.tanh, "float"))
_RELU = _add(Operation("relu", "a <= 0 ? 0 : a", lambda x: numpy.where(x <= 0, x.dtype.type(0), x)))
_EQUAL = _add(Operation("equal", "a == b", numpy.equal, "bool", True))
_NOT_EQUAL = _add(Operation("not_equal", "a != b", numpy.not_equal, "bool", True))
_LESS = _add(Operation("less", "a < b", numpy.less, "bool", True))
_LESS_EQUAL = _add(Operation("less_equal", "a <= b", numpy.less_equal, "bool", True))
_GREATER = _add(Operation("greater", "a > b", numpy.greater, "bool", True))
_GREATER_EQUAL = _add(Operation("greater_equal", "a >= b", numpy.greater_equal, "bool", True))
_LOGICAL_AND = _add(Operation("logical_and", "a != 0 && b != 0", numpy.logical_and, "bool", True))
_LOGICAL_OR = _add(Operation("logical_or", "a != 0 || b != 0", numpy.logical_or, "bool", True))
_LOGICAL_NOT = _add(Operation("logical_not", "a == 0", numpy.logical_not, "bool", True))
_WHERE = _add(Operation("where", "a ? b : c", numpy.where, "same", True))


def _binary(apply: Primitive, a: Operand, b: Operand) -> Array:
    return apply(*operands(apply.name, a, b))


def add(a: Operand, b: Operand) -> Array:
    """a + b"""
    return _binary(_ADD, a, b)


def subtract(a: Operand, b: Operand) -> Array:
    """a − b"""
    return _binary(_SUBTRACT, a, b)


def multiply(a: Operand, b: Operand) -> Array:
    """a · b"""
    return _binary(_MULTIPLY, a, b)


def divide(a: Operand, b: Operand) -> Array:
    """a / b in float32, correctly rounded."""
    return _binary(_DIVIDE, a, b)


def pow(a: Operand, b: Operand) -> Array:
    """a to the power of b, in float32."""
    return _binary(_POW, a, b)


def maximum(a: Operand, b: Operand) -> Array:
    """The larger of a and b; NaN if one of them is."""
    return _binary(_MAXIMUM, a, b)


def minimum(a: Operand, b: Operand) -> Array:
    """The smaller of a and b; NaN if one of them is."""
    return _binary(_MINIMUM, a, b)


def negative(x: Array) -> Array:
    """−x"""
    return _NEGATIVE(x)


def abs(x: Array) -> Array:
    """|x|"""
    return _ABS(x)


def exp(x: Array) -> Array:
    """e to the power of x."""
    return _EXP(x)


def log(x: Array) -> Array:
    """Natural logarithm of x; −∞ at 0, NaN below."""
    return _LOG(x)


def sqrt(x: Array) -> Array:
    """Square root of x, correctly rounded; NaN below 0."""
    return _SQRT(x)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent of x."""
    return _TANH(x)


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return _RELU(x)


def equal(a: Operand, b: Operand) -> Array:
    """a == b as bool."""
    return _binary(_EQUAL, a, b)


def not_equal(a: Operand, b: Operand) -> Array:
    """a != b as bool."""
    return _binary(_NOT_EQUAL, a, b)


def less(a: Operand, b: Operand) -> Array:
    """a < b as bool."""
    return _binary(_LESS, a, b)


def less_equal(a: Operand, b: Operand) -> Array:
    """a <= b as bool."""
    return _binary(_LESS_EQUAL, a, b)


def greater(a: Operand, b: Operand) -> Array:
    """a > b as bool."""
    return _binary(_GREATER, a, b)


def greater_equal(a: Operand, b: Operand) -> Array:
    """a >= b as bool."""
    return _binary(_GREATER_EQUAL, a, b)


def logical_and(a: Operand, b: Operand) -> Array:
    """Whether a and b are both not 0."""
    return _binary(_LOGICAL_AND, a, b)


def logical_or(a: Operand, b: Operand) -> Array:
    """Whether a or b is not 0."""
    return _binary(_LOGICAL_OR, a, b)


def logical_not(x: Array) -> Array:
    """Whether x is 0."""
    return _LOGICAL_NOT(x)


def where(condition: Array, a: Operand, b: Operand) -> Array:
    """a where the bool condition holds, else b."""
    if condition.dtype != dtypes.bool_:
        raise DTypeError(f"where: the condition must be bool, got {condition.dtype.name}; write x != 0.")
    if isinstance(a, Array) or isinstance(b, Array):
        first, second = operands("where", a, b)
    else:  # two numbers: their own dtype, on the condition's device
        anchor = dtypes.float32 if isinstance(a, float) or isinstance(b, float) else dtypes.int32
        first, second = (constant(each, anchor, condition.device) for each in (a, b))
    return _WHERE(condition, first, second)


# --- conversion between dtypes ------------------------------------------------------------------------------


def _convert(x: Any, dtype: DType) -> Any:
    """C's conversion, except that float to integer saturates and NaN becomes 0, which C leaves open."""
    if x.dtype.kind == "f" and dtype.kind in "iu":
        limits = numpy.iinfo(dtype)
        low, above = float(limits.min), float(limits.max) + 1.0
        inside = (x > low) & (x < above)
        safe = numpy.where(inside, x, numpy.float32(0)).astype(dtype)
        return numpy.where(inside, safe, numpy.where(x >= above, dtype.type(limits.max), _low(x, dtype)))
    return x.astype(dtype)


def _low(x: Any, dtype: DType) -> Any:
    """What is left below or at the smallest integer: that integer, or 0 for NaN."""
    return numpy.where(numpy.isnan(x), dtype.type(0), dtype.type(numpy.iinfo(dtype).min))


@lru_cache
def _conversion(source: DType, target: DType) -> str:
    """The OpenCL expression of `_convert`."""
    if target == dtypes.bool_:
        return "a != 0"
    if source.kind == "f" and target.kind in "iu":
        limits, name = numpy.iinfo(target), dtypes.OPENCL_NAMES[target]
        above, low = float(limits.max) + 1.0, float(limits.min)
        highest = f"({name}){limits.max}{'UL' if target.kind == 'u' else 'L'}"
        lowest = f"(-{limits.max}L - 1)" if target.kind == "i" else "0"
        return f"a != a ? 0 : a >= {above!r}f ? {highest} : a <= {low!r}f ? ({name}){lowest} : ({name})a"
    return "a"


def _convert_opencl(x: Array, dtype: DType) -> Array:
    output = Array.new(x.shape, dtype, x.device)
    launch(_conversion(x.dtype, dtype), x.dtype, output, (x,))
    return output


_ASTYPE = primitive("astype", numpy=_convert, opencl=_convert_opencl)


def astype(x: Array, dtype: Any) -> Array:
    """x in another dtype; x itself if it has it. Float to integer truncates, saturates, and makes NaN 0."""
    target = dtypes.as_dtype(dtype)
    return x if target == x.dtype else _ASTYPE(x, dtype=target)
