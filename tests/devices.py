"""The devices that tests run on."""

from collections.abc import Sequence

import tensor
from tensor import program
from tensor.device import OpenCLDevice


def best_devices() -> list[str]:
    """For tests that are not about kernels: the best device of each kind, as `tensor.device` takes it.
    Kernels are tested on the others too, in tests/tensor.
    """
    return list({each.kind: each.spec for each in reversed(tensor.devices())}.values())[::-1]


def opencl_devices() -> list[tensor.Device]:
    """What kernels for any device and those for GPUs are launched on directly."""
    return [each for each in tensor.devices() if each.backend == "opencl"]


def opencl_cpus() -> list[tensor.Device]:
    """What kernels for CPUs are launched on directly. These may read private memory as global, for which a
    GPU gives up its context, and every test that follows in the process fails.
    """
    return [each for each in opencl_devices() if each.kind == "cpu"]


PRETENDER = "gpu-kernels"


def with_gpu_kernels() -> list[tensor.Device]:
    """All devices, and where there is no GPU a CPU that runs the kernels written for GPUs."""
    found = tensor.devices()
    cpu = next((each for each in found if isinstance(each, OpenCLDevice) and each.kind == "cpu"), None)
    if cpu is not None and not any(each.kind == "gpu" for each in found):
        pretender = OpenCLDevice(cpu.raw, PRETENDER)
        pretender.kind = "gpu"
        found.append(pretender)
    return found


_usual_options = program._options


def _options(device: OpenCLDevice, options: Sequence[str]) -> list[str]:
    """A CPU compiler takes three times as long if it optimises GPU kernels, which tells nothing of GPUs."""
    quick = ["-cl-opt-disable"] if device.spec == PRETENDER else []
    return [*_usual_options(device, options), *quick]


program._options = _options
