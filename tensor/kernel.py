"""A kernel that can be called: it sets its arguments and goes through the device's queue.

`tensor.kernel(source_or_name, name)` is the user's door; primitives use the same one through `built()`.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, OpenCLDevice
from tensor.discovery import default_device
from tensor.errors import DeviceError, KernelBuildError, ShapeError
from tensor.program import argument_dtype, build_program, source_text
from tensor.queue import Size


class DeviceKernel:
    """One kernel built for one device. Call it with sizes and raw arguments; arrays go in as `x.buffer,
    x.offset`.

    Arguments are pyopencl buffers, Python numbers for scalars, bytes for OpenCL vectors such as int8, and
    pyopencl.LocalMemory. An OpenCL kernel object holds its arguments, so each thread has its own.
    """

    def __init__(
        self, device: OpenCLDevice, program: Any, name: str, types: Sequence[numpy.dtype[Any] | None]
    ) -> None:
        self.device = device
        self.name = name
        self._program = program
        self._types = types
        self._queue = device.queue
        self._thread = threading.local()

    def __call__(self, global_size: Size, *arguments: Any, local_size: Size | None = None) -> None:
        self._queue.launch(self, global_size, local_size, arguments)

    def prepared(self, arguments: Sequence[Any]) -> Any:
        """This thread's pyopencl kernel with the arguments set."""
        try:
            kernel = self._thread.kernel
        except AttributeError:
            kernel = self._thread.kernel = self._new()
        try:
            kernel.set_args(*arguments)
        except Exception as error:
            raise self._wrong_arguments(arguments, error) from error
        return kernel

    def bound(self, arguments: Sequence[Any]) -> Any:
        """A new pyopencl kernel of its own with the arguments set, for a recording."""
        import pyopencl

        kernel = pyopencl.Kernel(self._program, self.name)
        try:
            for i, (dtype, value) in enumerate(zip(self._types, arguments, strict=True)):
                kernel.set_arg(i, value if dtype is None or dtype.kind == "V" else dtype.type(value))
        except Exception as error:
            raise self._wrong_arguments(arguments, error) from error
        return kernel

    def _new(self) -> Any:
        """A kernel object that packs Python numbers by itself; that costs a millisecond once, and little per
        call."""
        import pyopencl

        # Program attribute access (`program.name`) costs 100 µs and warns; the constructor does neither.
        kernel = pyopencl.Kernel(self._program, self.name)
        kernel.set_scalar_arg_dtypes(self._types)
        return kernel

    def _wrong_arguments(self, arguments: Sequence[Any], error: Exception) -> KernelBuildError:
        expected = ", ".join("buffer" if each is None else str(each) for each in self._types)
        given = ", ".join(type(each).__name__ for each in arguments)
        return KernelBuildError(
            f"Kernel {self.name} takes {len(self._types)} arguments ({expected}); "
            f"got {len(arguments)} ({given}): {error}"
        )


class Kernel:
    """A user's OpenCL kernel: `k(global_size, *args, local_size=None)` launches it where its arrays live.

    Arguments are arrays (contiguous and not a slice of a larger one; pass `x.buffer, x.offset` for those),
    Python or NumPy numbers, and pyopencl objects. Writes land in the arrays given. Raises KernelBuildError,
    DeviceError, ShapeError.
    """

    def __init__(self, source: str, name: str, options: Sequence[str] = ()) -> None:
        self.source = source
        self.name = name
        self.options = tuple(options)
        self._built: dict[Device, DeviceKernel] = {}

    def on(self, device: Device) -> DeviceKernel:
        """This kernel built for `device`, for callers that pass raw buffers themselves."""
        built = self._built.get(device)
        if built is None:
            built = self._built[device] = build(device, self.source, self.name, self.options)
        return built

    def __call__(self, global_size: Size | int, *arguments: Any, local_size: Size | None = None) -> None:
        arrays = [each for each in arguments if isinstance(each, Array)]
        device = arrays[0].device if arrays else default_device()
        for array in arrays:
            if array.device is not device:
                raise DeviceError(
                    f"kernel {self.name}: arrays on {device.spec} and {array.device.spec}; use to_device."
                )
            if array.offset or not array.is_contiguous:
                raise ShapeError(
                    f"kernel {self.name}: an argument of shape {array.shape} is a view with strides "
                    f"{array.strides} at offset {array.offset}; pass x.copy(), or x.buffer and x.offset."
                )
        size = (global_size,) if isinstance(global_size, int) else tuple(global_size)
        raw = [each.buffer if isinstance(each, Array) else each for each in arguments]
        self.on(device)(size, *raw, local_size=local_size)


def kernel(source_or_name: str, name: str, *, options: Sequence[str] = ()) -> Kernel:
    """A kernel from OpenCL C text, or from a file in kernels/ when the text ends in ".cl"."""
    is_file = source_or_name.endswith(".cl") and "\n" not in source_or_name
    return Kernel(source_text(source_or_name) if is_file else source_or_name, name, options)


def built(
    device: Device, file: str, name: str, defines: Mapping[str, str | int] | None = None
) -> DeviceKernel:
    """Kernel `name` of kernels/`file` for `device`, specialised by `#define`s; the same object every time.

    `CPU` is defined as 1 or 0 by the kind of the device.
    """
    assert isinstance(device, OpenCLDevice)
    key = (file, name, tuple(defines.items()) if defines else ())
    found: DeviceKernel | None = device.kernels.get(key)
    if found is None:
        everything = {"CPU": int(device.kind == "cpu"), **(defines or {})}
        # As text in front rather than as -D options: expressions need no quoting then, on any driver.
        head = "".join(f"#define {key} {value}\n" for key, value in everything.items())
        found = device.kernels[key] = build(device, f'{head}#line 1 "{file}"\n{source_text(file)}', name)
    return found


def build(device: Device, source: str, name: str, options: Sequence[str] = ()) -> DeviceKernel:
    """One kernel of OpenCL C text, built for a device; raises KernelBuildError."""
    program, signatures = build_program(device, source, options)
    if name not in signatures:
        raise KernelBuildError(f"The source has no kernel named {name}; it has: {', '.join(signatures)}.")
    assert isinstance(device, OpenCLDevice)  # else build_program has raised
    return DeviceKernel(device, program, name, [argument_dtype(each, name) for each in signatures[name]])


@lru_cache(maxsize=256)
def local_memory(size_bytes: int) -> Any:
    """The argument for a `__local` pointer to `size_bytes`."""
    import pyopencl

    return pyopencl.LocalMemory(size_bytes)
