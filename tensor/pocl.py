"""PyPI's PoCL on processors that are newer than its compiler.

The LLVM 14 of `pocl-binary-distribution` 3.0 calls a processor that it does not know "generic", and its own
compiler then refuses that name ("unknown target CPU 'generic'"): on a Zen 5 no kernel compiles. PoCL asks one
small exported function for the name. Where that says "generic", its code is replaced, in the memory of this
process only, by code that gives the name of the newest instruction set that the processor and this PoCL have.
"""

import ctypes
import mmap
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from tensor.device import POCL, Device, OpenCLDevice

_AVX2_FLAGS = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}  # those of x86-64-v3 that are ever missing
_READ, _WRITE, _EXECUTE = 1, 2, 4


def is_pocl(device: Device) -> bool:
    """Whether PoCL is the implementation behind a device."""
    return isinstance(device, OpenCLDevice) and str(device.raw.platform.name).strip() == POCL


def name_the_processor() -> None:
    """Make PyPI's PoCL, if it is here, know this processor: before OpenCL is asked for platforms.

    Does nothing on processors that PoCL knows, on other systems than Linux on x86-64, and where the system
    forbids a process to change its own code: kernels do not compile there, and the error says why.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return
    path = _library()
    if path is None:
        return
    try:
        function = ctypes.CDLL(str(path)).pocl_get_llvm_cpu_name
    except (OSError, AttributeError):
        return  # another build of PoCL
    function.restype = ctypes.c_char_p
    if function() == b"generic":
        _replace(ctypes.cast(function, ctypes.c_void_p).value or 0, _returns_copy_of(_instruction_set()))


def _library() -> Path | None:
    """The PoCL that came with pyopencl's wheel."""
    found = find_spec("pyopencl")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.joinpath(".libs").glob("libpocl*.so*"), None)


def _instruction_set() -> bytes:
    flags = next((line for line in _processor_facts() if line.startswith("flags")), "").split()
    return b"x86-64-v3" if set(flags) >= _AVX2_FLAGS else b"x86-64"


def _processor_facts() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def _returns_copy_of(name: bytes) -> bytes:
    """Machine code for `return strdup(name)`: the caller frees what it gets."""
    strdup = ctypes.cast(ctypes.CDLL(None).strdup, ctypes.c_void_p).value or 0
    load_argument, load_function, jump = (
        b"\x48\xbf",
        b"\x48\xb8",
        b"\xff\xe0",
    )  # mov rdi, … · mov rax, … · jmp rax
    return load_argument + _address(_kept(name)) + load_function + _address(strdup) + jump


def _kept(name: bytes) -> int:
    """The address of a C string that stays where it is as long as the process lives."""
    _NAMES.append(ctypes.create_string_buffer(name))
    return ctypes.addressof(_NAMES[-1])


_NAMES: list[ctypes.Array[ctypes.c_char]] = []


def _address(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _replace(address: int, code: bytes) -> None:
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = address // mmap.PAGESIZE * mmap.PAGESIZE
    size = address + len(code) - start
    if protect(start, size, _READ | _WRITE | _EXECUTE) == 0:
        ctypes.memmove(address, code, len(code))
        protect(start, size, _READ | _EXECUTE)
