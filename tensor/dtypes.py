"""The dtypes of arrays: NumPy's own dtype objects, their OpenCL C names, and which dtype comes out of two.

A bool is stored as one byte that holds 0 or 1. Python numbers take the dtype of the array they meet, as in
the array API standard. Default dtypes are float32 and int32: what every OpenCL device computes at full speed.
"""

from typing import Any

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
float32: DType = numpy.dtype(numpy.float32)

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
}


def as_dtype(value: Any) -> DType:
    """The dtype that `value` (a dtype, a NumPy scalar type, a name, or Python's bool, int, float) stands for.

    Raises DTypeError for a dtype that arrays cannot have.
    """
    if value is int:
        return int32
    if value is float:
        return float32
    try:
        dtype: DType = numpy.dtype(value).newbyteorder("=")
    except TypeError as error:
        raise DTypeError(f"There is no dtype {value!r}; there are: {_names()}.") from error
    if dtype not in OPENCL_NAMES:
        raise DTypeError(f"An array cannot have dtype {dtype.name}; it can have one of: {_names()}.")
    return dtype


def _names() -> str:
    return ", ".join(each.name for each in OPENCL_NAMES)


def number(value: bool | int | float, dtype: DType) -> bool | int | float:
    """A Python number as an array of `dtype` holds it; raises DTypeError for one that does not fit."""
    try:
        converted: bool | int | float = dtype.type(value).item()
    except (OverflowError, ValueError) as error:
        raise DTypeError(f"The number {value} does not fit into {dtype.name}.") from error
    return converted


def storable(dtype: DType) -> DType:
    """The dtype in which data of a NumPy `dtype` is kept: float64 and float16 become float32, others stay."""
    return float32 if dtype.kind == "f" else as_dtype(dtype)


def promote(first: DType, second: DType, where: str) -> DType:
    """The dtype of an operation on two arrays; float32 wins over integers, integers over bool.

    Raises DTypeError for int64 with uint64, which no integer dtype can hold.
    """
    if first == second:
        return first
    if float32 in (first, second):
        return float32
    dtype = numpy.promote_types(first, second)
    if dtype.kind == "f":
        raise DTypeError(
            f"{where}: no integer dtype holds both {first.name} and {second.name}; use astype first."
        )
    return dtype


def of_scalar(value: bool | int | float, met: DType) -> DType:
    """The dtype that a Python number takes when it meets an array of dtype `met`."""
    if isinstance(value, bool):
        return met
    if isinstance(value, int):
        return int32 if met == bool_ else met
    return float32


def require_numeric(dtype: DType, where: str) -> None:
    """Raise DTypeError for bool, on which arithmetic means nothing."""
    if dtype == bool_:
        raise DTypeError(
            f"{where}: expected numbers, got bool; use logical_and/logical_or, or astype(x, int32)."
        )
