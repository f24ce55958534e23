"""The devices that tests run on."""

import tensor
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


def with_gpu_kernels() -> list[tensor.Device]:
    """All devices, and where there is no GPU a CPU that runs the kernels written for GPUs."""
    found = tensor.devices()
    cpu = next((each for each in found if isinstance(each, OpenCLDevice) and each.kind == "cpu"), None)
    if cpu is not None and not any(each.kind == "gpu" for each in found):
        pretender = OpenCLDevice(cpu.raw, "gpu-kernels")
        pretender.kind = "gpu"
        found.append(pretender)
    return found
