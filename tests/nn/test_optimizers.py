"""SGD against PyTorch's, the same bits on every device, and ten steps of LeNet."""

from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

import nn
import tensor
from nn.errors import LayerShapeError, NetworkError
from tensor import Array, Device


def run_sgd(
    device: Device | str, vector: NDArray[numpy.float32], gradients: list[NDArray[numpy.float32]]
) -> tuple[NDArray[numpy.uint32], NDArray[numpy.uint32]]:
    """The bits of the vector and of the velocity after one step per gradient."""
    optimizer = nn.SGD(lr=0.03, momentum=0.9, weight_decay=0.01)
    parameters = tensor.asarray(vector, device=device)
    optimizer.initialize(parameters)
    for gradient in gradients:
        optimizer.step(parameters, tensor.asarray(gradient, device=device))
    velocity = numpy.asarray(optimizer.state["velocity"])
    return numpy.asarray(parameters).view(numpy.uint32), velocity.view(numpy.uint32)


def awkward(count: int, generator: numpy.random.Generator) -> NDArray[numpy.float32]:
    """Values of all sizes, denormals, both zeros and infinities among them, as bits fall."""
    values = generator.integers(0, 2**32, count, dtype=numpy.uint32).view(numpy.float32)
    values[numpy.isnan(values)] = 0  # which of the many NaNs comes out is the device's choice
    values[:6] = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38]
    return values


@pytest.mark.parametrize("kind", ["normal", "awkward"])
def test_all_devices_agree_in_every_bit(kind: str, device: Device, generator: numpy.random.Generator) -> None:
    def draw() -> NDArray[numpy.float32]:
        if kind == "awkward":
            return awkward(10_001, generator)
        return generator.standard_normal(10_001).astype(numpy.float32)

    vector, gradients = draw(), [draw() for _ in range(3)]
    with numpy.errstate(all="ignore"):
        expected, expected_velocity = run_sgd("numpy", vector, gradients)
        got, velocity = run_sgd(device, vector, gradients)
    finite = ~numpy.isnan(expected.view(numpy.float32))
    assert finite.mean() > 0.8
    assert numpy.array_equal(got[finite], expected[finite])
    finite = ~numpy.isnan(expected_velocity.view(numpy.float32))
    assert numpy.array_equal(velocity[finite], expected_velocity[finite])


def test_no_denormal_is_left(device: Device, generator: numpy.random.Generator) -> None:
    tiny = (generator.standard_normal(1000) * 1e-38).astype(numpy.float32)
    for bits in run_sgd(device, tiny, [tiny, tiny]):
        values = bits.view(numpy.float32)
        assert not ((values != 0) & (numpy.abs(values) < numpy.finfo(numpy.float32).smallest_normal)).any()
        assert not (bits == 0x80000000).any()


def test_follows_pytorch(device: Device, generator: numpy.random.Generator, torch: Any) -> None:
    vector = generator.standard_normal(1000).astype(numpy.float32)
    gradients = [generator.standard_normal(1000).astype(numpy.float32) for _ in range(10)]
    theirs = torch.nn.Parameter(torch.tensor(vector))
    optimizer = torch.optim.SGD([theirs], lr=0.03, momentum=0.9, weight_decay=0.01)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    got, _ = run_sgd(device, vector, gradients)
    numpy.testing.assert_allclose(got.view(numpy.float32), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_learning_rate_can_be_changed(device: Device) -> None:
    optimizer = nn.SGD(lr=1.0)
    vector, gradient = tensor.zeros((3,), device=device), tensor.ones((3,), device=device)
    optimizer.initialize(vector)
    optimizer.step(vector, gradient)
    optimizer.lr = 0.25
    optimizer.step(vector, gradient)
    assert numpy.asarray(vector).tolist() == [-1.25] * 3
    assert optimizer.lr == 0.25


def test_definition_round_trip() -> None:
    optimizer = nn.SGD(lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert nn.load_optimizer(optimizer.definition()).definition() == optimizer.definition()
    with pytest.raises(NetworkError, match=r"no optimizer of type 'adam'. Known are: sgd"):
        nn.load_optimizer({"type": "adam"})
    with pytest.raises(NetworkError, match="no optimizer of type"):
        nn.load_optimizer({"type": ["sgd"]})
    for params in ({"lr": "fast"}, {"rate": 1}, []):
        with pytest.raises(NetworkError, match=r"optimizer .*sgd.* cannot be made: "):
            nn.load_optimizer({"type": "sgd", "params": params})


def test_misuse_gets_a_sentence() -> None:
    with pytest.raises(NetworkError, match="got lr=-1"):
        nn.SGD(lr=-1)
    with pytest.raises(NetworkError, match="momentum=1"):
        nn.SGD(lr=1, momentum=1)
    x = tensor.zeros((2,), device="numpy")
    with pytest.raises(NetworkError, match=r"call optimizer.initialize\(network.vector\) first"):
        nn.SGD(lr=1).step(x, x)
    optimizer = nn.SGD(lr=1)
    optimizer.initialize(x)
    with pytest.raises(LayerShapeError, match=r"expected .* of shape \[2\], got \[2\] and \[1\]"):
        optimizer.step(x, x[:1])


def as_torch(value: Array) -> NDArray[numpy.float32]:
    """Our weights [O, H, W, I] in PyTorch's order [O, I, H, W]; others as they are."""
    host = numpy.asarray(value)
    return host.transpose(0, 3, 1, 2).copy() if host.ndim == 4 else host


def test_ten_steps_of_lenet_agree_with_pytorch(
    device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    """Weights differ by 1e-7, unless a rounding error decides a near tie of a pooling or a ReLU.

    Then one sample's gradient goes elsewhere, as it also does between PyTorch in float32 and in float64: that
    moved weights by up to 1.1e-4 at lr 0.01 (six seeds), hence the smaller rate here.
    """
    functional = torch.nn.functional
    images = generator.random((10, 32, 28, 28, 1), numpy.float32)
    labels = generator.integers(0, 10, (10, 32)).astype(numpy.int32)
    network = nn.models.lenet().initialize(device, seed=2)
    optimizer = nn.SGD(lr=0.003, momentum=0.9, weight_decay=5e-4)
    optimizer.initialize(network.vector)
    step = nn.value_and_grad(network, lambda x, y: nn.softmax_cross_entropy(network(x), y))
    theirs = {
        name: torch.nn.Parameter(torch.tensor(as_torch(value)))
        for name, value in network.parameters().items()
    }
    their_optimizer = torch.optim.SGD(theirs.values(), lr=0.003, momentum=0.9, weight_decay=5e-4)

    def logits(x: Any) -> Any:
        x = functional.conv2d(x.permute(0, 3, 1, 2), theirs["conv1.weight"], theirs["conv1.bias"])
        x = functional.conv2d(functional.max_pool2d(x, 2), theirs["conv2.weight"], theirs["conv2.bias"])
        x = functional.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)  # our order: height, width, channels
        x = torch.relu(functional.linear(x, theirs["fc3.weight"], theirs["fc3.bias"]))
        return functional.linear(x, theirs["fc4.weight"], theirs["fc4.bias"])

    for x, y in zip(images, labels, strict=True):
        loss, _ = step(tensor.asarray(x, device=device), tensor.asarray(y, device=device))
        optimizer.step(network.vector, network.gradient)
        their_optimizer.zero_grad()
        their_loss = functional.cross_entropy(logits(torch.tensor(x)), torch.tensor(y).long())
        their_loss.backward()
        their_optimizer.step()
        assert float(loss) == pytest.approx(their_loss.item(), abs=1e-4)
    for name, ours in network.parameters().items():
        numpy.testing.assert_allclose(as_torch(ours), theirs[name].detach().numpy(), atol=1e-4, rtol=0)
