"""Every test that takes `device` runs on each device found; NumPy or PyTorch says what is right."""

import numpy
import pytest

import tensor
from tensor.dtypes import ALL
from tests.devices import PRETENDER, opencl_cpus, opencl_devices, with_gpu_kernels

_DEVICES, _DEVICES_AND_GPU_KERNELS = tensor.devices(), with_gpu_kernels()


def pytest_report_header() -> list[str]:
    """What the tests run on."""
    return [f"{each.spec}: {each.name}" for each in _DEVICES_AND_GPU_KERNELS]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The short form: tests marked `one_device` on the best device alone, and of dtypes the important ones on
    a second implementation for one processor, and where a CPU runs the kernels for GPUs.

    A dtype is a word in a kernel's text. To compile a kernel takes 0.3 to 1 s, and the kernels of all dtypes
    would be half of the time of all tests.
    """
    if config.getoption("--deep"):
        return
    best, second = _DEVICES[0].spec, {PRETENDER, *(each.spec for each in opencl_cpus()[1:])}
    left_out = {
        item
        for item in items
        if (item.get_closest_marker("one_device") and _device_of(item) != best)
        or (_device_of(item) in second and _dtypes_of(item) - _ENOUGH_DTYPES)
    }
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


_DTYPES = {each.name for each in ALL}
_ENOUGH_DTYPES = {"float32", "int64", "bool"}


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
