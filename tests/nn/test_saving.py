"""Saved networks: a resumed run goes on bit for bit, other programs can read them, damage gets a sentence."""

import os
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.numpy
from numpy.typing import NDArray

import nn
import tensor
from nn.errors import SaveError
from tensor import Array, Device


def small() -> nn.Sequential:
    return nn.Sequential(
        fc1=nn.Linear((8, 8, 1), 16), drop=nn.Dropout(0.5), relu=nn.ReLU(), fc2=nn.Linear(16, 10)
    )


def train(network: nn.Layer, optimizer: nn.SGD, steps: range, device: Device) -> None:
    """Steps over the digits; which samples a step takes depends on its number alone."""
    digits = nn.data.load("digits")
    gradient = nn.value_and_grad(network, lambda x, y: nn.softmax_cross_entropy(network(x), y))
    for number in steps:
        samples = slice(20 * number, 20 * number + 20)
        network.randomness.set_step(number, range(samples.start, samples.stop))
        images = digits.train_images[samples].astype(numpy.float32) * numpy.float32(digits.scale)
        gradient(
            tensor.asarray(images, device=device), tensor.asarray(digits.train_labels[samples], device=device)
        )
        optimizer.step(network.vector, network.gradient)


def begun(device: Device) -> tuple[nn.Sequential, nn.SGD]:
    network, optimizer = small().initialize(device, seed=8), nn.SGD(lr=0.05, momentum=0.9, weight_decay=1e-4)
    optimizer.initialize(network.vector)
    return network, optimizer


def bits(array: Array) -> NDArray[Any]:
    return numpy.asarray(array).view(numpy.uint32)


def test_a_resumed_run_goes_on_bit_for_bit(device: Device, tmp_path: Path) -> None:
    network, optimizer = begun(device)
    train(network, optimizer, range(6), device)

    half, half_optimizer = begun(device)
    train(half, half_optimizer, range(3), device)
    nn.save(tmp_path / "half.safetensors", half, half_optimizer, step=3, seed=8)
    saved = nn.load(tmp_path / "half.safetensors", device=device)
    assert (saved.step, saved.seed) == (3, 8)
    assert saved.optimizer is not None
    assert saved.optimizer.definition() == optimizer.definition()
    train(saved.network, saved.optimizer, range(saved.step, 6), device)

    assert numpy.array_equal(bits(saved.network.vector), bits(network.vector))
    assert numpy.array_equal(bits(saved.optimizer.state["velocity"]), bits(optimizer.state["velocity"]))


def test_other_programs_can_read_it(device: Device, tmp_path: Path) -> None:
    network, _ = begun(device)
    nn.save(tmp_path / "network.safetensors", network)
    arrays = safetensors.numpy.load_file(tmp_path / "network.safetensors")
    assert set(arrays) == set(network.parameters())
    for name, array in arrays.items():
        assert numpy.array_equal(array, numpy.asarray(network.parameters()[name]))


def test_a_network_without_definition_is_given_to_load(tmp_path: Path) -> None:
    class Whole(nn.Layer):
        def __init__(self) -> None:
            self.inner = nn.Linear(3, 2)

        def forward(self, x: Array) -> Array:
            return self.inner(x) * 2.0

    network = Whole().initialize("numpy", seed=1)
    nn.save(tmp_path / "whole", network)
    with pytest.raises(SaveError, match=r"has no definition of its network: give load\(\) the network"):
        nn.load(tmp_path / "whole")
    other = Whole().initialize("numpy", seed=2)
    vector = other.vector
    assert nn.load(tmp_path / "whole", other).network is other
    assert other.vector is vector
    assert numpy.array_equal(bits(other.vector), bits(network.vector))


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small().initialize("numpy")
    path = tmp_path / "network.safetensors"
    nn.save(path, network, step=1)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SaveError, match="cannot be written: No space left on device"):
        nn.save(path, network, step=2)
    assert [each.name for each in tmp_path.iterdir()] == ["network.safetensors"]
    assert nn.load(path, device="numpy").step == 1


def test_damaged_files_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    with pytest.raises(SaveError, match="There is no file") as caught:
        nn.load(path)
    assert caught.value.exit_code == 5
    nn.save(path, small().initialize("numpy"))
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"x" * 200):
        path.write_bytes(damaged)
        with pytest.raises(SaveError, match="not a sound safetensors file"):
            nn.load(path)
    metadata = {"format": "mesh-1", "step": "{", "seed": "0"}
    safetensors.numpy.save_file({"a": numpy.zeros(3)}, path, metadata)
    with pytest.raises(SaveError, match=r"The metadata of .* is not JSON"):
        nn.load(path)
    nn.save(path, small().initialize("numpy"), input_shape=(8, 8, -1))
    with pytest.raises(SaveError, match=r"input_shape of .* is \[8, 8, -1\]; expected a list of sizes"):
        nn.load(path, device="numpy")
    safetensors.numpy.save_file({"a": numpy.zeros(3)}, path)
    with pytest.raises(SaveError, match=r"not written by nn.save: its format is None"):
        nn.load(path)


def test_files_of_other_networks_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    nn.save(path, small().initialize("numpy"))
    fewer = nn.Sequential(fc1=nn.Linear((8, 8, 1), 16)).initialize("numpy")
    with pytest.raises(SaveError, match=r"of another network: this one has no parameter 'fc2.bias'"):
        nn.load(path, fewer)
    other = nn.Sequential(fc1=nn.Linear(64, 16), fc2=nn.Linear(16, 11)).initialize("numpy")
    with pytest.raises(
        SaveError, match=r"its 'fc2.weight' is float32 \[10, 16\]; expected float32 \[11, 16\]"
    ):
        nn.load(path, other)
    more = nn.Sequential(*small().children.values(), fc9=nn.Linear(2, 2)).initialize("numpy")
    with pytest.raises(SaveError, match="of another network"):
        nn.load(path, more)


def test_an_optimizer_without_state_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"call optimizer.initialize\(network.vector\) first"):
        nn.save(tmp_path / "network", small().initialize("numpy"), nn.SGD(lr=0.1))
    assert not list(tmp_path.iterdir())
