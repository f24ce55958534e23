"""Networks in float64: steps as PyTorch's float64 takes them, on every device; what stays float32 says so.

Layers, losses and optimizers one by one are in the tests of those, with float64 as another dtype.
"""

from pathlib import Path
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.errors import GradientError, NetworkError, SaveError
from tensor import Array, Device
from tensor.device import OpenCLDevice
from tests.devices import best_devices
from tests.torch_twin import Twin


def small() -> nn.Layer:
    """Of each kind of primitive one, and nothing that PyTorch draws otherwise."""
    return nn.Sequential(
        conv=nn.Conv2d(3, 6, 3, padding=1, bias=False),
        norm=nn.BatchNorm(6),
        relu=nn.ReLU(),
        depthwise=nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
        pool=nn.MaxPool2d(2),
        average=nn.AvgPool2d(2),
        fc=nn.Linear((2, 2, 6), 4),
    )


def batch(generator: numpy.random.Generator) -> tuple[Any, Any]:
    return generator.standard_normal((5, 8, 8, 3)), generator.integers(0, 4, 5)


def trained(
    device: Device | str, x: Any, labels: Any, steps: int = 3, recorded: bool = False
) -> tuple[nn.Layer, float]:
    """The network after some steps, and the loss of the last one."""
    network = small().initialize(device, seed=3, dtype=tensor.float64)
    optimizer = nn.Adam(0.01, clip_norm=0.5)
    optimizer.initialize(network.vector, network.table)
    x, labels = tensor.asarray(x, device=device), tensor.asarray(labels, device=device)
    gradient = nn.value_and_grad(network, lambda: nn.softmax_cross_entropy(network(x), labels))

    def step() -> Array:
        loss, _ = gradient()
        network.advance(optimizer)
        return loss

    if not recorded:
        losses = [step() for _ in range(steps)]
        return network, float(losses[-1])
    recording = tensor.record(step, device=tensor.device(device))  # which does it once
    for _ in range(steps - 1):
        loss = recording.replay()
    return network, float(loss)


def test_steps_are_pytorchs(device: Device, generator: numpy.random.Generator, torch: Any) -> None:
    x, labels = batch(generator)
    twin = Twin(small().initialize("numpy", seed=3, dtype="float64"), torch)
    optimizer = torch.optim.Adam(twin.parameters.values(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(labels))
        expected.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters.values(), 0.5)
        optimizer.step()
    network, loss = trained(device, x, labels)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    for name, ours in network.parameters().items():
        theirs = twin.parameters[name].detach().numpy()
        theirs = theirs.transpose(0, 2, 3, 1) if theirs.ndim == 4 else theirs
        numpy.testing.assert_allclose(numpy.asarray(ours), theirs, rtol=1e-9, atol=1e-11)


def test_a_recorded_step_has_the_same_bits(device: Device, generator: numpy.random.Generator) -> None:
    x, labels = batch(generator)
    (one, loss), (other, again) = (trained(device, x, labels, recorded=each) for each in (False, True))
    assert loss == again
    assert numpy.asarray(one.state).tobytes() == numpy.asarray(other.state).tobytes()


def test_a_device_without_float64_trains_all_the_same(generator: numpy.random.Generator) -> None:
    found = next((spec for spec in best_devices() if spec != "numpy"), None)
    if found is None:
        pytest.skip("there is no OpenCL device")
    full = tensor.device(found)
    assert isinstance(full, OpenCLDevice)
    device = OpenCLDevice(full.raw, found)
    device._native -= {tensor.float64}
    x, labels = batch(generator)
    network, _ = trained(device, x, labels)
    assert network.state.on_host
    expected, _ = trained("numpy", x, labels)
    numpy.testing.assert_allclose(
        numpy.asarray(network.state), numpy.asarray(expected.state), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_and_embeddings(dropout: float, device: Device, generator: numpy.random.Generator) -> None:
    network = nn.Sequential(
        tokens=nn.Embedding(7, 6),
        places=nn.PositionalEmbedding(5, 6),
        attention=nn.MultiHeadAttention(6, 2, causal=True, dropout=dropout),
        drop=nn.Dropout(dropout),
    ).initialize(device, seed=1, dtype="float64")
    network.randomness.set_step(1, range(2))
    nn.check_gradient(network, tensor.asarray(generator.integers(0, 7, (2, 5)), device=device), elements=3)


def test_it_begins_as_in_float32_and_takes_float32(device: Device, generator: numpy.random.Generator) -> None:
    single, double = small().initialize(device, seed=3), small().initialize(device, seed=3, dtype="float64")
    assert double.state.dtype == double.gradient.dtype == tensor.float64
    assert numpy.array_equal(numpy.asarray(single.state), numpy.asarray(double.state))
    x = tensor.asarray(batch(generator)[0].astype(numpy.float32), device=device)
    y = double(x)
    assert y.dtype == tensor.float64
    assert numpy.array_equal(numpy.asarray(y), numpy.asarray(double(x.astype(tensor.float64))))
    numpy.testing.assert_allclose(numpy.asarray(single(x)), numpy.asarray(y), atol=1e-5)
    double.initialize(device, seed=3)
    assert double(x).dtype == tensor.float32


def test_normalize_has_all_digits(device: Device) -> None:
    x = tensor.asarray(numpy.full((1, 3), 0.3), device=device)
    y = nn.Normalize((0.1, 0.2, 0.7), (0.3, 0.9, 0.7))(x)
    numpy.testing.assert_allclose(numpy.asarray(y)[0], [0.2 / 0.3, 0.1 / 0.9, -0.4 / 0.7], rtol=1e-15)


def test_it_is_saved_and_loaded(tmp_path: Path, generator: numpy.random.Generator) -> None:
    network, _ = trained("numpy", *batch(generator))
    optimizer = nn.SGD(0.1, momentum=0.9)
    optimizer.initialize(network.vector)
    network.advance(optimizer)
    nn.save(tmp_path / "network", network, optimizer)
    for given in (None, small()):
        found = nn.load(tmp_path / "network", given, device="numpy")
        assert numpy.asarray(found.network.state).tobytes() == numpy.asarray(network.state).tobytes()
        assert found.optimizer is not None
        velocity = optimizer.state["velocity"]
        assert numpy.asarray(found.optimizer.state["velocity"]).tobytes() == numpy.asarray(velocity).tobytes()
    single = small().initialize("numpy")
    with pytest.raises(SaveError, match=r"is float64; expected float32. Make the .*dtype=\"float64\""):
        nn.load(tmp_path / "network", single)
    nn.save_weights(network, tmp_path / "weights.npz")
    nn.load_weights(single, tmp_path / "weights.npz")
    assert numpy.array_equal(numpy.asarray(single.state), numpy.asarray(network.state).astype(numpy.float32))
    again = small().initialize("numpy", dtype="float64")
    nn.load_weights(again, tmp_path / "weights.npz")
    assert numpy.asarray(again.state).tobytes() == numpy.asarray(network.state).tobytes()


def test_a_gradient_of_fewer_digits_is_stored_whole(device: Device) -> None:
    """Of a backward() that makes its arrays without saying of which dtype."""

    class Ones(nn.Layer):
        def __init__(self) -> None:
            self.weight = nn.Parameter((3,))

        def forward(self, x: Array) -> Array:
            return x + self.weight

        def backward(self, gradient: Array, output: Array, x: Array) -> Any:
            return gradient, {"weight": tensor.ones((3,), device=x.device)}

    network = Ones().initialize(device, dtype="float64")
    step = nn.value_and_grad(network, lambda: tensor.sum(network(tensor.zeros((3,), device=device))))
    assert numpy.asarray(step()[1]["weight"]).tolist() == [1, 1, 1]


class Bent(nn.Layer):
    """x², whose gradient is wrong by a part in ten thousand."""

    def forward(self, x: Array) -> Array:
        return x * x

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        return gradient * x * 2.0002


def test_the_gradient_check_is_sharper(device: Device) -> None:
    x = tensor.asarray(numpy.linspace(1, 2, 8), device=device)
    nn.check_gradient(Bent().initialize(device), x.astype(tensor.float32))
    with pytest.raises(GradientError, match="finite differences give"):
        nn.check_gradient(Bent().initialize(device, dtype="float64"), x)


def test_the_gradient_check_leaves_inputs_of_16_bits_alone(generator: numpy.random.Generator) -> None:
    network = nn.Sequential(nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, 3)).initialize("numpy", seed=1)
    x = tensor.asarray(generator.standard_normal((4, 6)), device="numpy")
    nn.check_gradient(network, x.astype(tensor.float16))


def test_what_stays_float32_says_so(tmp_path: Path, generator: numpy.random.Generator) -> None:
    network = small().initialize("numpy", dtype="float64")
    x, labels = (tensor.asarray(each, device="numpy") for each in batch(generator))

    def loss() -> Array:
        return nn.softmax_cross_entropy(network(x), labels)

    with pytest.raises(
        NetworkError, match="'bfloat16' is for networks in float32, and this one is in float64"
    ):
        nn.value_and_grad(network, loss, precision="bfloat16")()
    with pytest.raises(NetworkError, match="LossScale is for losses in float32, got float64"):
        nn.value_and_grad(network, loss, loss_scale=nn.LossScale())()
    with pytest.raises(GradientError, match=r"must be a float64 scalar, got float32"):
        nn.value_and_grad(network, lambda: loss().astype(tensor.float32))()
    with pytest.raises(NetworkError, match="expected a dtype of float32 or float64, got bfloat16"):
        small().initialize("numpy", dtype="bfloat16")
    with pytest.raises(tensor.errors.DTypeError, match="RandomCrop: expected float32, got float64"):
        nn.RandomCrop(4)(x)
    optimizer = nn.SGD(0.1)
    optimizer.initialize(network.vector)
    with pytest.raises(NetworkError, match=r"SGD.step expected .* of float64, .* got float32 and float32"):
        optimizer.step(*[each.astype(tensor.float32) for each in (network.vector, network.gradient)])
    with pytest.raises(tensor.errors.DTypeError, match=r"conv2d: expected .* alike, got float32 and float64"):
        tensor.conv2d(x.astype(tensor.float32), network.parameters()["conv.weight"])


def test_onnx_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    network = small().initialize("numpy", dtype="float64")
    with pytest.raises(
        NetworkError, match=r"written in float32, .* in float64: write its weights with nn.save"
    ):
        nn.export_onnx(network, tmp_path / "network.onnx", (8, 8, 3))
