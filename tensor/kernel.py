"""A kernel that can be called: it sets its arguments and goes through the device's queue.

`tensor.kernel(source_or_name, name)` is the user's door; primitives use the same one through `built()`.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tensor.array import Array
from tensor.axes import sizes_of
from tensor.device import Device, OpenCLDevice
from tensor.discovery import default_device
from tensor.discovery import device as find_device
from tensor.errors import DeviceError, KernelBuildError, ShapeError
from tensor.kernel_arguments import Argument, check_array, packed, wrong_arguments
from tensor.memory import settle
from tensor.program import build_program, compiler_warnings, source_text, with_includes
from tensor.queue import Size


class DeviceKernel:
    """One kernel built for one device. Call it with sizes and raw arguments; arrays go in as `x.buffer,
    x.offset`.

    Arguments are pyopencl buffers, Python numbers for scalars, bytes for OpenCL vectors such as int8, and
    pyopencl.LocalMemory. An OpenCL kernel object holds its arguments, so each thread has its own.
    """

    def __init__(self, device: OpenCLDevice, program: Any, name: str, takes: Sequence[Argument]) -> None:
        self.device = device
        self.name = name
        self._program = program
        self.takes = takes
        self._types = [each.dtype(name) for each in takes]
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
                kernel.set_arg(i, packed(value, dtype))
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
        import pyopencl

        kernel = pyopencl.Kernel(self._program, self.name)

        def try_argument(index: int, value: Any) -> None:
            kernel.set_arg(index, packed(value, self._types[index]))

        return wrong_arguments(self.name, self.takes, arguments, try_argument, error)


class Kernel:
    """A user's OpenCL kernel: `k(global_size, *args, local_size=None)` launches it where its arrays live.

    Arguments are arrays of the dtype that the kernel's pointer says (contiguous and not a slice of a larger
    one; pass `x.buffer, x.offset` for those), Python or NumPy numbers, and pyopencl objects. Writes land in
    the arrays given. Raises KernelBuildError, DeviceError, DTypeError, ShapeError.
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

    def warnings(self, spec: Device | str | None = None) -> str:
        """What a device's compiler warns of, with source lines and carets; empty if nothing."""
        target = find_device(spec)
        if not isinstance(target, OpenCLDevice):
            raise DeviceError(
                f"Kernel {self.name} is compiled for OpenCL devices only, not for {target.spec}."
            )
        return compiler_warnings(target, self.source, self.options)

    def __call__(
        self, global_size: Size | int, *arguments: Any, local_size: Size | int | None = None
    ) -> None:
        settle()
        arrays = [each for each in arguments if isinstance(each, Array)]
        device = arrays[0].device if arrays else default_device()
        for array in arrays:
            if array.device is not device:
                raise DeviceError(
                    f"kernel {self.name}: arrays on {device.spec} and {array.device.spec}; use to_device."
                )
        kernel = self.on(device)
        for number, (argument, value) in enumerate(zip(kernel.takes, arguments, strict=False), 1):
            if isinstance(value, Array):
                check_array(self.name, number, argument, value)
        size = _work_items(self.name, "global", global_size)
        group = None if local_size is None else _work_items(self.name, "local", local_size)
        raw = [each.buffer if isinstance(each, Array) else each for each in arguments]
        kernel(size, *raw, local_size=group)


def _work_items(kernel_name: str, which: str, size: Any) -> Size:
    """A size in work-items as OpenCL takes it; raises ShapeError."""
    where = f"Kernel {kernel_name}: the {which} size"
    sizes = sizes_of(where, size)
    if not 1 <= len(sizes) <= 3 or min(sizes) < 0:
        raise ShapeError(f"{where}: expected one to three sizes, not negative, got {sizes}.")
    return sizes


def kernel(
    source_or_file: str,
    name: str,
    *,
    options: Sequence[str] = (),
    defines: Mapping[str, str | int] | None = None,
) -> Kernel:
    """The kernel `name` of OpenCL C text, or of a file if that ends in ".cl": a path, or a name in kernels/.

    `defines` stand in front of the text as #define lines, `options` go to the compiler; #include "file.h"
    finds the files of kernels/ and those beside a file.
    """
    is_file = source_or_file.endswith(".cl") and "\n" not in source_or_file
    text = source_text(source_or_file) if is_file else with_includes(source_or_file, "source")
    return Kernel(_defining(defines or {}) + text, name, options)


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
        found = device.kernels[key] = build(device, _defining(everything) + source_text(file), name)
    return found


def _defining(defines: Mapping[str, str | int]) -> str:
    """#define lines: unlike in -D options, expressions need no quoting there, on any driver."""
    return "".join(f"#define {name} {value}\n" for name, value in defines.items())


def build(device: Device, source: str, name: str, options: Sequence[str] = ()) -> DeviceKernel:
    """One kernel of OpenCL C text, built for a device; raises KernelBuildError."""
    program, signatures = build_program(device, source, options)
    if name not in signatures:
        has = ", ".join(signatures) or "none; a kernel begins with `kernel void name(…)`"
        raise KernelBuildError(f"The source has no kernel named {name}; it has: {has}.")
    assert isinstance(device, OpenCLDevice)  # else build_program has raised
    return DeviceKernel(device, program, name, signatures[name])


@lru_cache(maxsize=256)
def local_memory(size_bytes: int) -> Any:
    """The argument for a `__local` pointer to `size_bytes`."""
    import pyopencl

    return pyopencl.LocalMemory(size_bytes)
