"""The n-dimensional array: a shape and strides over a piece of device memory. Views share memory, nothing is
copied.

Element (i, j, …) lies at `x.buffer[x.offset + i * x.strides[0] + j * x.strides[1] + …]`; offset and strides
count elements and may be negative or zero (a broadcast axis).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Union

import numpy

from tensor import dtypes
from tensor.device import Device, NumpyDevice, OpenCLDevice
from tensor.dtypes import HostArray
from tensor.errors import DeviceError, DTypeError, ExchangeError, RecordError, ShapeError
from tensor.memory import Storage
from tensor.numpy_names import hint

Shape = tuple[int, ...]
Operand = Union["Array", bool, int, float, complex]


@lru_cache(maxsize=4096)
def contiguous_strides(shape: Shape) -> Shape:
    """Strides, in elements, of a row-major array of this shape."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@lru_cache(maxsize=4096)
def _is_contiguous(shape: Shape, strides: Shape) -> bool:
    wanted = contiguous_strides(shape)
    return 0 in shape or all(n == 1 or s == w for n, s, w in zip(shape, strides, wanted, strict=True))


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """All that a launch depends on, but for the memory. There is one object for each layout (`layout_of`), so
    that a prepared launch is found by identity."""

    device: Device
    shape: Shape
    strides: Shape
    dtype: dtypes.DType


layout_of = lru_cache(maxsize=8192)(Layout)


def layout_like(x: Layout, shape: Shape, dtype: dtypes.DType) -> Layout:
    """The layout of a contiguous array on the device of another one."""
    return layout_of(x.device, shape, contiguous_strides(shape), dtype)


class Array:
    """An n-dimensional array on a device. Made by `asarray`, `zeros`, … and by operations, not by this
    constructor."""

    __slots__ = ("__weakref__", "dtype", "layout", "offset", "shape", "storage", "strides")
    layout: Layout  # computed when it is first asked for
    __array_priority__ = 1000  # NumPy scalars on the left leave operators to us

    def __init__(
        self, storage: Storage, shape: Shape, strides: Shape, offset: int, dtype: dtypes.DType
    ) -> None:
        self.storage = storage
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.dtype = dtype

    def __getattr__(self, name: str) -> Any:
        if name != "layout":
            instead = "" if name.startswith("_") else hint(name, sys.modules["tensor"].__all__)
            raise AttributeError(f"An Array has no attribute {name!r}.{instead}", name=name, obj=self)
        self.layout = layout_of(self.storage.device, self.shape, self.strides, self.dtype)
        return self.layout

    # --- making ---------------------------------------------------------------------------------------------

    @staticmethod
    def new(shape: Shape, dtype: dtypes.DType, device: Device) -> "Array":
        """An uninitialised contiguous array."""
        return Array(device.allocate(prod(shape), dtype), shape, contiguous_strides(shape), 0, dtype)

    @staticmethod
    def adopt(values: HostArray, device: NumpyDevice) -> "Array":
        """An array on the NumPy device around values that nobody else writes to; copies only if not
        contiguous."""
        flat = numpy.ascontiguousarray(values).reshape(-1)
        return Array(device.adopt(flat), values.shape, contiguous_strides(values.shape), 0, values.dtype)

    @staticmethod
    def upload(values: HostArray, device: Device) -> "Array":
        """A new array on `device` with a copy of NumPy values."""
        array = Array.new(values.shape, values.dtype, device)
        array.write(values)
        return array

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module `tensor`; raises ValueError for a version of the array API that it does not follow."""
        return _namespace.namespace(api_version)

    # --- facts ----------------------------------------------------------------------------------------------

    @property
    def device(self) -> Device:
        return self.storage.device

    @property
    def buffer(self) -> Any:
        """The raw memory: a pyopencl buffer, or a flat NumPy array. Raises DeviceError if it was released."""
        return self.storage.buffer

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def is_contiguous(self) -> bool:
        """Whether elements lie row-major without gaps, beginning at `offset`."""
        return _is_contiguous(self.shape, self.strides)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of an array without axes.")
        return self.shape[0]

    def __repr__(self) -> str:
        values = numpy.array2string(self.peek(), separator=", ", threshold=20, prefix="Array(")
        return f"Array({values}, shape={self.shape}, dtype={self.dtype.name}, device={self.device.spec})"

    def __str__(self) -> str:
        return str(self.peek())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    @property
    def on_host(self) -> bool:
        """Whether the values lie in NumPy's memory: on the NumPy device, and where a device has no such
        dtype."""
        return isinstance(self.storage.buffer, numpy.ndarray)

    # --- between host and device ----------------------------------------------------------------------------

    def host(self) -> HostArray:
        """The NumPy view of this array's memory; where it is `on_host` only."""
        size = self.dtype.itemsize
        strides = tuple(size * each for each in self.strides)
        return numpy.ndarray(self.shape, self.dtype, self.buffer, self.offset * size, strides)

    def peek(self) -> HostArray:
        """A NumPy copy of the values; waits for the device."""
        if self.on_host:
            return self.host().copy()
        source = self if self.is_contiguous else _views.contiguous(self)
        values = numpy.empty(self.shape, self.dtype)
        device = self.device
        assert isinstance(device, OpenCLDevice)
        if values.size:
            device.read(source.buffer, source.offset * self.dtype.itemsize, values)
        return values

    def write(self, values: HostArray) -> None:
        """Overwrite all elements with NumPy values of the same shape and dtype."""
        device = self.device
        if self.on_host or not isinstance(device, OpenCLDevice):
            kept = values.copy() if device.queue.recording is not None else values
            memory = self.host()  # now: a replay may come after the scope of this array
            device.queue.run(lambda: numpy.copyto(memory, kept), (self.buffer,))
        elif not self.is_contiguous:
            _views.assign(self, Array.upload(values, device))
        elif values.size:
            device.write(self.buffer, self.offset * self.dtype.itemsize, numpy.ascontiguousarray(values))

    def numpy(self) -> HostArray:
        """A NumPy copy of the values; waits for the device. Raises RecordError inside record()."""
        if self.device.queue.recording is not None:
            raise RecordError(
                "The values of an array were read on the host inside record(); a replay could not use them. "
                "Read them after the replay, or inside host_call()."
            )
        return self.peek()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        """The values for NumPy: a copy, since later kernels would change a view behind the caller's back.

        With copy=False the live view of the memory; ExchangeError where the host cannot reach that.
        """
        if copy is not False:
            values = self.numpy()
            return values if dtype is None else values.astype(dtype, copy=False)
        if dtype is not None and numpy.dtype(dtype) != self.dtype:
            raise ExchangeError(
                f"An array of dtype {self.dtype.name} cannot be seen as {dtype} without a copy."
            )
        return _dlpack.live_view(self, "numpy.asarray(x)")

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """See `tensor.dlpack.dlpack_capsule`: the array's own memory where the host can reach it."""
        return _dlpack.dlpack_capsule(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0) where the host can reach the memory, else (4, number): an OpenCL device."""
        return _dlpack.dlpack_device(self)

    def to_device(self, device: "Device | str", /, *, stream: None = None) -> "Array":
        """This array on another device: a copy, or itself if it is there already."""
        if stream is not None:
            raise DeviceError(f"to_device: every device has one queue; expected stream=None, got {stream!r}.")
        target = _discovery.device(device)
        return self if target is self.device else _dlpack.moved(self, target)

    def item(self) -> Any:
        """The only element as a Python number. Raises ShapeError if there is not exactly one."""
        if self.size != 1:
            raise ShapeError(f"Only an array with one element is a number; this one has shape {self.shape}.")
        return self.numpy().reshape(()).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; one number for an array without axes."""
        return self.numpy().tolist()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"An array of dtype {self.dtype.name} is no index.")
        return int(self.item())

    # --- views and items ------------------------------------------------------------------------------------

    @property
    def T(self) -> "Array":  # noqa: N802 - the array API's name
        """The transposed view of a matrix."""
        if len(self.shape) != 2:
            raise ShapeError(
                f".T is for matrices; this array has shape {self.shape}. Use permute_dims(x, axes)."
            )
        return _views.permute_dims(self, (1, 0))

    @property
    def mT(self) -> "Array":  # noqa: N802 - the array API's name
        """The view with the last two axes exchanged."""
        if len(self.shape) < 2:
            raise ShapeError(f".mT is for matrices and stacks of them; this array has shape {self.shape}.")
        return _views.permute_dims(self, (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))

    def reshape(self, *shape: Any) -> "Array":
        """See `tensor.reshape`; takes a tuple or several integers."""
        return _views.reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def __copy__(self) -> "Array":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Array":
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("An Array is not pickled; use x.numpy(), or tensor.save(path, x).")

    def copy(self) -> "Array":
        """A contiguous copy with memory of its own."""
        return _views.copy(self)

    def astype(self, dtype: Any, *, copy: bool = True) -> "Array":
        """See `tensor.astype`."""
        return _conversion.astype(self, dtype, copy=copy)

    def __getitem__(self, key: Any) -> "Array":
        return _indexing.index(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _indexing.set_item(self, key, value)

    def __iter__(self) -> Iterator["Array"]:
        return (self[i] for i in range(len(self)))

    # --- operators ------------------------------------------------------------------------------------------

    __hash__ = object.__hash__

    def __add__(self, other: Operand) -> "Array":
        return _elementwise.add(self, other)

    def __radd__(self, other: Operand) -> "Array":
        return _elementwise.add(other, self)

    def __iadd__(self, other: Operand) -> "Array":
        return _in_place.add(self, other)

    def __sub__(self, other: Operand) -> "Array":
        return _elementwise.subtract(self, other)

    def __rsub__(self, other: Operand) -> "Array":
        return _elementwise.subtract(other, self)

    def __isub__(self, other: Operand) -> "Array":
        return _in_place.subtract(self, other)

    def __mul__(self, other: Operand) -> "Array":
        return _elementwise.multiply(self, other)

    def __rmul__(self, other: Operand) -> "Array":
        return _elementwise.multiply(other, self)

    def __imul__(self, other: Operand) -> "Array":
        return _in_place.multiply(self, other)

    def __truediv__(self, other: Operand) -> "Array":
        return _elementwise.divide(self, other)

    def __rtruediv__(self, other: Operand) -> "Array":
        return _elementwise.divide(other, self)

    def __itruediv__(self, other: Operand) -> "Array":
        return _in_place.divide(self, other)

    def __floordiv__(self, other: Operand) -> "Array":
        return _elementwise.floor_divide(self, other)

    def __rfloordiv__(self, other: Operand) -> "Array":
        return _elementwise.floor_divide(other, self)

    def __ifloordiv__(self, other: Operand) -> "Array":
        return _in_place.floor_divide(self, other)

    def __mod__(self, other: Operand) -> "Array":
        return _elementwise.remainder(self, other)

    def __rmod__(self, other: Operand) -> "Array":
        return _elementwise.remainder(other, self)

    def __imod__(self, other: Operand) -> "Array":
        return _in_place.remainder(self, other)

    def __pow__(self, other: Operand) -> "Array":
        return _elementwise.pow(self, other)

    def __rpow__(self, other: Operand) -> "Array":
        return _elementwise.pow(other, self)

    def __ipow__(self, other: Operand) -> "Array":
        return _in_place.pow(self, other)

    def __and__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_and(self, other)

    def __rand__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_and(other, self)

    def __iand__(self, other: Operand) -> "Array":
        return _in_place.bitwise_and(self, other)

    def __or__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_or(self, other)

    def __ror__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_or(other, self)

    def __ior__(self, other: Operand) -> "Array":
        return _in_place.bitwise_or(self, other)

    def __xor__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_xor(self, other)

    def __rxor__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_xor(other, self)

    def __ixor__(self, other: Operand) -> "Array":
        return _in_place.bitwise_xor(self, other)

    def __lshift__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_left_shift(other, self)

    def __ilshift__(self, other: Operand) -> "Array":
        return _in_place.bitwise_left_shift(self, other)

    def __rshift__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Operand) -> "Array":
        return _elementwise.bitwise_right_shift(other, self)

    def __irshift__(self, other: Operand) -> "Array":
        return _in_place.bitwise_right_shift(self, other)

    def __matmul__(self, other: "Array") -> "Array":
        return _matmul(self, other)

    def __rmatmul__(self, other: "Array") -> "Array":
        return _matmul(other, self)

    def __imatmul__(self, other: "Array") -> "Array":
        return _in_place.become(self, _matmul(self, other))

    def __neg__(self) -> "Array":
        return _elementwise.negative(self)

    def __pos__(self) -> "Array":
        return _elementwise.positive(self)

    def __abs__(self) -> "Array":
        return _elementwise.abs(self)

    def __invert__(self) -> "Array":
        return _elementwise.bitwise_invert(self)

    def __lt__(self, other: Operand) -> "Array":
        return _elementwise.less(self, other)

    def __le__(self, other: Operand) -> "Array":
        return _elementwise.less_equal(self, other)

    def __gt__(self, other: Operand) -> "Array":
        return _elementwise.greater(self, other)

    def __ge__(self, other: Operand) -> "Array":
        return _elementwise.greater_equal(self, other)

    def __eq__(self, other: Operand) -> "Array":  # type: ignore[override]  # elementwise, as in the array API
        return _elementwise.equal(self, other)

    def __ne__(self, other: Operand) -> "Array":  # type: ignore[override]  # elementwise, as in the array API
        return _elementwise.not_equal(self, other)


def same_device(where: str, *arrays: Array) -> Device:
    """The device that all arrays share; raises DeviceError if they do not."""
    try:
        device = arrays[0].storage.device
        for each in arrays:
            if each.storage.device is not device:
                found = ", ".join(each.device.spec for each in arrays)
                raise DeviceError(f"{where}: arrays on different devices ({found}); use x.to_device(device).")
    except AttributeError as error:
        raise not_an_array(where, error.obj) from error
    return device


def not_an_array(where: str, value: Any) -> DTypeError:
    """The error for an argument that should be an Array."""
    return DTypeError(f"{where}: expected an Array, got {type(value).__name__}; use tensor.asarray(…).")


# At the end, since these modules are made of Arrays themselves; methods above need them only when called.
from tensor import conversion as _conversion  # noqa: E402
from tensor import discovery as _discovery  # noqa: E402
from tensor import dlpack as _dlpack  # noqa: E402
from tensor import elementwise as _elementwise  # noqa: E402
from tensor import in_place as _in_place  # noqa: E402
from tensor import indexing as _indexing  # noqa: E402
from tensor import namespace as _namespace  # noqa: E402
from tensor import views as _views  # noqa: E402
from tensor.matmul import matmul as _matmul  # noqa: E402
