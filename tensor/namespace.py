"""What the array API standard asks of a namespace: version, dtypes, devices and numeric limits."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import ml_dtypes
import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.device import Device
from tensor.discovery import default_device, devices
from tensor.discovery import device as find_device
from tensor.dtypes import DType
from tensor.errors import DTypeError

__array_api_version__ = "2024.12"
_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

_KINDS = {
    "bool": ("b",),
    "signed integer": ("i",),
    "unsigned integer": ("u",),
    "integral": ("i", "u"),
    "real floating": ("f",),
    "complex floating": ("c",),
    "numeric": ("i", "u", "f", "c"),
}
_OF_THE_STANDARD = {each.name: each for each in dtypes.ALL if each not in dtypes.STORED}


def namespace(api_version: str | None = None) -> Any:
    """The module `tensor` itself; raises ValueError for an unknown version of the standard."""
    if api_version is not None and api_version not in _VERSIONS:
        raise ValueError(f"tensor follows the array API {__array_api_version__}, not {api_version}.")
    import tensor

    return tensor


class NamespaceInfo:
    """Answers of `__array_namespace_info__()`, by the standard."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves open: masks and shapes that depend on data work, outside record()."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> Device:
        """The device on which arrays are made unless one is named."""
        return default_device()

    def devices(self) -> list[Device]:
        """All devices, the best first."""
        return devices()

    def default_dtypes(self, *, device: "Device | str | None" = None) -> dict[str, DType]:
        """The dtypes of arrays made without naming one; the same on every device."""
        find_device(device)
        return {
            "real floating": dtypes.float32,
            "complex floating": dtypes.complex64,
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def dtypes(
        self, *, device: "Device | str | None" = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        """The standard's dtypes by name, of one kind or several; every device has them all."""
        find_device(device)
        return {name: each for name, each in _OF_THE_STANDARD.items() if kind is None or isdtype(each, kind)}


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807 - the standard's name
    """Facts about this namespace: capabilities, devices, dtypes."""
    return NamespaceInfo()


@dataclass(frozen=True)
class FloatLimits:
    """The limits of a floating dtype, or of the parts of a complex one."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerLimits:
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> FloatLimits:
    """The limits of a floating or complex dtype, or of an array's."""
    dtype = dtypes.component(_dtype_of(type))
    if dtypes.kind(dtype) != "f":
        raise DTypeError(f"finfo: expected a floating dtype, got {dtype.name}.")
    found: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # it has no types
    eps, largest, smallest, normal = (
        float(each) for each in (found.eps, found.max, found.min, found.smallest_normal)
    )
    return FloatLimits(found.bits, eps, largest, smallest, normal, dtype)


def iinfo(type: Any, /) -> IntegerLimits:
    """The limits of an integer dtype, or of an array's."""
    dtype = _dtype_of(type)
    if dtype.kind not in "iu":
        raise DTypeError(f"iinfo: expected an integer dtype, got {dtype.name}.")
    found = numpy.iinfo(dtype)
    return IntegerLimits(found.bits, int(found.max), int(found.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind ("bool", "integral", "real floating" …), or another dtype, or one of a
    tuple
    of them."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, each) for each in kind)
    found = dtypes.as_dtype(dtype)
    if isinstance(kind, str) and kind not in _OF_THE_STANDARD:
        if kind not in _KINDS:
            raise DTypeError(f"isdtype: there is no kind {kind!r}; there are: {', '.join(_KINDS)}.")
        return dtypes.kind(found) in _KINDS[kind]
    return found == dtypes.as_dtype(kind)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether every value of a dtype (or of an array's) keeps its kind in `to`, by the standard's
    promotion."""
    source, target = _dtype_of(from_), dtypes.as_dtype(to)
    return bool(numpy.can_cast(source, target))


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that arrays, dtypes and Python numbers together promote to; raises DTypeError."""
    fixed = [
        _dtype_of(each) for each in arrays_and_dtypes if not isinstance(each, bool | int | float | complex)
    ]
    numbers = [each for each in arrays_and_dtypes if isinstance(each, bool | int | float | complex)]
    if not fixed:
        raise DTypeError("result_type: expected at least one array or dtype.")
    dtype = reduce(lambda a, b: dtypes.promote(a, b, "result_type"), fixed)
    return reduce(lambda a, number: dtypes.of_scalar(number, a), numbers, dtype)


def _dtype_of(value: Any) -> DType:
    return value.dtype if isinstance(value, Array) else dtypes.as_dtype(value)
