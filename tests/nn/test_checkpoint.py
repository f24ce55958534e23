"""What is kept between forward and backward, and `checkpoint=`, which keeps less and has the same bits."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.autograd import recording
from nn.errors import GradientError, NetworkError
from nn.models.resnet import BasicBlock
from tensor import Array, Device


class Clipped(nn.Layer):
    """y = max(x, 0.1 · x), with a way back of its own."""

    def forward(self, x: Array) -> Array:
        return tensor.maximum(x, x * 0.1)

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        return tensor.where(output == x, gradient, gradient * 0.1)


class Twice(nn.Layer):
    """One convolution in two places, and a block that it passes by."""

    def __init__(self) -> None:
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm(8)
        self.last = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Array) -> Array:
        y = self.norm(self.shared(x))
        return self.last(self.shared(y)) + x


def small() -> nn.Layer:
    """All that is particular: a dropout, statistics, a shared parameter, a shortcut, a backward()."""
    return nn.Sequential(
        conv=nn.Conv2d(3, 8, 3, padding=1),
        norm=nn.BatchNorm(8),
        relu=nn.ReLU(),
        twice=Twice(),
        drop=nn.Dropout(0.3),
        clipped=Clipped(),
        deep=nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
        fc=nn.Linear((4, 4, 8), 10),
    )


def graph() -> nn.Layer:
    """The same in the form of a definition: a graph whose layers have branches."""
    blocks = (BasicBlock(4, 4), BasicBlock(4, 6, 2))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *blocks, nn.GlobalAvgPool2d(), nn.Linear(6, 10))
    return nn.load_definition(nn.to_definition(network))


def step_of(
    network: nn.Layer, checkpoint: nn.Checkpoint, accumulate: bool = False
) -> tuple[Callable[[], Array], list[str]]:
    """A step on fixed images, and the names of gradients in the order in which they became final."""
    generator = numpy.random.default_rng(3)
    device = network.vector.device
    x = tensor.asarray(generator.standard_normal((6, 8, 8, 3), numpy.float32), device=device)
    y = tensor.asarray(generator.integers(0, 10, 6).astype(numpy.int32), device=device)
    network.randomness.set_step(5, range(6))
    order: list[str] = []
    step = nn.value_and_grad(
        network,
        lambda: nn.softmax_cross_entropy(network(x), y),
        lambda entry: order.append(entry.name),
        accumulate,
        checkpoint,
    )
    return lambda: step()[0], order


def bits(network: nn.Layer, loss: Array) -> tuple[bytes, bytes]:
    return numpy.asarray(loss).tobytes(), numpy.asarray(network.change).tobytes()


@pytest.mark.parametrize("make", [small, graph])
@pytest.mark.parametrize("recorded", [False, True], ids=["eager", "recorded"])
def test_the_same_bits_in_the_same_order(
    make: Callable[[], nn.Layer], recorded: bool, device: Device
) -> None:
    names = ["twice", "deep"] if make is small else ["1.conv1", "4"]
    found, orders = [], []
    for checkpoint in (None, 1, 3, 100, names):
        network = make().initialize(device, seed=1)
        network.change[...] = 0.5
        step, order = step_of(network, checkpoint, accumulate=True)
        if recorded:
            recording = tensor.record(step, device=device)
            network.change[...] = 0.5
            found.append(bits(network, recording.replay()))
        else:
            found.append(bits(network, step()))
        orders.append(order)
    assert all(each == found[0] for each in found)
    assert all(each == orders[0] for each in orders)
    assert len(set(found[0][1])) > 100  # something was computed


def peak_bytes(step: Callable[[], Array], device: Device) -> int:
    """What a step needs beside what is there."""
    step()
    device.synchronize()
    device.reset_peak_memory()
    before = device.memory().in_use_bytes
    step()
    return device.memory().peak_bytes - before


def deep_network(device: Device) -> nn.Layer:
    blocks = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm(8), nn.ReLU()) for _ in range(12)]
    head = (nn.GlobalAvgPool2d(), nn.Linear(8, 10))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *blocks, *head).initialize(device)


@pytest.mark.usefixtures("no_garbage")
def test_fewer_bytes_with_segments(device: Device) -> None:
    """36 layers keep 24 arrays; in 4 segments 4 and 6 of them."""
    layer_bytes = 6 * 8 * 8 * 8 * 4
    network = deep_network(device)
    plain = peak_bytes(step_of(network, None)[0], device)
    cut = peak_bytes(step_of(network, 4)[0], device)
    assert 25 * layer_bytes < plain < 34 * layer_bytes
    assert cut < 0.6 * plain


@pytest.mark.usefixtures("no_garbage")
def test_only_what_a_derivative_reads_is_kept(device: Device) -> None:
    """Convolution, bias and ReLU make three arrays, of which one is read."""
    network = nn.Sequential(
        *[layer for _ in range(10) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
    ).initialize(device)
    x = tensor.ones((4, 16, 16, 3), device=device)
    before = device.memory().in_use_bytes
    with recording([*network.parameters().values()]) as tape:
        y = network(x)
    kept = device.memory().in_use_bytes - before
    assert len(tape.steps) == 30
    assert kept == 10 * x.size_bytes
    assert numpy.asarray(y).shape == x.shape


@pytest.mark.usefixtures("no_garbage")
def test_activations_go_as_the_walk_passes_them(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.deposit, "_ENOUGH", 1)  # no gradient waits for others
    network = deep_network(device)
    seen: list[int] = []
    x = tensor.ones((6, 8, 8, 3), device=device)
    step = nn.value_and_grad(
        network,
        lambda: tensor.sum(network(x)),
        lambda entry: seen.append(device.memory().in_use_bytes) if entry.name.endswith("0.weight") else None,
    )
    step()
    falls = [before - after for before, after in pairwise(seen)]
    assert len(falls) == 12
    assert all(fall > 6 * 8 * 8 * 8 * 4 for fall in falls[:-1])  # the first layer's input is not ours


def test_statistics_are_observed_and_layers_run_once(device: Device) -> None:
    calls: list[str] = []

    class Counting(nn.Layer):
        def __init__(self) -> None:
            self.norm = nn.BatchNorm(3)

        def forward(self, x: Array) -> Array:
            calls.append("forward")
            return self.norm(x)

    network = nn.Sequential(Counting(), nn.Linear((8, 8, 3), 10)).initialize(device)
    step_of(network, 2)[0]()
    assert calls == ["forward"]


def test_a_checkpoint_that_cannot_be(device: Device) -> None:
    network = small().initialize(device)
    with pytest.raises(NetworkError, match="checkpoint= expected at least one segment, got 0"):
        nn.value_and_grad(network, lambda: tensor.sum(network.vector), checkpoint=0)
    with pytest.raises(
        NetworkError, match=r"names 'twise', which is no layer of the network\. It has conv, norm"
    ):
        nn.value_and_grad(network, lambda: tensor.sum(network.vector), checkpoint=["twise"])


def test_what_was_read_and_then_overwritten_is_refused(device: Device) -> None:
    """Computing again would read something else."""

    class Counts(nn.Layer):
        def __init__(self) -> None:
            self.weight = nn.Parameter((3,), nn.initialization.ones)
            self.passes = tensor.zeros((1,), device=device)

        def forward(self, x: Array) -> Array:
            y = tensor.tanh(x * self.weight + self.passes)
            self.passes[...] = self.passes + 1.0
            return y

    network = nn.Sequential(Counts()).initialize(device)
    x: Any = tensor.ones((2, 3), device=device)
    nn.value_and_grad(network, lambda: tensor.sum(network(x)))()
    with pytest.raises(GradientError, match="wrote in place what had been read before, so that checkpoint="):
        nn.value_and_grad(network, lambda: tensor.sum(network(x)), checkpoint=1)()
