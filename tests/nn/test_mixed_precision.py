"""Mixed precision: every layer within the format's error, float32 where it has to be, and less memory."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.errors import NetworkError
from nn.mixed_precision import Precision
from tensor import Array, Device
from tests.nn.test_layers import CASES

Floats = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
EPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # the largest relative error of one rounding
MORE = [
    pytest.param(lambda: nn.MultiHeadAttention(6, 2, causal=True), None, (2, 5, 6), id="attention"),
    pytest.param(lambda: nn.PositionalEmbedding(4, 6), None, (2, 4, 6), id="positions"),
    pytest.param(lambda: nn.Dropout(0.5), None, (2, 8), id="dropout"),
    pytest.param(lambda: Swish(), None, (3, 7), id="one's own"),
]


class Swish(nn.Layer):
    """As README.md has it."""

    def __init__(self) -> None:
        self.slope = nn.Parameter((1,), nn.initialization.ones)

    def forward(self, x: Array) -> Array:
        return x / (1 + tensor.exp(-self.slope * x))


class Fed(nn.Layer):
    """`layer` behind a parameter that is added to its input, so that the gradient of that can be seen."""

    def __init__(self, layer: nn.Layer, shape: tuple[int, ...]) -> None:
        self.shift = nn.Parameter(shape)
        self.layer = layer

    def forward(self, x: Array) -> Array:
        return self.layer(x + self.shift)


def passed(network: nn.Layer, x: Floats, weights: Floats, precision: Precision) -> list[Floats]:
    """The output, and the gradients of Σ weights · output."""
    seen: list[Array] = []

    def loss(x: Array) -> Array:
        seen.append(network(x))
        return tensor.sum(tensor.astype(seen[0], tensor.float32) * weights_on_device)

    device = network.vector.device
    weights_on_device = tensor.asarray(weights, device=device)
    _, gradients = nn.value_and_grad(network, loss, precision=precision)(tensor.asarray(x, device=device))
    expected = tensor.float32 if precision == "float32" else tensor.dtypes.as_dtype(precision)
    assert seen[0].dtype == expected
    assert all(each.dtype == tensor.float32 for each in gradients.values())
    return [numpy.asarray(each).astype(numpy.float32) for each in (seen[0], *gradients.values())]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("make", "reference", "shape"), [*CASES, *MORE])
def test_every_layer_is_within_the_formats_error(
    make: Callable[[], nn.Layer],
    reference: Any,
    shape: tuple[int, ...],
    precision: Precision,
    device: Device,
    generator: numpy.random.Generator,
) -> None:
    """Of what the layer computes in float32, which the tests of layers compare with PyTorch, from the same
    rounded parameters and inputs. Errors are measured by the largest element."""

    def rounded(values: Floats) -> Floats:
        return values.astype(tensor.dtypes.as_dtype(precision)).astype(numpy.float32)

    count = int(numpy.prod(shape))
    x = rounded(generator.permutation(count).reshape(shape).astype(numpy.float32) / count * 2 - 1)
    network = Fed(make(), shape).initialize(device, seed=5)
    network.randomness.set_step(1, range(shape[0]))
    network.vector[...] = rounded(numpy.asarray(network.vector))
    kept = numpy.asarray(network.vector)
    weights = rounded(generator.standard_normal(network(tensor.asarray(x)).shape).astype(numpy.float32))
    expected, got = (passed(network, x, weights, each) for each in ("float32", precision))
    for theirs, ours in zip(expected, got, strict=True):
        scale = float(numpy.abs(theirs).max())
        assert numpy.abs(ours - theirs).max() <= 8 * EPS[precision] * scale
    assert numpy.asarray(network.vector).tobytes() == kept.tobytes()
    assert network.parameters()["shift"].dtype == tensor.float32


def test_agrees_with_pytorchs_autocast(device: Device, generator: numpy.random.Generator, torch: Any) -> None:
    x = generator.standard_normal((8, 6, 6, 3)).astype(numpy.float32)
    y = generator.integers(0, 5, 8)
    network = nn.Sequential(
        conv=nn.Conv2d(3, 8, 3, padding=1), relu=nn.ReLU(), flat=nn.Flatten(), fc=nn.Linear(288, 5)
    ).initialize(device, seed=2)
    step = nn.value_and_grad(
        network, lambda x, y: nn.softmax_cross_entropy(network(x), y), precision="bfloat16"
    )
    loss, gradients = step(tensor.asarray(x), tensor.asarray(y.astype(numpy.int32)))

    theirs = {name: torch.tensor(numpy.asarray(each)) for name, each in network.parameters().items()}
    theirs["conv.weight"] = theirs["conv.weight"].permute(0, 3, 1, 2).contiguous()
    for each in theirs.values():
        each.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = torch.nn.functional.conv2d(
            torch.tensor(x).permute(0, 3, 1, 2), theirs["conv.weight"], theirs["conv.bias"], padding=1
        )
        hidden = torch.relu(hidden).permute(0, 2, 3, 1).flatten(1)
        logits = torch.nn.functional.linear(hidden, theirs["fc.weight"], theirs["fc.bias"])
    expected = torch.nn.functional.cross_entropy(logits.float(), torch.tensor(y))
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), rel=EPS["bfloat16"])
    theirs["conv.weight"].grad = theirs["conv.weight"].grad.permute(0, 2, 3, 1)
    for name, each in gradients.items():
        wanted = theirs[name].grad.numpy()
        assert numpy.linalg.norm(numpy.asarray(each) - wanted) <= 4 * EPS["bfloat16"] * numpy.linalg.norm(
            wanted
        )


def test_in_use_and_back(device: Device) -> None:
    network = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.BatchNorm(4), nn.Softmax()).initialize(
        device, seed=1
    )
    network.evaluate()
    x = tensor.asarray([[0, 6], [3, 3]], device=device)
    expected = numpy.asarray(network(x))
    with nn.mixed_precision(network, "bfloat16"):
        got = network(x)
        assert all(each.dtype == tensor.bfloat16 for each in network.parameters().values())
    assert got.dtype == tensor.bfloat16
    numpy.testing.assert_allclose(numpy.asarray(got).astype(numpy.float32), expected, atol=0.01)
    assert numpy.asarray(network(x)).tobytes() == expected.tobytes()
    with pytest.raises(NetworkError, match=r"no precision 'half' of networks. Known are: float32, bfloat16"):
        nn.value_and_grad(network, network, precision="half")  # type: ignore[arg-type]  # that is the point


def test_gradients_of_parameters_are_not_rounded(device: Device) -> None:
    """257 has no place in bfloat16, which knows 256 and 258."""
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm(1), nn.Conv2d(1, 1, 1)).initialize(device)
    x = tensor.ones((257, 1, 1, 1), device=device)

    def loss(x: Array) -> Array:
        y = network.children["0"](x)
        return tensor.sum(tensor.astype(y, tensor.float32)) + tensor.sum(
            tensor.astype(network.children["2"](x), tensor.float32)
        )

    _, gradients = nn.value_and_grad(network, loss, precision="bfloat16")(x)
    for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
        assert float(gradients[name].reshape((1,))[0]) == 257, name


def test_statistics_of_a_batch_are_float32s(device: Device) -> None:
    """A mean of 100.06 has no place in bfloat16, which knows 100 and 100.5."""
    network = nn.Sequential(norm=nn.BatchNorm(1)).initialize(device)
    x = tensor.asarray(numpy.where(numpy.arange(800) % 8 == 0, 100.5, 100).astype(numpy.float32)[:, None])
    nn.value_and_grad(network, lambda x: tensor.sum(network(x), dtype="float32"), precision="bfloat16")(x)
    observed = numpy.asarray(network.change)[2:]
    numpy.testing.assert_allclose(observed, [100.0625, 0.25 * 7 / 64 * 800 / 799], rtol=1e-4)


@pytest.mark.usefixtures("no_garbage")
def test_what_is_kept_for_the_way_back_is_half_as_large() -> None:
    """When forward is done, between the loss and the gradients."""

    def kept(precision: Precision) -> int:
        layers: list[nn.Layer] = []
        for _ in range(6):
            layers += [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm(4), nn.ReLU()]
        network = nn.Sequential(*layers, nn.GlobalAvgPool2d()).initialize("numpy")
        x = tensor.ones((4, 64, 64, 4), device="numpy")
        found: list[int] = []

        def loss() -> Array:
            value = tensor.sum(tensor.astype(network(x), tensor.float32))
            found.append(tensor.memory("numpy").in_use_bytes - before)
            return value

        before = tensor.memory("numpy").in_use_bytes
        nn.value_and_grad(network, loss, precision=precision)()
        return found[0]

    assert 0.45 < kept("bfloat16") / kept("float32") < 0.55


def test_checkpoints_have_the_same_bits(device: Device, generator: numpy.random.Generator) -> None:
    network = nn.Sequential(
        *(nn.Linear(8, 8), nn.BatchNorm(8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3), nn.Softmax())
    ).initialize(device, seed=4)
    x = tensor.asarray(generator.standard_normal((5, 8)).astype(numpy.float32), device=device)

    def gradient(checkpoint: int | None) -> bytes:
        loss = nn.losses.squared
        step = nn.value_and_grad(
            network,
            lambda x: loss(network(x), x[:, :3], reduction="sum"),
            precision="bfloat16",
            checkpoint=checkpoint,
        )
        step(x)
        return numpy.asarray(network.gradient).tobytes()

    assert gradient(None) == gradient(2) == gradient(6)


def test_a_recorded_step_follows_weights_and_scale(device: Device, generator: numpy.random.Generator) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).initialize(device, seed=1)
    x, y = generator.standard_normal((5, 4)).astype(numpy.float32), numpy.array([0, 1, 1, 0, 1], numpy.int32)
    images, labels = tensor.asarray(x, device=device), tensor.asarray(y, device=device)
    scale = nn.LossScale(2.0**4)
    step = nn.value_and_grad(
        network,
        lambda: nn.softmax_cross_entropy(network(images), labels),
        precision="float16",
        loss_scale=scale,
    )
    recording = tensor.record(lambda: step()[0], device=device)
    network.vector[...] = numpy.asarray(network.vector) * 2
    scale._set(2.0**10)
    loss = float(recording.replay())
    replayed = numpy.asarray(network.gradient)
    assert loss == float(step()[0])
    assert numpy.asarray(network.gradient).tobytes() == replayed.tobytes()


def test_a_scale_keeps_small_gradients_and_gives_way_to_large_ones(device: Device) -> None:
    """1e-8 is nothing in float16; times 2^16 it is something, and times 2^40 too much."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU()).initialize(device)
    network.vector[...] = 1.0
    x = tensor.ones((1, 1), device=device)

    def gradient(factor: float, scale: nn.LossScale | None) -> float:
        step = nn.value_and_grad(
            network,
            lambda x: tensor.sum(tensor.astype(network(x), tensor.float32)) * factor,
            precision="float16",
            loss_scale=scale,
        )
        step(x)
        return float(network.gradient[0])

    assert gradient(1e-8, None) == 0
    scale = nn.LossScale(2.0**16, every=2)
    assert gradient(1e-8, scale) == pytest.approx(1e-8, rel=EPS["float16"])
    assert scale.update(network.gradient)
    assert not numpy.isfinite(gradient(100.0, scale))
    assert not scale.update(network.gradient)
    assert scale.scale == 2.0**15
    gradient(0.5, scale)
    assert [scale.update(network.gradient) for _ in range(4)] == [True] * 4
    assert scale.scale == 2.0**17
    fixed = nn.LossScale(4.0, every=0)
    assert gradient(3.0, fixed) == 3.0
    assert fixed.update(network.gradient)
    assert fixed.scale == 4.0
    with pytest.raises(NetworkError, match=r"expected a power of 2, .* got 1000"):
        nn.LossScale(1000)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lenet_learns_the_digits_as_well(precision: Precision) -> None:
    digits = nn.data.load("digits")

    def accuracy(precision: Precision) -> float:
        network = nn.models.lenet((8, 8, 1)).initialize(seed=0)
        optimizer = nn.SGD(lr=0.05, momentum=0.9)
        optimizer.initialize(network.vector)
        scale = nn.LossScale() if precision == "float16" else None
        step = nn.value_and_grad(
            network,
            lambda x, y: nn.softmax_cross_entropy(network(x), y),
            precision=precision,
            loss_scale=scale,
        )
        order = numpy.random.default_rng(0)
        for _ in range(300):
            samples = order.choice(1437, 60, replace=False)
            images = digits.train_images[samples] * numpy.float32(digits.scale)
            step(tensor.asarray(images), tensor.asarray(digits.train_labels[samples]))
            if scale is None or scale.update(network.gradient):
                network.advance(optimizer)
        images = tensor.asarray(digits.test_images * numpy.float32(digits.scale))
        return float(nn.accuracy(network(images), tensor.asarray(digits.test_labels)))

    assert accuracy(precision) >= accuracy("float32") - 0.008
