"""Every test of `nn` that takes `device` runs on the best device of each kind, NumPy included."""

from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import tensor
from tensor import Device
from tests.devices import best_devices


@pytest.fixture(params=best_devices())
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with tensor.use_device(request.param):
        yield tensor.device(request.param)


@pytest.fixture
def generator() -> numpy.random.Generator:
    return numpy.random.default_rng(7)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, to compare with; where it is not installed (the extra `reference`), such tests are skipped."""
    module = pytest.importorskip("torch")
    module.set_num_threads(2)
    return module
