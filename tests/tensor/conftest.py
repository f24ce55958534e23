"""Every test that takes `device` runs on each device found; NumPy or PyTorch says what is right."""

import numpy
import pytest

import tensor


@pytest.fixture(params=tensor.devices(), ids=lambda each: each.spec)
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
