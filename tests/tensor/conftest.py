"""Every test that takes `device` runs on each device found; NumPy or PyTorch says what is right."""

import numpy
import pytest

import tensor
from tensor.device import OpenCLDevice


def with_gpu_kernels() -> list[tensor.Device]:
    """All devices, and where there is no GPU a CPU that runs the kernels written for GPUs."""
    found = tensor.devices()
    cpu = next((each for each in found if isinstance(each, OpenCLDevice) and each.kind == "cpu"), None)
    if cpu is not None and not any(each.kind == "gpu" for each in found):
        pretender = OpenCLDevice(cpu.raw, "gpu-kernels")
        pretender.kind = "gpu"
        found.append(pretender)
    return found


_DEVICES, _DEVICES_AND_GPU_KERNELS = tensor.devices(), with_gpu_kernels()


def pytest_report_header() -> list[str]:
    """What the tests run on."""
    return [f"{each.spec}: {each.name}" for each in _DEVICES_AND_GPU_KERNELS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per device, unless a module chooses by itself.

    A module that sets GPU_KERNELS_TOO has its kernels for GPUs tested without a GPU as well.
    """
    chosen_there = hasattr(metafunc.module, "device") or any(
        "device" in each.args[0] for each in metafunc.definition.iter_markers("parametrize")
    )
    if "device" in metafunc.fixturenames and not chosen_there:
        both = getattr(metafunc.module, "GPU_KERNELS_TOO", False)
        chosen = _DEVICES_AND_GPU_KERNELS if both else _DEVICES
        metafunc.parametrize("device", chosen, ids=lambda each: each.spec, indirect=True)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> tensor.Device:
    """One of the devices of this machine, the default device during the test."""
    with tensor.use_device(request.param):
        yield request.param


@pytest.fixture
def opencl() -> tensor.Device:
    """The best OpenCL device; without one the test is skipped."""
    found = next((each for each in tensor.devices() if each.backend == "opencl"), None)
    if found is None:
        pytest.skip("no OpenCL device here: " + " ".join(tensor.device_notes()))
    with tensor.use_device(found):
        yield found


@pytest.fixture
def generator() -> numpy.random.Generator:
    """Random test data, the same in each run."""
    return numpy.random.default_rng(7)
