"""OpenCL C text to a callable kernel: find it, build it once, cache the binary on disk, set arguments, launch.

`tensor.kernel(source_or_name, name)` is the user's door; primitives use the same one through `built()`.
"""

import hashlib
import json
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy

from tensor.array import Array
from tensor.device import Device, OpenCLDevice
from tensor.discovery import default_device
from tensor.errors import DeviceError, KernelBuildError, ShapeError
from tensor.queue import Size

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
_VECTOR = re.compile(r"(u?(?:char|short|int|long)|float|double)(2|4|8|16)")


@cache
def kernels_folder() -> Path:
    """The folder of the .cl and .h files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "kernels"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "kernels"


@cache
def source_text(name: str) -> str:
    """The text of kernels/`name` with its own #include lines replaced by the files they name."""
    path = kernels_folder() / name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise KernelBuildError(f"There is no kernel file {name} in {path.parent}.") from error
    return re.sub(r'^#include "(.+)"$', lambda match: source_text(match.group(1)), text, flags=re.MULTILINE)


class DeviceKernel:
    """One kernel built for one device. Call it with sizes and raw arguments; arrays go in as `x.buffer, x.offset`.

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
        kernel = self._new()
        try:
            kernel.set_args(*arguments)
        except Exception as error:
            raise self._wrong_arguments(arguments, error) from error
        return kernel

    def _new(self) -> Any:
        import pyopencl

        # Program attribute access (`program.name`) costs 100 µs and warns; the constructor does neither.
        kernel = pyopencl.Kernel(self._program, self.name)
        kernel.set_scalar_arg_dtypes(self._types)
        return kernel

    def _wrong_arguments(self, arguments: Sequence[Any], error: Exception) -> KernelBuildError:
        expected = ", ".join("buffer" if each is None else str(each) for each in self._types)
        given = ", ".join(type(each).__name__ for each in arguments)
        return KernelBuildError(
            f"Kernel {self.name} takes {len(self._types)} arguments ({expected}); got {len(arguments)} ({given}): {error}"
        )


class Kernel:
    """A user's OpenCL kernel: `k(global_size, *args, local_size=None)` launches it where its arrays live.

    Arguments are arrays (contiguous and not a slice of a larger one; pass `x.buffer, x.offset` for those), Python or
    NumPy numbers, and pyopencl objects. Writes land in the arrays given. Raises KernelBuildError, DeviceError,
    ShapeError.
    """

    def __init__(self, source: str, name: str, options: Sequence[str] = ()) -> None:
        self.source = source
        self.name = name
        self.options = tuple(options)
        self._built: dict[str, DeviceKernel] = {}

    def on(self, device: Device) -> DeviceKernel:
        """This kernel built for `device`, for callers that pass raw buffers themselves."""
        built = self._built.get(device.spec)
        if built is None:
            built = self._built[device.spec] = build(device, self.source, self.name, self.options)
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
                    f"kernel {self.name}: an argument of shape {array.shape} is a view with strides {array.strides} at "
                    f"offset {array.offset}; pass x.copy(), or x.buffer and x.offset and use them in the kernel."
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
    """Build OpenCL C text for a device, or take the binary of an earlier build; raises KernelBuildError."""
    if not isinstance(device, OpenCLDevice):
        raise DeviceError(f"Kernel {name} needs an OpenCL device, but its arrays are on {device.spec}.")
    with device.build_lock:
        program, signatures = _program(device, source, _options(device, options))
    if name not in signatures:
        raise KernelBuildError(f"The source has no kernel named {name}; it has: {', '.join(signatures)}.")
    return DeviceKernel(device, program, name, [_argument_dtype(each, name) for each in signatures[name]])


def _options(device: OpenCLDevice, options: Sequence[str]) -> list[str]:
    import pyopencl

    exact = pyopencl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
    rounding = ["-cl-fp32-correctly-rounded-divide-sqrt"] if device.raw.single_fp_config & exact else []
    return ["-cl-std=CL1.2", "-cl-kernel-arg-info", *rounding, *options]


Signatures = dict[str, list[str]]


def _program(device: OpenCLDevice, source: str, options: list[str]) -> tuple[Any, Signatures]:
    """The built program and the argument types of its kernels, from the disk cache if they are there."""
    identity = "\0".join([device.name, device.driver, *options, source])
    path = cache_folder() / "kernels" / (hashlib.sha256(identity.encode()).hexdigest()[:40] + ".bin")
    loaded = _load(device, path)
    if loaded is not None:
        return loaded
    program = _compile(device, source, options)
    signatures = _signatures(program)
    _store(path, program, signatures)
    return program, signatures


def _compile(device: OpenCLDevice, source: str, options: list[str]) -> Any:
    import pyopencl

    with warnings.catch_warnings():
        # Drivers report notes of their own ("1 warning generated") as compiler output; only failures matter here.
        warnings.simplefilter("ignore", pyopencl.CompilerWarning)
        try:
            return pyopencl.Program(device.context, source).build(options)
        except pyopencl.Error as error:
            raise KernelBuildError(_readable(str(error), source, device)) from error


def _readable(log: str, source: str, device: OpenCLDevice) -> str:
    """The compiler's messages, with the source lines that they point at."""
    lines = source.splitlines()
    marker = next((i for i, line in enumerate(lines) if line.startswith("#line 1 ")), -1)
    messages = []
    for line in log.splitlines():
        match = re.search(r":(\d+):(\d+): *((?:fatal )?error: .*)", line)
        if match:
            number = int(match.group(1))
            text = lines[marker + number] if 0 <= marker + number < len(lines) else ""
            messages.append(f"  line {number}: {match.group(3)}\n    {text.strip()}")
    return f"An OpenCL kernel does not compile on {device.name}:\n" + ("\n".join(messages) or log)


def _signatures(program: Any) -> Signatures:
    import pyopencl

    kind = pyopencl.kernel_arg_info.TYPE_NAME
    names = program.get_info(pyopencl.program_info.KERNEL_NAMES).split(";")
    kernels = {name: pyopencl.Kernel(program, name) for name in names}
    return {
        name: [each.get_arg_info(i, kind) for i in range(each.num_args)] for name, each in kernels.items()
    }


def _argument_dtype(type_name: str, kernel_name: str) -> numpy.dtype[Any] | None:
    """How pyopencl is to pack an argument of this OpenCL type: None for buffers, raw bytes for vectors."""
    type_name = type_name.strip()
    if type_name.endswith("*"):
        return None
    spelled = re.sub(r"unsigned (\w+)", r"u\1", type_name)
    if spelled in _SCALARS:
        return numpy.dtype(_SCALARS[spelled])
    vector = _VECTOR.fullmatch(spelled)
    if vector:
        return numpy.dtype((numpy.void, numpy.dtype(_SCALARS[vector[1]]).itemsize * int(vector[2])))
    raise KernelBuildError(
        f"Kernel {kernel_name} has an argument of type {type_name}; use OpenCL's own type names (#define, not typedef)."
    )


def cache_folder() -> Path:
    """Where binaries and tuned parameters are kept: MESH_CACHE, else the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("MESH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mesh"))


def _load(device: OpenCLDevice, path: Path) -> tuple[Any, Signatures] | None:
    """A cached binary: one line of JSON with the signatures, then the driver's bytes. None if it is not usable."""
    import pyopencl

    try:
        head, binary = path.read_bytes().split(b"\n", 1)
        program = pyopencl.Program(device.context, [device.raw], [binary]).build()
        signatures: Signatures = json.loads(head)
    except (OSError, ValueError, pyopencl.Error):
        return (
            None  # not there, cut short, or of a driver that has changed under the same version: build anew
        )
    return program, signatures


def _store(path: Path, program: Any, signatures: Signatures) -> None:
    import pyopencl

    binary = program.get_info(pyopencl.program_info.BINARIES)[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(json.dumps(signatures).encode() + b"\n" + binary)
        os.replace(file.name, path)  # atomic: another process sees the whole file or none
    except OSError:
        return  # a cache that cannot be written costs time, never correctness
