"""Models: as many parameters as torchvision's, definitions that are read back equal, and gradients like
PyTorch's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.numpy

import nn
import tensor
from tests import torch_models
from tests.torch_twin import Twin, calm, without_dropout

# Source: torchvision's documentation of its models, for 224×224×3 and 1,000 classes.
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "mobilenet_v2": 3_504_872,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_as_many_parameters_as_torchvisions(name: str) -> None:
    plans = [plan for *_, plan in nn.models.by_name(name)._named_plans()]
    trained = [plan for plan in plans if not isinstance(plan, nn.layer.BufferPlan)]
    assert sum(int(numpy.prod(plan.shape)) for plan in trained) == PARAMETERS[name]


@pytest.mark.parametrize("name", nn.models.names())
def test_every_model_is_written_and_read_back_equal(name: str) -> None:
    network = nn.models.by_name(name)
    definition = nn.to_definition(network)
    again = nn.load_definition(definition)
    assert nn.to_definition(again) == definition
    names = [each[0] for each in network._named_plans()]
    assert [each[0] for each in again._named_plans()] == names


@pytest.mark.parametrize("name", ["mlp", "resnet18", "resnet50", "mobilenet_v2"])
def test_small_images_go_through_and_what_is_read_back_computes_the_same(name: str) -> None:
    x = numpy.random.default_rng(0).random((2, 8, 8, 1), numpy.float32)
    results = []
    network = nn.models.by_name(name, input_shape=(8, 8, 1), classes=10)
    for each in (network, nn.load_definition(nn.to_definition(network))):
        each.initialize("numpy", seed=3)
        each.randomness.set_step(0, range(2))
        results.append(numpy.asarray(each(tensor.asarray(x, device="numpy"))))
    assert results[0].shape == (2, 10)
    assert numpy.isfinite(results[0]).all()
    assert results[0].tobytes() == results[1].tobytes()


Model = tuple[Callable[[], nn.Layer], Callable[[Any], Any], tuple[int, ...]]

# By name: ours, the same in PyTorch, and the shape of an input without the batch. Those with torchvision's
# names at their usual size are compared in test_weights.py.
PLAIN: dict[str, Model] = {
    "mlp": (
        lambda: nn.models.mlp((5, 4, 1), 3, (7, 6)),
        lambda torch: torch_models.mlp(torch, (20, 7, 6, 3)),
        (5, 4, 1),
    ),
    "lenet": (nn.models.lenet, lambda torch: torch_models.lenet(torch, 0, 4), (28, 28, 1)),
    "lenet of the digits": (
        lambda: nn.models.lenet((8, 8, 1)),
        lambda torch: torch_models.lenet(torch, 2, 2),
        (8, 8, 1),
    ),
    "resnet18 of small images": (
        lambda: nn.models.resnet18((16, 16, 3), 7),
        lambda torch: torch_models.resnet18(torch, 7, small=True),
        (16, 16, 3),
    ),
    "resnet50": (
        lambda: nn.models.resnet50((64, 64, 3), 7),
        lambda torch: torch_models.resnet50(torch, 7),
        (64, 64, 3),
    ),
    "mobilenet_v2 of small images": (
        lambda: nn.models.mobilenet_v2((32, 32, 3), 7),
        lambda torch: torch_models.mobilenet_v2(torch, 7, "torchvision", first_stride=1),
        (32, 32, 3),
    ),
    "chargpt": (
        lambda: nn.models.chargpt(11, context=9, depth=2, heads=2, channels=8),
        lambda torch: torch_models.chargpt(torch, 11, 9, 2, 2, 8),
        (7,),
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_outputs_are_those_of_a_plain_model_in_pytorch(
    name: str, tmp_path: Path, generator: numpy.random.Generator, torch: Any
) -> None:
    ours, theirs, shape = PLAIN[name]
    torch.manual_seed(2)
    model, network = torch_models.trained(torch, theirs(torch)), ours()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases and the like, which begin at 0 or 1
            parameter.data += 0.1 * torch.randn(parameter.shape)
        else:  # PyTorch's own fade in deep networks, and with them what the first layers do
            torch.nn.init.kaiming_normal_(parameter)
    arrays = {key: numpy.array(value.numpy(), order="C") for key, value in model.state_dict().items()}
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors", {"format": "pt"})
    nn.load_weights(network, tmp_path / "model.safetensors", device="numpy")
    if name == "chargpt":
        x = generator.integers(0, 11, (3, *shape)).astype(numpy.int32)
    else:
        x = 4 * generator.standard_normal((3, *shape)).astype(numpy.float32)  # ReLU6 cuts some off
    given = torch.tensor(x).permute(0, 3, 1, 2) if x.ndim == 4 else torch.tensor(x)
    with torch.no_grad():
        expected = model(given).numpy()
    got = numpy.asarray(network.evaluate()(tensor.asarray(x, device="numpy")))
    numpy.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * numpy.abs(expected).max())


@pytest.mark.parametrize("depth", torch_models.VGG)
def test_vggs_blocks_are_torchvisions(depth: int) -> None:
    layers = [layer for _, layer in nn.models.by_name(f"vgg{depth}").layers()]
    made = [
        layer.out_channels if isinstance(layer, nn.Conv2d) else torch_models.POOL
        for layer in layers
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d)
    ]
    assert tuple(made) == torch_models.VGG[depth]


def test_mobilenet_has_torchvisions_names() -> None:
    names = {plan[0] for plan in nn.models.mobilenet_v2()._named_plans()}
    assert len(names) == 52 * 5 + 2
    assert {
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.2.conv.1.1.running_mean",
        "features.17.conv.3.bias",
        "features.18.0.weight",
        "classifier.1.bias",
    } <= names


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(nn.NetworkError, match=r"vgg16 expected an input_shape .* at least 32 pixels"):
        nn.models.vgg16(input_shape=(28, 28, 1))
    with pytest.raises(nn.NetworkError, match=r"no model .vgg17.\. Known are: mlp, lenet"):
        nn.models.by_name("vgg17")
    with pytest.raises(nn.NetworkError, match="no initialization 'xavier'"):
        nn.Linear(2, 2, init="xavier")


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 32), ("resnet50", 64), ("vgg11", 32), ("mobilenet_v2", 64), ("mlp", 6)]
)
def test_loss_and_gradients_are_pytorchs(
    name: str, size: int, generator: numpy.random.Generator, torch: Any
) -> None:
    """Within 1e-3 of PyTorch in float64, or three times as far as PyTorch in float32 is: with few samples,
    batch
    normalization multiplies rounding."""
    device = tensor.devices()[0]
    network = without_dropout(nn.models.by_name(name, input_shape=(size, size, 3), classes=10))
    network.initialize(device, seed=1)
    calm(network)
    x = generator.standard_normal((4, size, size, 3)).astype(numpy.float32)
    labels = numpy.array([1, 2, 0, 9], numpy.int32)
    step = nn.value_and_grad(network, lambda x, y: nn.softmax_cross_entropy(network(x), y))
    loss, gradients = step(tensor.asarray(x, device=device), tensor.asarray(labels, device=device))
    expected, truth = of_pytorch(network, x, labels, torch)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    for parameter, wanted in truth.items():
        distance = numpy.linalg.norm(numpy.asarray(gradients[parameter]) - wanted)
        assert distance <= 1e-3 * max(float(numpy.linalg.norm(wanted)), 1e-2), parameter  # or exactly 0


def of_pytorch(network: nn.Layer, x: Any, labels: Any, torch: Any) -> tuple[float, dict[str, Any]]:
    """Loss and gradients in float64."""
    twin = Twin(network, torch, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(twin(torch.tensor(x).double()), torch.tensor(labels).long())
    loss.backward()
    return float(loss.detach()), twin.gradients()
