"""Building OpenCL C text for a device, and the disk cache of binaries that saves doing it again.

A cached file is one line of JSON (kernel names and their argument types, and the binary's hash, since drivers
may crash on a damaged one), then the driver's binary. Its name is a hash of everything the binary depends on:
device, driver, options and source. PoCL has such a cache of its own, and compiles all kernels a second time
when it is asked for a binary, so nothing of it is kept here (docs/log.md).
"""

import hashlib
import json
import os
import re
import tempfile
import uuid
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tensor import hopper
from tensor.build_log import errors_shown, source_label, specialised_to, warnings_shown
from tensor.device import Device, OpenCLDevice
from tensor.errors import DeviceError, KernelBuildError
from tensor.kernel_arguments import Argument
from tensor.pocl import is_pocl

_FORMAT = "2"  # of cached files

Signatures = dict[str, list[Argument]]


@cache
def kernels_folder() -> Path:
    """The folder of the .cl and .h files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "kernels"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "kernels"


def source_text(name: str) -> str:
    """The text of kernels/`name`, or of the file with that path, with its own #include "…" lines replaced by
    the files they name."""
    path = kernels_folder() / name
    if not path.is_file():
        path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise KernelBuildError(
            f"There is no kernel file {name}, neither in {kernels_folder()} nor in {Path.cwd()}."
        ) from error
    return with_includes(text, name)


def with_includes(text: str, file: str) -> str:
    """The text of `file` after a #line that says so, and #include "…" lines replaced by files of kernels/, or
    from the folder of `file`. What is in neither is left to the compiler."""
    lines = [f'#line 1 "{file}"']
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r'#include "(.+)"\s*', line)
        found = _found(match[1], Path(file).parent) if match else None
        lines += [line] if found is None else [source_text(found), f'#line {number + 1} "{file}"']
    return "\n".join([*lines, ""])


def _found(name: str, folder: Path) -> str | None:
    if (kernels_folder() / name).is_file():
        return name
    return str(folder / name) if (folder / name).is_file() else None


def build_program(device: Device, source: str, options: Sequence[str]) -> tuple[Any, Signatures]:
    """The built program and its kernels' argument types, from the disk cache if there; raises
    KernelBuildError."""
    if not isinstance(device, OpenCLDevice):
        raise DeviceError(f"A kernel needs an OpenCL device, but its arrays are on {device.spec}.")
    with device.build_lock:
        return _program(device, source, _options(device, options))


def compiler_warnings(device: OpenCLDevice, source: str, options: Sequence[str]) -> str:
    """What the compiler warns of, with source lines and carets; empty if nothing. Compiles anew.

    Drivers have caches of their own, and out of NVIDIA's a program comes without its warnings; so the text
    ends with a type that no text had before.
    """
    import pyopencl

    new = f"{source}\ntypedef int compiled_anew_{uuid.uuid4().hex};\n"
    with device.build_lock:
        program = _compile(device, new, _options(device, options))
    log = program.get_build_info(device.raw, pyopencl.program_build_info.LOG)
    return warnings_shown(str(log), source)


def _options(device: OpenCLDevice, options: Sequence[str]) -> list[str]:
    import pyopencl

    exact = pyopencl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
    rounding = ["-cl-fp32-correctly-rounded-divide-sqrt"] if device.raw.single_fp_config & exact else []
    return ["-cl-std=CL1.2", "-cl-kernel-arg-info", *rounding, *options]


def _program(device: OpenCLDevice, source: str, options: list[str]) -> tuple[Any, Signatures]:
    """The built program and the argument types of its kernels: from memory, from disk, or compiled."""
    identity = "\0".join([_FORMAT, device.name, device.driver, *options, source])
    key = hashlib.sha256(identity.encode()).hexdigest()[:40]
    found: tuple[Any, Signatures] | None = device.programs.get(key)
    if found is None:
        found = device.programs[key] = _loaded_or_compiled(device, source, options, key)
        device.sources[found[0].int_ptr] = source
    return found


def kernel_label(device: OpenCLDevice, kernel: Any) -> str:
    """What to call a pyopencl kernel in a report: file, function, and what the file was specialised to."""
    import pyopencl

    program = kernel.get_info(pyopencl.kernel_info.PROGRAM)
    source = device.sources.get(program.int_ptr, "")
    return f"{source_label(source)}{kernel.function_name}{specialised_to(source)}"


def _loaded_or_compiled(
    device: OpenCLDevice, source: str, options: list[str], key: str
) -> tuple[Any, Signatures]:
    path = None if is_pocl(device) else cache_folder() / "kernels" / f"{key}.bin"
    loaded = None if path is None else _load(device, path)
    if loaded is not None:
        return loaded
    program = _compile(device, source, options)
    signatures = _signatures(program)
    if hopper.MARK in source:
        program = hopper.assembled(program)
    if path is not None:
        _store(path, program, signatures)
    return program, signatures


def _compile(device: OpenCLDevice, source: str, options: list[str]) -> Any:
    import pyopencl

    try:
        return _built(pyopencl.Program(device.context, source), options)
    except pyopencl.Error as error:
        shown = errors_shown(str(error), source, options)
        raise KernelBuildError(f"OpenCL C text does not compile on {device.name}:\n{shown}") from error


def _built(program: Any, options: list[str]) -> Any:
    """`program` built, without the notes that drivers report as compiler output ("1 warning generated").

    And without pyopencl's disk cache, out of which a program comes that does not know its arguments' types:
    to ask for anything before building turns it off, with another warning.
    """
    import pyopencl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.get_info(pyopencl.program_info.NUM_DEVICES)
        return program.build(options)


def _signatures(program: Any) -> Signatures:
    import pyopencl

    if not program.get_info(pyopencl.program_info.NUM_KERNELS):
        return {}  # asked for the names of none, NVIDIA's driver crashes
    info = pyopencl.kernel_arg_info
    names = program.get_info(pyopencl.program_info.KERNEL_NAMES).split(";")
    kernels = {name: pyopencl.Kernel(program, name) for name in names if name}
    return {
        name: [
            Argument(str(each.get_arg_info(i, info.TYPE_NAME)), str(each.get_arg_info(i, info.NAME)))
            for i in range(each.num_args)
        ]
        for name, each in kernels.items()
    }


def cache_folder() -> Path:
    """Where binaries and tuned parameters are kept: MESH_CACHE, else the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("MESH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mesh"))


def _load(device: OpenCLDevice, path: Path) -> tuple[Any, Signatures] | None:
    """The program and signatures of a cached file; None if it is not there, damaged, or no longer usable."""
    import pyopencl

    try:
        line, binary = path.read_bytes().split(b"\n", 1)
        head = json.loads(line)
        if head["sha256"] != hashlib.sha256(binary).hexdigest():
            return None
        signatures = {name: [Argument(*each) for each in taken] for name, taken in head["kernels"].items()}
        program = _built(pyopencl.Program(device.context, [device.raw], [binary]), [])
    except (OSError, ValueError, KeyError, TypeError, pyopencl.Error):
        return None
    return program, signatures


def _store(path: Path, program: Any, signatures: Signatures) -> None:
    import pyopencl

    binary = program.get_info(pyopencl.program_info.BINARIES)[0]
    head = {"sha256": hashlib.sha256(binary).hexdigest(), "kernels": signatures}
    with suppress(OSError):  # a cache that cannot be written costs time, never correctness
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".new", delete=False) as file:
            try:
                file.write(json.dumps(head).encode() + b"\n" + binary)
                file.close()
                os.replace(file.name, path)  # atomic: another process sees the whole file or none
            except OSError:
                os.unlink(file.name)
