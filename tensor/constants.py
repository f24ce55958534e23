"""Python numbers as arrays without axes, kept per device, so that `x * 0.5` costs no transfer after the
first time."""

from collections import OrderedDict

import numpy

from tensor import dtypes
from tensor.array import Array, Operand
from tensor.device import Device
from tensor.errors import DTypeError
from tensor.memory import outside_scopes

_KEPT = (
    256  # numbers per process; a program that computes with ever new numbers only pays a transfer for each
)

_constants: OrderedDict[tuple[object, ...], Array] = OrderedDict()
_met: dict[object, Array] = {}  # the same ones, found by the dtype of the array that a number but 0 met
PLAIN = frozenset((int, float))  # classes of numbers whose meaning their value tells


def constant(value: complex, dtype: dtypes.DType, device: Device) -> Array:
    """The array without axes that holds a Python number; shared, never to be written to."""
    key = (
        value,
        type(value),
        str(value) if value == 0 else "",
        dtype,
        device,
    )  # 0.0 and −0.0 are two numbers
    found = _constants.get(key)
    if found is not None:
        return found
    try:
        values = numpy.array(value, dtype)
    except OverflowError as error:
        raise DTypeError(
            f"The number {value} does not fit into {dtype.name}; use astype on the array first."
        ) from error
    with outside_scopes(), device.queue.not_recording():
        made = _constants[key] = Array.upload(values, device)
    while len(_constants) > _KEPT:
        _constants.popitem(last=False)
    return made


def is_constant(array: Array) -> bool:
    """Whether an array is one of the numbers that are kept."""
    return any(array is each for each in (*_constants.values(), *_met.values()))


def operands(where: str, a: Operand, b: Operand) -> tuple[Array, Array]:
    """Both operands as arrays; a number takes its dtype from the array that it meets."""
    if isinstance(a, Array):
        if isinstance(b, Array):
            return a, b
        return a, _like(where, b, a)
    if isinstance(b, Array):
        return _like(where, a, b), b
    raise DTypeError(
        f"{where}: expected at least one Array, got {type(a).__name__} and {type(b).__name__}; use asarray."
    )


def _like(where: str, value: object, met: Array) -> Array:
    key = (
        (value, value.__class__, met.dtype, met.storage.device)
        if value.__class__ in PLAIN and value
        else None
    )
    found = _met.get(key)
    if found is None:
        found = _converted(where, value, met)
        if key is not None:
            if len(_met) >= _KEPT:
                _met.clear()
            _met[key] = found
    return found


def _converted(where: str, value: object, met: Array) -> Array:
    if isinstance(value, numpy.generic):
        value = value.item()
    if not isinstance(value, bool | int | float | complex):
        raise DTypeError(
            f"{where}: expected an Array or a number, got {type(value).__name__}; use tensor.asarray."
        )
    return constant(value, dtypes.of_scalar(value, met.dtype), met.device)
