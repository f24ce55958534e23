"""What the tests of real peers share."""

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tensor
from tests.mesh.processes import Mesh


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Mesh]:
    """Starts peers, and ends those that are left when the test is over."""
    mesh = Mesh(tmp_path)
    try:
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A folder for MESH_DATA with IDX files of MNIST's sizes that hold noise."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10_000, 28, 28), np.uint8)
    labels = random.integers(0, 10, 10_000).astype(np.uint8)
    for name, kind, array in (("images", 3, images), ("labels", 1, labels)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        path = folder / f"t10k-{name}-idx{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(header + array.tobytes(), 1))
    return folder.parent


@pytest.fixture
def opencl() -> str:
    """What --device takes for some OpenCL device."""
    found = next((device.spec for device in tensor.devices() if device.backend == "opencl"), None)
    if found is None:
        pytest.skip("no OpenCL device here")
    return found
