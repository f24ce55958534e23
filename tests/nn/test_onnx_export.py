"""Networks as ONNX files: onnxruntime computes what we do, and what is read back is what was written."""

import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.errors import SaveError
from nn.layer_types import _by_class
from tensor import Array, Device

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

Case = tuple[nn.Layer, tuple[int, ...]]
S = nn.Sequential

LAYERS: dict[str, Case] = {
    "Conv2d": (S(nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=2, groups=2)), (9, 8, 4)),
    "Conv2d depthwise": (S(nn.Conv2d(4, 4, 3, bias=False, groups=4)), (5, 4, 4)),
    "ConvTranspose2d": (
        S(nn.ConvTranspose2d(4, 6, 3, stride=(2, 3), padding=1, output_padding=1, groups=2)),
        (5, 4, 4),
    ),
    "Linear": (S(nn.Linear(5, 3)), (5,)),
    "Linear of images": (S(nn.Linear((3, 4, 2), 3, bias=False)), (3, 4, 2)),
    "Linear of sequences": (S(nn.Linear(5, 3)), (4, 5)),
    "Linear of pixels": (S(nn.Linear(5, 3)), (4, 3, 5)),
    "Linear of whole sequences": (S(nn.Linear((4, 5), 3)), (4, 5)),
    "Linear of rows": (S(nn.Linear((4, 5), 3, bias=False)), (2, 4, 5)),
    "Flatten": (S(nn.Flatten(), nn.ReLU(), nn.Linear(24, 3)), (3, 4, 2)),
    "Reshape": (S(nn.Reshape((3, 8))), (4, 3, 2)),
    "Reshape to images": (S(nn.Reshape((2, 4, 3)), nn.Conv2d(3, 2, 1)), (24,)),
    "GlobalAvgPool2d": (S(nn.GlobalAvgPool2d()), (3, 4, 2)),
    "GlobalMaxPool2d": (S(nn.GlobalMaxPool2d()), (3, 4, 2)),
    "BatchNorm of rows": (S(nn.BatchNorm(5, eps=1e-3, rate=0.2)), (5,)),
    "BatchNorm of sequences": (S(nn.BatchNorm(5)), (4, 5)),
    "BatchNorm of images": (S(nn.BatchNorm(5)), (4, 3, 5)),
    "LayerNorm of rows": (S(nn.LayerNorm(5, eps=1e-3)), (5,)),
    "LayerNorm of sequences": (S(nn.LayerNorm((4, 5))), (4, 5)),
    "LayerNorm of image rows": (S(nn.LayerNorm((3, 5))), (4, 3, 5)),
    "LayerNorm of images": (S(nn.LayerNorm((4, 3, 5))), (4, 3, 5)),
    "RMSNorm": (S(nn.RMSNorm(5, eps=1e-3)), (4, 5)),
    "RMSNorm of images": (S(nn.RMSNorm(5)), (4, 3, 5)),
    "GroupNorm of rows": (S(nn.GroupNorm(2, 6)), (6,)),
    "GroupNorm of sequences": (S(nn.GroupNorm(2, 6)), (4, 6)),
    "GroupNorm of images": (S(nn.GroupNorm(3, 6, eps=1e-3)), (4, 3, 6)),
    "Normalize": (S(nn.Normalize([0.5, 0.4, 0.3], [1.0, 2.0, 3.0])), (4, 4, 3)),
    "activations": (
        S(nn.ReLU(), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.ReLU6()),
        (4, 3, 6),
    ),
    "GELU": (S(nn.GELU(), nn.Linear(6, 6), nn.GELU("tanh")), (6,)),
    "Dropout": (S(nn.Dropout(0.3)), (4, 3, 6)),
    "Softmax": (S(nn.Softmax()), (4, 3, 6)),
    "Softmax of rows": (S(nn.Softmax(1)), (4, 3, 6)),
    "Softmax of places": (S(nn.Softmax(-2)), (4, 6)),
    "Upsample": (S(nn.Upsample((2, 3))), (4, 3, 2)),
    "Upsample bilinear": (S(nn.Upsample((2, 3), "bilinear")), (4, 3, 2)),
    "ZeroPad2d": (S(nn.ZeroPad2d((1, 0), (2, 3)), nn.AvgPool2d(2, 3)), (4, 3, 2)),
    "ZeroPad2d on both sides": (S(nn.ZeroPad2d(1, 1)), (4, 3, 2)),
    "ZeroPad2d before MaxPool2d": (S(nn.ZeroPad2d(1, 1), nn.MaxPool2d(3, 2)), (4, 3, 2)),
    "ZeroPad2d before AvgPool2d": (S(nn.ZeroPad2d(1, 1), nn.AvgPool2d(3, 2)), (4, 3, 2)),
    "MultiHeadAttention": (S(nn.MultiHeadAttention(8, 2, causal=True)), (5, 8)),
    "SelfAttention": (S(nn.SelfAttention(2)), (5, 12)),
    "Embedding": (S(nn.Embedding(7, 4), nn.PositionalEmbedding(5, 4)), (5,)),
}
for _axis in (1, 2, -1):
    LAYERS[f"Add and Concat {_axis}"] = (
        nn.Graph(
            [
                nn.Node("a", nn.Conv2d(3, 3, 3, padding=1), ("data",), "a"),
                nn.Node("b", nn.Add(), ("a", "data"), "b"),
                nn.Node("c", nn.Add(), ("a", "b", "data"), "c"),
                nn.Node("d", nn.Concat(_axis), ("c", "a", "b"), "d"),
            ],
            "data",
            "d",
        ),
        (4, 5, 3),
    )
for _window in ((3, 2, 1), ((3, 2), (2, 3), 1), (2, 3, 1), (3, 5, 1), (2, 2, 0)):
    for _up in (False, True):
        for _shape in ((7, 8, 2), (6, 5, 2), (10, 9, 2)):
            _name = f"{_window} {'up' if _up else 'down'} {_shape}"
            LAYERS[f"MaxPool2d {_name}"] = (S(nn.MaxPool2d(*_window, ceil_mode=_up)), _shape)
            for _counts in (True, False):
                _pool = nn.AvgPool2d(*_window, ceil_mode=_up, count_include_pad=_counts)
                LAYERS[f"AvgPool2d {_name} {_counts}"] = (S(_pool), _shape)

# What is read back as two layers, since ONNX has no form for it.
SPLIT = ("Linear of whole sequences", "Linear of rows")

SMALL = {"input_shape": (32, 32, 3), "classes": 7}
MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "mlp": ({}, (28, 28, 1)),
    "lenet": ({}, (28, 28, 1)),
    "alexnet": ({"input_shape": (95, 63, 3), "classes": 7}, (95, 63, 3)),
    "vgg11": ({"input_shape": (64, 32, 3), "classes": 7}, (64, 32, 3)),
    "resnet18": ({"input_shape": (64, 64, 3), "classes": 7}, (64, 64, 3)),
    "resnet50": (SMALL, (32, 32, 3)),
    "mobilenet_v2": (SMALL, (32, 32, 3)),
    "chargpt": ({"depth": 2, "context": 16}, (12,)),
}
HEAVY = ("alexnet", "vgg11", "resnet18", "resnet50")


def filled(network: nn.Layer, device: Any = "numpy") -> nn.Layer:
    """Initialized, in evaluation, with values in all buffers and biases too."""
    generator = numpy.random.default_rng(3)
    network.initialize(device, seed=1).evaluate()
    for name, x in (network.parameters() | network.buffers()).items():
        if x.ndim == 1:
            values = (
                0.5 + generator.random(x.shape)
                if name.endswith("var")
                else generator.standard_normal(x.shape)
            )
            x[...] = (0.3 * values).astype(numpy.float32)
    return network


def sample(network: nn.Layer, shape: tuple[int, ...]) -> Any:
    """Three inputs."""
    generator = numpy.random.default_rng(4)
    if any(isinstance(layer, nn.Embedding) for _, layer in network.layers()):
        return generator.integers(0, 7, (3, *shape)).astype(numpy.int32)
    return generator.standard_normal((3, *shape)).astype(numpy.float32)


def channels_first(x: Any) -> Any:
    return numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def of_onnxruntime(path: Path, x: Any, as_written: bool = False) -> Any:
    """As users have it, or without its optimisations, of which 1.30 has a wrong one of Pad and a pooling."""
    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = x.astype(numpy.int64) if x.dtype == numpy.int32 else channels_first(x)
    return session.run(None, {"input": x})[0]


def of_ours(network: nn.Layer, x: Any) -> Any:
    device = network.state.device
    return numpy.asarray(network.evaluate()(tensor.asarray(x, device=device)))


def check(network: nn.Layer, shape: tuple[int, ...], path: Path) -> nn.Graph:
    """onnxruntime computes the file as we compute the network, and so do we; what was read."""
    nn.export_onnx(network, path, shape)
    onnx.checker.check_model(path, full_check=True)
    x = sample(network, shape)
    expected = of_ours(network, x)
    got = of_onnxruntime(path, x)
    assert got.shape == channels_first(expected).shape
    assert numpy.abs(got - channels_first(expected)).max() <= 1e-5 * max(1, numpy.abs(expected).max())
    again = nn.import_onnx(path, network.state.device)
    numpy.testing.assert_allclose(of_ours(again, x), expected, rtol=0, atol=1e-6 * numpy.abs(expected).max())
    return again


def leaves(network: nn.Layer) -> list[nn.Layer]:
    return [layer for _, layer in network.layers() if not layer._children]


def kinds(network: nn.Layer) -> list[str]:
    return [type(each).__name__ for each in leaves(network)]


def numbers(layer: nn.Layer) -> dict[str, Any]:
    """What a layer is told that its shape does not show."""
    names = ("eps", "rate", "ratio", "slope", "heads", "causal", "groups", "mode")
    return {name: getattr(layer, name) for name in names if hasattr(layer, name)}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, tmp_path: Path) -> None:
    network, shape = LAYERS[name]
    again = check(filled(network), shape, tmp_path / "layer.onnx")
    if name not in SPLIT:
        assert kinds(again) == kinds(network)
        for one, other in zip(leaves(again), leaves(network), strict=True):
            assert numbers(one) == pytest.approx(numbers(other))
        ours, read = (each.parameters() | each.buffers() for each in (network, again))
        assert {key: x.shape for key, x in ours.items()} == {key: x.shape for key, x in read.items()}
        for key, x in ours.items():
            numpy.testing.assert_array_equal(numpy.asarray(x), numpy.asarray(read[key]))


def test_no_layer_is_forgotten() -> None:
    """Of those that definitions know; what is drawn for training only has tests of its own."""
    tested = {type(layer) for network, _ in LAYERS.values() for _, layer in network.layers()}
    known = {each for each in _by_class if each.__module__.startswith("nn.layers.")}
    without = {
        nn.RandomCrop,
        nn.RandomResizedCrop,
        nn.DataAugmentation,
        nn.ColorJitter,
        nn.RandomHorizontalFlip,
    }
    assert known - tested == without


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.slow] if each in HEAVY else []) for each in MODELS]
)
def test_every_model(name: str, tmp_path: Path) -> None:
    arguments, shape = MODELS[name]
    network = nn.models.by_name(name, **arguments).initialize("numpy", seed=2)
    again = check(network, shape, tmp_path / "model.onnx")
    if name != "chargpt":  # of which only the places that the input has are written
        assert again.parameters().keys() == network.parameters().keys()
        assert again.buffers().keys() == network.buffers().keys()


def test_on_every_device(device: Device, tmp_path: Path) -> None:
    check(filled(nn.models.lenet((8, 8, 1)), device), (8, 8, 1), tmp_path / "lenet.onnx")


def test_what_is_random_in_training_does_nothing(tmp_path: Path) -> None:
    network = filled(S(nn.RandomHorizontalFlip(), nn.ColorJitter(0.5), nn.Conv2d(3, 2, 3)))
    again = check(network, (4, 4, 3), tmp_path / "network.onnx")
    assert kinds(again) == ["Conv2d"]


CROPS: dict[str, nn.Layer] = {
    **{f"{size}": nn.RandomCrop(size, padding=2) for size in ((3, 4), (5, 6), (9, 2), (8, 8), (5, 9))},
    "2016": nn.DataAugmentation((3, 4), 0.01, random_crop=True, random_flip=True, mean=[90.0, 110.0]),
    "2016, whole": nn.DataAugmentation(mean=128.0),
}


@pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS)
def test_a_crop_is_the_piece_in_the_middle(crop: nn.Layer, tmp_path: Path) -> None:
    network, path = filled(S(crop, nn.Conv2d(2, 3, 2))), tmp_path / "network.onnx"
    x = sample(network, (6, 5, 2))
    nn.export_onnx(network, path, (6, 5, 2))
    expected = channels_first(of_ours(network, x))
    numpy.testing.assert_allclose(of_onnxruntime(path, x), expected, rtol=1e-5, atol=1e-5)


def test_the_network_stays_as_it_is(tmp_path: Path) -> None:
    network = S(drop=nn.Dropout(0.5), norm=nn.BatchNorm(3)).initialize("numpy")
    network.children["drop"].training = False
    nn.export_onnx(network, tmp_path / "network.onnx", (3,))
    assert [layer.training for _, layer in network.layers()] == [True, False, True]


class Doubled(nn.Layer):
    """Its forward is an operation of `tensor`, which is in no layer."""

    def forward(self, x: Array) -> Array:
        return x + x * 2.0


class Twice(nn.Layer):
    """Its forward is known layers."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Array) -> Array:
        return x + self.second(self.first(x))


def test_layers_of_ones_own_are_looked_into(tmp_path: Path) -> None:
    check(filled(S(nn.ReLU(), twice=Twice())), (3,), tmp_path / "network.onnx")


def test_what_cannot_be_written_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(
        nn.NetworkError, match=r"Layer '0' is a Doubled, which ONNX has no form of .*Add, AvgPool2d"
    ):
        nn.export_onnx(S(Doubled()).initialize("numpy"), path, (3,))
    with pytest.raises(nn.NetworkError, match=r"Layer '0' is a RandomResizedCrop, which ONNX"):
        nn.export_onnx(S(nn.RandomResizedCrop(2)).initialize("numpy"), path, (3, 3, 1))
    network = S(nn.Linear(3, 2)).initialize("numpy")
    with pytest.raises(nn.LayerShapeError, match=r"expected an input of shape \[N, 3\], got \[1, 4\]"):
        nn.export_onnx(network, path, (4,))
    with pytest.raises(nn.errors.NotInitializedError):
        nn.export_onnx(S(nn.Linear(3, 2)), path, (3,))
    assert not path.exists()
    path.mkdir()
    with pytest.raises(SaveError, match="cannot be written"):
        nn.export_onnx(network, path, (3,))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(nn.NetworkError, match="pip install onnx"):
        nn.export_onnx(network, tmp_path / "other.onnx", (3,))
    with pytest.raises(nn.NetworkError, match="pip install onnx"):
        nn.import_onnx(tmp_path / "other.onnx")
