"""Which devices there are, which one is meant by a name, and why there are not more."""

import ctypes.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from tensor import machine_memory
from tensor.device import Device, NumpyDevice, OpenCLDevice
from tensor.errors import DeviceError
from tensor.pocl import is_pocl, name_the_processor

_NVIDIA_LIBRARY = "libnvidia-opencl.so.1"
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
)

_ON_NUMPY = "so arrays live in NumPy; for OpenCL on this CPU: pip install pyopencl[pocl]"

_chosen: ContextVar[Device | None] = ContextVar("device", default=None)


def devices() -> list[Device]:
    """All devices of this machine, the best first: OpenCL GPUs, other OpenCL devices, NumPy last.

    Of two implementations for one CPU, PoCL is the first: the kernels were tuned on it.
    """
    return list(_discovered()[0])


def device_notes() -> list[str]:
    """Why there are not more devices: one sentence each, with what to type where something can be done."""
    return list(_discovered()[1])


@cache
def _discovered() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    found, notes = _opencl_devices()
    order = {"gpu": 0, "accelerator": 1, "cpu": 2}
    found.sort(key=lambda each: (order.get(each.kind, 3), -each.compute_units, not is_pocl(each)))
    if not found and not notes:
        notes.append(f"No OpenCL device was found, {_ON_NUMPY}")
    if not any("nvidia" in each.name.lower() for each in found):
        notes.extend(_nvidia_notes())
    return (*found, _host()), tuple(notes)


def _opencl_devices() -> tuple[list[Device], list[str]]:
    try:
        import pyopencl
    except ImportError as error:
        return [], [f"pyopencl cannot be imported ({error}), {_ON_NUMPY}"]
    name_the_processor()
    try:
        platforms = pyopencl.get_platforms()
    except pyopencl.Error:
        return [], [f"No OpenCL platform is installed, {_ON_NUMPY}"]
    found: list[Device] = []
    notes: list[str] = []
    for p, each in enumerate(platforms):
        try:
            for d, raw in enumerate(each.get_devices()):
                if raw.available and raw.compiler_available:
                    found.append(OpenCLDevice(raw, f"opencl:{p}:{d}"))
        except pyopencl.Error as error:
            notes.append(f"The OpenCL platform {_name(each, p)} does not tell its devices: {error}")
    return found, notes


def _name(platform_: Any, number: int) -> str:
    """The name of a platform that may be too broken to tell it."""
    import pyopencl

    try:
        return str(platform_.name).strip()
    except pyopencl.Error:
        return f"number {number}"


def _nvidia_notes() -> list[str]:
    """NVIDIA's driver brings its OpenCL library, but containers often lack the file that names it to the ICD
    loader."""
    path = next((p for folder in _LIBRARY_FOLDERS if (p := Path(folder) / _NVIDIA_LIBRARY).exists()), None)
    found = str(path) if path else ctypes.util.find_library("nvidia-opencl")
    if not found:
        return []
    return [
        f"NVIDIA's OpenCL library is here ({found}) but not registered. Type: mkdir -p /etc/OpenCL/vendors "
        f"&& echo {_NVIDIA_LIBRARY} > /etc/OpenCL/vendors/nvidia.icd   "
        f"(or, without root: export OCL_ICD_VENDORS={found})"
    ]


def _host() -> NumpyDevice:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return NumpyDevice(f"NumPy on {platform.machine()}", cores, machine_memory.total_bytes())


def device(spec: str | Device | None = None) -> Device:
    """The device that `spec` names: "numpy", "cpu", "gpu", "opencl", "opencl:0:0", or part of a device's
    name.

    None is the default device. Raises DeviceError with the list of devices when nothing fits.
    """
    if isinstance(spec, Device):
        return spec
    if spec is None:
        return default_device()
    wanted = spec.strip().lower() if isinstance(spec, str) else ""
    for matches in (_is_spec, _is_kind, _is_part_of_name):
        for each in devices():
            if wanted and matches(each, wanted):
                return each
    known = "; ".join(f"{each.spec} = {each.name}" for each in devices())
    notes = " ".join(device_notes())
    raise DeviceError(f"There is no device {spec!r}. There are: {known}. {notes}".rstrip())


def _is_spec(each: Device, wanted: str) -> bool:
    return each.spec == wanted


def _is_kind(each: Device, wanted: str) -> bool:
    return wanted in (each.kind, each.backend)


def _is_part_of_name(each: Device, wanted: str) -> bool:
    return wanted in each.name.lower()


def default_device() -> Device:
    """The device of `use_device`, else of MESH_DEVICE, else the best one."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    return _default_of(os.environ.get("MESH_DEVICE"))


@cache
def _default_of(spec: str | None) -> Device:
    return device(spec) if spec else devices()[0]


@contextmanager
def use_device(spec: Any) -> Iterator[Device]:
    """Make a device the default inside the block, in this context (thread or task) only."""
    chosen = device(spec)
    token = _chosen.set(chosen)
    try:
        yield chosen
    finally:
        _chosen.reset(token)
