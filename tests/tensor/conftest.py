"""Every test that takes `device` runs on each device found; NumPy or PyTorch says what is right."""

import numpy
import pytest

import tensor
from tensor.dtypes import ALL
from tests.devices import opencl_cpus, opencl_devices, with_gpu_kernels

_DEVICES, _DEVICES_AND_GPU_KERNELS = tensor.devices(), with_gpu_kernels()


def pytest_report_header() -> list[str]:
    """What the tests run on."""
    return [f"{each.spec}: {each.name}" for each in _DEVICES_AND_GPU_KERNELS]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A dtype is a word in a kernel's text: a second implementation for one processor need not compile all.

    Intel's takes 0.3 s a kernel, and the kernels of all dtypes would be half of the time of all tests.
    """
    if config.getoption("--every-dtype"):
        return
    second = _second_implementations()
    left_out = [item for item in items if _device_of(item) in second and _dtypes_of(item) - _ENOUGH_DTYPES]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


_DTYPES = {each.name for each in ALL}
_ENOUGH_DTYPES = {"float32", "int64", "bool"}


def _second_implementations() -> set[str]:
    return {each.spec for each in opencl_cpus()[1:]}


def _parameters(item: pytest.Item) -> dict[str, object]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def _device_of(item: pytest.Item) -> str:
    return getattr(_parameters(item).get("device"), "spec", "")


def _dtypes_of(item: pytest.Item) -> set[str]:
    return {str(getattr(value, "__name__", value)) for value in _parameters(item).values()} & _DTYPES


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
    found = next(iter(opencl_devices()), None)
    if found is None:
        pytest.skip("no OpenCL device here: " + " ".join(tensor.device_notes()))
    with tensor.use_device(found):
        yield found


@pytest.fixture
def generator() -> numpy.random.Generator:
    """Random test data, the same in each run."""
    return numpy.random.default_rng(7)
