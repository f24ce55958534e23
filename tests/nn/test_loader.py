"""The loader: every sample once an epoch in an order of its own, ahead of its consumer and never too far."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray

import nn
import tensor
from mesh.schedule import sample_ids
from nn.data import Loader
from nn.data.dataset import LabelledImages
from nn.errors import DataError
from tensor import Device

DEADLINE_S = 60.0


def numbered(count: int) -> LabelledImages:
    """Sample i is an image of i, and labelled i."""
    images = numpy.arange(count, dtype=numpy.uint8)[:, None, None, None] * numpy.ones(
        (1, 2, 2, 1), numpy.uint8
    )
    return LabelledImages(images, numpy.arange(count, dtype=numpy.int32), 0.5)


class Slow:
    """Ten samples whose gathering waits for `allowed`, one batch each, and counts `begun` batches."""

    scale = None

    def __init__(self, allowed: int = 0) -> None:
        self.begun = 0
        self.allowed = threading.Semaphore(allowed)

    def __len__(self) -> int:
        return 10

    def gather(self, ids: NDArray[numpy.int64]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
        self.begun += 1
        assert self.allowed.acquire(timeout=DEADLINE_S)
        return ids, ids


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def loader_threads() -> int:
    return sum(thread.name == "nn.data.Loader" for thread in threading.enumerate())


def test_every_sample_once_an_epoch_the_last_batch_shorter(device: Device) -> None:
    loader = Loader(numbered(10), batch=4, seed=3, epochs=2)
    batches = list(loader)
    assert len(batches) == len(loader) == 6
    assert [len(batch.samples) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert [batch.step for batch in batches] == [1, 2, 3, 4, 5, 6]
    assert [batch.epoch for batch in batches] == [0, 0, 0, 1, 1, 1]
    for batch in batches:
        assert (batch.inputs.dtype, batch.inputs.device) == (tensor.float32, device)
        assert numpy.asarray(batch.inputs)[:, 1, 1, 0].tolist() == (batch.samples * 0.5).tolist()
        assert numpy.asarray(batch.labels).tolist() == batch.samples.tolist()
    epochs = [[n for batch in batches if batch.epoch == e for n in batch.samples.tolist()] for e in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def samples_of(loader: Loader) -> list[list[int]]:
    return [batch.samples.tolist() for batch in loader]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    data = numbered(30)
    whole = samples_of(Loader(data, 8, seed=5, epochs=3, device="numpy"))
    assert samples_of(Loader(data, 8, seed=5, epochs=3, device="numpy", ahead=7)) == whole
    later = Loader(data, 8, seed=5, epochs=1, first_epoch=2, device="numpy")
    assert samples_of(later) == whole[8:]
    assert [batch.step for batch in later] == [9, 10, 11, 12]
    assert samples_of(Loader(data, 8, seed=6, epochs=3, device="numpy")) != whole
    flat = [each for batch in whole for each in batch]
    assert flat == sample_ids(5, 1, 90, 30).tolist()  # a mesh goes through the data in this order


def test_it_is_ahead_of_a_slow_consumer_by_so_many_and_no_more(device: Device) -> None:
    samples = Slow(allowed=100)
    with iter(Loader(samples, batch=1, ahead=3)) as batches:
        until(lambda: batches.ready == 3)
        assert samples.begun == 3
        for taken in range(1, 8):  # as long as it takes, all that may be ready is ready
            next(batches)
            until(lambda: batches.ready == 3)
            assert samples.begun == 3 + taken
        assert batches.waited <= 1  # for the first one at most
        assert len(list(batches)) == 3


def test_a_slow_source_works_while_its_consumer_does(device: Device) -> None:
    """A batch is begun while the one before is in use, without anybody asking for it."""
    samples = Slow(allowed=1)
    with iter(Loader(samples, batch=1, ahead=1)) as batches:
        for number in range(1, 10):
            next(batches)
            until(lambda begun=number + 1: samples.begun == begun)  # type: ignore[misc]  # mypy: no default
            assert batches.ready == 0
            samples.allowed.release()
        next(batches)
        assert samples.begun == 10
        assert next(batches, None) is None


def test_training_by_it_is_training_on_those_samples(device: Device) -> None:
    digits = nn.data.load("digits")
    weights = []
    for use_loader in (True, False):
        network = nn.Sequential(flat=nn.Flatten(), drop=nn.Dropout(0.2), fc=nn.Linear(64, 10))
        network.initialize(device, seed=1)
        optimizer = nn.SGD(lr=0.1, momentum=0.9)
        optimizer.initialize(network.vector)
        step = nn.value_and_grad(network, lambda x, y, n=network: nn.softmax_cross_entropy(n(x), y))  # type: ignore[misc]
        for batch in Loader(digits.training, batch=400, seed=2, epochs=2):
            inputs, labels = batch.inputs, batch.labels
            if not use_loader:
                ids = batch.samples
                images = digits.train_images[ids].astype(numpy.float32) * numpy.float32(digits.scale)
                inputs, labels = tensor.asarray(images), tensor.asarray(digits.train_labels[ids])
            network.randomness.set_step(batch.step, batch.samples)
            step(inputs, labels)
            network.advance(optimizer)
        weights.append(numpy.asarray(network.vector))
    assert numpy.array_equal(*weights)


def test_a_text_comes_in_pieces(device: Device, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghij" * 3)
    text = nn.data.load_text(tmp_path / "a.txt", validation=0.3)
    batches = list(Loader(text.training(4), batch=6, seed=1))
    assert sum(len(batch.samples) for batch in batches) == 21 - 4
    for batch in batches:
        inputs, labels = numpy.asarray(batch.inputs), numpy.asarray(batch.labels)
        assert inputs.dtype == numpy.int32
        assert (labels == (inputs + 1) % 10).all()
        assert inputs[:, 0].tolist() == (batch.samples % 10).tolist()
    with pytest.raises(DataError, match="pieces of length 21 do not fit"):
        text.training(21)


def test_what_its_thread_meets_comes_in_its_turn() -> None:
    class Broken(Slow):
        def gather(self, ids: NDArray[numpy.int64]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
            if self.begun == 2:
                raise OSError("the disk is gone")
            return super().gather(ids)

    batches = iter(Loader(Broken(allowed=100), batch=1, device="numpy"))
    assert len([next(batches) for _ in range(2)]) == 2
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert next(batches, None) is None
    until(lambda: loader_threads() == 0)


def test_no_wait_is_without_end() -> None:
    samples = Slow()
    batches = iter(Loader(samples, batch=1, device="numpy", timeout_s=0.05))
    with pytest.raises(DataError, match=r"No batch came in 0\.05 s: gathering one takes longer"):
        next(batches)
    samples.allowed.release(100)
    assert len(list(batches)) == 10  # it was only slow


@pytest.mark.parametrize("how", ["close", "with", "drop", "end"])
def test_the_thread_ends_with_its_iteration(how: str) -> None:
    batches = iter(Loader(numbered(10), batch=1, device="numpy"))
    next(batches)
    assert loader_threads() == 1
    if how == "close":
        batches.close()
        assert next(batches, None) is None
    elif how == "with":
        with batches:
            pass
    elif how == "drop":
        del batches
        gc.collect()
    else:
        assert len(list(batches)) == 9
    assert loader_threads() == 0


def test_a_program_may_end_in_the_middle(tmp_path: Path) -> None:
    program = (
        "import numpy, nn\n"
        "digits = nn.data.load('digits')\n"
        "batches = iter(nn.data.Loader(digits.training, batch=10, epochs=1000, device='numpy'))\n"
        "print(len(next(batches).samples))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # packages may lie anywhere there
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "10\n", "")


def test_what_cannot_be() -> None:
    for settings in (
        {"batch": 0},
        {"batch": 1, "ahead": 0},
        {"batch": 1, "epochs": -1},
        {"batch": 1, "seed": -1},
    ):
        with pytest.raises(DataError, match="Loader expected samples, a batch"):
            Loader(numbered(3), device="numpy", **settings)
    assert list(Loader(numbered(3), batch=2, epochs=0, device="numpy")) == []
