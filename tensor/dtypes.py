"""The dtypes of arrays: NumPy's own dtype objects, their OpenCL C names, and which dtype comes out of two.

A bool is stored as one byte that holds 0 or 1. Python numbers take the dtype of the array they meet, as in
the array API standard. Default dtypes are int64 for integers and places, as in NumPy, and float32 and
complex64,
what OpenCL devices compute at full speed.

float16 and bfloat16 are ways to store numbers in half the memory. Whatever computes with them computes in
float32, and each result is rounded to nearest, to even where two are as near: on every device the same.
"""

from typing import Any

import ml_dtypes
import numpy

from tensor.errors import DTypeError

DType = numpy.dtype[Any]
HostArray = numpy.ndarray[Any, Any]

bool_: DType = numpy.dtype(numpy.bool_)
int8: DType = numpy.dtype(numpy.int8)
int16: DType = numpy.dtype(numpy.int16)
int32: DType = numpy.dtype(numpy.int32)
int64: DType = numpy.dtype(numpy.int64)
uint8: DType = numpy.dtype(numpy.uint8)
uint16: DType = numpy.dtype(numpy.uint16)
uint32: DType = numpy.dtype(numpy.uint32)
uint64: DType = numpy.dtype(numpy.uint64)
float16: DType = numpy.dtype(numpy.float16)
bfloat16: DType = numpy.dtype(ml_dtypes.bfloat16)
float32: DType = numpy.dtype(numpy.float32)
float64: DType = numpy.dtype(numpy.float64)
complex64: DType = numpy.dtype(numpy.complex64)
complex128: DType = numpy.dtype(numpy.complex128)

# Of the dtypes that an OpenCL device can compute with: all of them, but float64 only where it has
# cl_khr_fp64.
OPENCL_NAMES: dict[DType, str] = {
    bool_: "uchar",
    int8: "char",
    int16: "short",
    int32: "int",
    int64: "long",
    uint8: "uchar",
    uint16: "ushort",
    uint32: "uint",
    uint64: "ulong",
    float32: "float",
    float64: "double",
}

STORED: frozenset[DType] = frozenset((float16, bfloat16))  # and computed with as float32

ALL: tuple[DType, ...] = (*OPENCL_NAMES, float16, bfloat16, complex64, complex128)

_DEFAULTS: dict[Any, DType] = {bool: bool_, int: int64, float: float32, complex: complex64}


def as_dtype(value: Any) -> DType:
    """The dtype that `value` (a dtype, a NumPy scalar type, a name, or Python's bool, int, float, complex)
    means.

    Raises DTypeError for a dtype that arrays cannot have.
    """
    if isinstance(value, numpy.dtype) and value in OPENCL_NAMES:
        return value
    found = _DEFAULTS.get(value) if isinstance(value, type) else None
    if found is not None:
        return found
    try:
        dtype: DType = numpy.dtype(value).newbyteorder("=")
    except TypeError as error:
        hint = " Several sizes are one tuple: (3, 4)." if isinstance(value, int) else ""
        raise DTypeError(f"There is no dtype {value!r}; there are: {_names()}.{hint}") from error
    if dtype not in ALL:
        raise DTypeError(f"An array cannot have dtype {dtype.name}; it can have one of: {_names()}.")
    return dtype


def _names() -> str:
    return ", ".join(each.name for each in ALL)


def kind(dtype: DType) -> str:
    """numpy.dtype.kind, and "f" for bfloat16, which NumPy does not know."""
    return "f" if dtype == bfloat16 else dtype.kind


def computed(dtype: DType) -> DType:
    """The dtype in which a device computes with one: float32 for what is only stored."""
    return float32 if dtype in STORED else dtype


def require_single_or_double(where: str, *found: DType) -> None:
    """Raise DTypeError unless a device computes with all of them in float32, or with all in float64."""
    first = computed(found[0])
    if first not in (float32, float64) or any(computed(each) != first for each in found[1:]):
        names = " and ".join(each.name for each in found)
        alike = ", all alike" if len(found) > 1 else ""
        raise DTypeError(f"{where}: expected float32 or float64{alike}, got {names}; use astype first.")


def number(value: complex, dtype: DType) -> complex:
    """A Python number as an array of `dtype` holds it; raises DTypeError for one that does not fit."""
    try:
        converted: complex = dtype.type(value).item()
    except (OverflowError, ValueError, TypeError) as error:
        raise DTypeError(f"The number {value} does not fit into {dtype.name}.") from error
    return converted


def promote(first: DType, second: DType, where: str) -> DType:
    """The dtype of an operation on two arrays, by the standard; a floating dtype wins over integers as it is.

    Raises DTypeError for a signed integer with uint64, which no integer dtype can hold.
    """
    if first == second:
        return first
    if kind(first) in "fc" and second.kind in "biu":
        return first
    if kind(second) in "fc" and first.kind in "biu":
        return second
    dtype = float32 if {first, second} == STORED else numpy.promote_types(first, second)
    if dtype.kind == "f" and first.kind in "iu":
        raise DTypeError(
            f"{where}: no integer dtype holds both {first.name} and {second.name}; use astype first."
        )
    return dtype


def of_scalar(value: complex, met: DType) -> DType:
    """The dtype that a Python number takes when it meets an array of dtype `met`."""
    if isinstance(value, bool):
        return met
    if isinstance(value, int):
        return int64 if met == bool_ else met
    if isinstance(value, float):
        return met if kind(met) in "fc" else float32
    return met if met.kind == "c" else complex128 if met == float64 else complex64


def floating(dtype: DType) -> DType:
    """The dtype in which functions of real numbers (exp, mean, …) compute: float32 for integers and bool."""
    return dtype if kind(dtype) in "fc" else float32


def component(dtype: DType) -> DType:
    """The dtype of the real part: float32 of complex64, any real dtype itself."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)
