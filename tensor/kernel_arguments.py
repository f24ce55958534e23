"""What a kernel takes, by name and type, and what is wrong with what it was given."""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from tensor.array import Array
from tensor.dtypes import OPENCL_NAMES
from tensor.errors import DTypeError, KernelBuildError, ShapeError

_SCALARS = {
    "char": numpy.int8,
    "uchar": numpy.uint8,
    "short": numpy.int16,
    "ushort": numpy.uint16,
    "int": numpy.int32,
    "uint": numpy.uint32,
    "long": numpy.int64,
    "ulong": numpy.uint64,
    "float": numpy.float32,
    "double": numpy.float64,
}
_VECTOR = re.compile(r"(u?(?:char|short|int|long)|float|double)(2|3|4|8|16)")


class Argument(NamedTuple):
    """One argument as OpenCL C declares it: its type, such as "float*" or "int", and its name."""

    type_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.type_name} {self.name}"

    def dtype(self, kernel_name: str) -> numpy.dtype[Any] | None:
        """How pyopencl is to pack it: None for buffers, raw bytes for vectors."""
        if self._spelled.endswith("*"):
            return None
        if self._spelled in _SCALARS:
            return numpy.dtype(_SCALARS[self._spelled])
        vector = _VECTOR.fullmatch(self._spelled)
        if vector:
            lanes = 4 if vector[2] == "3" else int(vector[2])  # three lanes take the room of four
            return numpy.dtype((numpy.void, numpy.dtype(_SCALARS[vector[1]]).itemsize * lanes))
        raise KernelBuildError(
            f"Kernel {kernel_name} has an argument {self.name} of type {self.type_name}; "
            "use OpenCL's own type names (#define, not typedef)."
        )

    def points_to(self) -> str | None:
        """The C name of the numbers behind a pointer, also to vectors; None if there may be anything."""
        pointed = self._spelled.removesuffix("*").strip()
        vector = _VECTOR.fullmatch(pointed)
        element = vector[1] if vector else pointed
        return element if element in _SCALARS and self._spelled.endswith("*") else None

    @property
    def _spelled(self) -> str:
        return re.sub(r"unsigned (\w+)", r"u\1", self.type_name.strip())


def packed(value: Any, dtype: numpy.dtype[Any] | None) -> Any:
    """A value as pyopencl sets it: numbers in its dtype; raises for a float where an int belongs."""
    if dtype is None or dtype.kind == "V":
        return value
    return dtype.type(value if dtype.kind == "f" else operator.index(value))


def check_array(kernel_name: str, number: int, argument: Argument, array: Array) -> None:
    """Raise DTypeError or ShapeError if a kernel would read other things there than the array holds."""
    which = f"Kernel {kernel_name}: argument {number} ({argument})"
    held = "uchar" if array.dtype == bool else OPENCL_NAMES.get(array.dtype)
    wanted = argument.points_to()
    if argument.dtype(kernel_name) is not None:
        raise KernelBuildError(
            f"{which} got an array of shape {array.shape}; give a number, such as x.item()."
        )
    if held is None or isinstance(array.buffer, numpy.ndarray):
        raise DTypeError(
            f"{which} got an array of {array.dtype.name}, which {array.device.spec} keeps on the host; use "
            "another dtype, x.astype(…)."
        )
    if wanted is not None and held != wanted:
        raise DTypeError(
            f'{which} got an array of {array.dtype.name}; give x.astype("{_SCALARS[wanted].__name__}"), '
            f"or write {held} *{argument.name} in the kernel."
        )
    if array.offset or not array.is_contiguous:
        raise ShapeError(
            f"{which} got a view of shape {array.shape} with strides {array.strides} at offset "
            f"{array.offset}; pass x.copy(), or let the kernel take x.buffer and x.offset."
        )


def wrong_arguments(
    kernel_name: str,
    takes: Sequence[Argument],
    given: Sequence[Any],
    try_argument: Callable[[int, Any], object],
    error: Exception,
) -> KernelBuildError:
    """The error that names the argument which cannot be set: `try_argument(index, value)` raises for it."""
    if len(takes) != len(given):
        taken = ", ".join(map(str, takes))
        got = ", ".join(type(each).__name__ for each in given)
        return KernelBuildError(
            f"Kernel {kernel_name} takes {len(takes)} arguments ({taken}); got {len(given)} ({got})."
        )
    for number, (argument, value) in enumerate(zip(takes, given, strict=True)):
        try:
            try_argument(number, value)
        except Exception as its_error:  # whatever pyopencl, struct or NumPy raise for a wrong value
            got = repr(value) if isinstance(value, int | float | complex) else f"a {type(value).__name__}"
            return KernelBuildError(
                f"Kernel {kernel_name}: argument {number + 1} ({argument}) got {got}: {its_error}"
            )
    return KernelBuildError(f"Kernel {kernel_name} does not take these arguments: {error}")
