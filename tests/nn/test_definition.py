"""Definitions: the 2016 system's LeNet loads, what is written is read back, and errors name the layer."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.errors import DefinitionError
from tensor import Array, Device


def layer(name: str, type_name: str, blob: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": type_name, "inputs": [blob], "outputs": [name], "params": params}


def lenet_of_2016() -> list[dict[str, Any]]:
    """As in mil-tokyo/sukiyaki2's example/mnist/lenet.json: data layers first, loss and accuracy last."""
    pool = {"type": "max", "ksize": 2, "stride": 2, "pad": 0}
    data = {"file_prefix": "mnist_train", "data_shape": [28, 28, 1], "data_klass": "uint8"}
    return [
        {
            "name": "d_train",
            "type": "blob_data",
            "params": data,
            "inputs": ["batch"],
            "outputs": ["rawdata", "label"],
            "phase": ["train"],
        },
        {**layer("aug_train", "data_augmentation", "rawdata", {"scale": 0.00390625}), "outputs": ["data"]},
        layer(
            "conv1",
            "convolution_2d",
            "data",
            {"in_size": 1, "out_size": 20, "ksize": 5, "stride": 1, "pad": 0},
        ),
        layer("pool1", "pooling_2d", "conv1", pool),
        layer(
            "conv2",
            "convolution_2d",
            "pool1",
            {"in_size": 20, "out_size": 50, "ksize": 5, "stride": 1, "pad": 0},
        ),
        layer("pool2", "pooling_2d", "conv2", pool),
        layer("fc3", "linear", "pool2", {"in_shape": [4, 4, 50], "out_size": 500}),
        layer("relu3", "relu", "fc3", {}),
        {**layer("fc4", "linear", "relu3", {"in_shape": [500], "out_size": 10}), "outputs": ["pred"]},
        {
            "name": "l",
            "type": "softmax_cross_entropy",
            "params": {},
            "inputs": ["pred", "label"],
            "outputs": ["loss"],
        },
        {
            "name": "a",
            "type": "accuracy",
            "params": {},
            "inputs": ["pred", "label"],
            "outputs": ["accuracy"],
            "phase": ["test"],
        },
    ]


def same_outputs(one: nn.Layer, other: nn.Layer, shape: tuple[int, ...]) -> bool:
    """Whether two networks, begun with one seed, compute the same in evaluation."""
    x = numpy.random.default_rng(0).random(shape, numpy.float32)
    results = []
    for network in (one, other):
        network.initialize("numpy", seed=6).evaluate()
        results.append(numpy.asarray(network(tensor.asarray(x, device="numpy"))))
    return numpy.array_equal(*results)


def test_the_lenet_of_2016_is_ours() -> None:
    assert same_outputs(nn.load_definition(lenet_of_2016()), nn.models.lenet(), (2, 28, 28, 1))


def test_definitions_load_from_files(tmp_path: Path) -> None:
    path = tmp_path / "lenet.json"
    path.write_text(json.dumps(lenet_of_2016()))
    assert same_outputs(nn.load_definition(path), nn.load_definition(str(path)), (1, 28, 28, 1))


def everything() -> nn.Sequential:
    return nn.Sequential(
        bytes=nn.DataAugmentation([9, 9], 1 / 128, random_crop=True, mean=[1.5, 2.0]),
        crop=nn.RandomCrop(8, padding=1),
        resized=nn.RandomResizedCrop((8, 8), area=(0.5, 1.0)),
        flip=nn.RandomHorizontalFlip(0.25),
        normal=nn.Normalize((0.5, 0.4), (0.2, 0.3)),
        conv=nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=1, bias=False),
        apart=nn.Conv2d(3, 6, 3, padding=2, dilation=2, groups=3),
        wider=nn.ConvTranspose2d(6, 3, (2, 3), 1, (0, 1), groups=3),
        jitter=nn.ColorJitter(0.1, saturation=0.2),
        relu6=nn.ReLU6(),
        max=nn.MaxPool2d(2),
        max_down=nn.MaxPool2d((2, 1), stride=2, padding=(1, 0), ceil_mode=False),
        average=nn.AvgPool2d(2, padding=1, ceil_mode=True, count_include_pad=False),
        up=nn.Upsample((2, 3), "bilinear"),
        padded=nn.ZeroPad2d((1, 0), 2),
        largest=nn.GlobalMaxPool2d(),
        again=nn.Reshape((1, 1, 3)),
        twice=nn.Upsample((1, 2)),
        flat=nn.Flatten(),
        fc1=nn.Linear(6, 5),
        relu=nn.ReLU(),
        drop=nn.Dropout(0.25),
        norm=nn.BatchNorm(5, eps=1e-3, rate=0.2),
        layers=nn.LayerNorm(5),
        rms=nn.RMSNorm(5),
        groups=nn.GroupNorm(1, 5),
        leaky=nn.LeakyReLU(0.2),
        sigmoid=nn.Sigmoid(),
        tanh=nn.Tanh(),
        silu=nn.SiLU(),
        gelu=nn.GELU("tanh"),
        fc2=nn.Linear(5, 2, bias=False),
        softmax=nn.Softmax(),
    )


def test_what_is_written_is_read_back() -> None:
    definition = nn.to_definition(everything())
    again = nn.load_definition(json.loads(json.dumps(definition)))
    assert nn.to_definition(again) == definition
    assert same_outputs(everything(), again, (2, 9, 9, 2))
    assert definition[-2]["inputs"] == ["softmax", "label"]
    assert set(definition[0]) == {"name", "type", "inputs", "outputs", "params"}


@nn.register("test_shift")
class Shift(nn.Layer):
    def __init__(self, size: int, start: float = 0.5) -> None:
        self.amount = nn.Parameter((size,), nn.initialization.uniform(start))

    def forward(self, x: Array) -> Array:
        return x + self.amount


def test_a_registered_layer_travels_as_data(device: Device) -> None:
    definition = nn.to_definition(nn.Sequential(shift=Shift(3, start=2.0)))
    assert definition[0]["type"] == "test_shift"
    assert definition[0]["params"] == {"size": 3, "start": 2.0}
    network = nn.load_definition(definition).initialize(device, seed=1)
    assert same_outputs(network, nn.Sequential(shift=Shift(3, start=2.0)), (2, 3))


def test_a_type_is_registered_once() -> None:
    assert nn.register("test_shift")(Shift) is Shift
    with pytest.raises(DefinitionError, match="'relu' is taken already; register Other"):

        @nn.register("relu")
        class Other(nn.Layer):
            """Whatever."""


def of_2016(phase: str, **changes: Any) -> list[dict[str, Any]]:
    """The two data layers of one phase in its netdef/vgg16.json, with small images."""
    random = phase == "train"
    read = {"data_shape": [12, 12, 3], "file_prefix": f"imagenetraw/{phase}"}
    params = {"out_shape": [8, 6], "scale": 1.0, "random_crop": random, "random_flip": random}
    augment = {**params, "input_klass": "uint8", **changes}
    blobs = {"inputs": ["batch"], "outputs": ["rawdata", "label"], "phase": [phase]}
    return [
        {"name": f"d_{phase}", "type": "blob_data", "params": read, **blobs},
        {
            **layer(f"aug_{phase}", "data_augmentation", "rawdata", augment),
            "outputs": ["data"],
            "phase": [phase],
        },
    ]


def test_the_two_augmentations_of_2016_are_one_layer() -> None:
    head = [layer("fc", "linear", "data", {"in_shape": [8, 6, 3], "out_size": 2})]
    network = nn.load_definition([*of_2016("test"), *of_2016("train"), *head])
    twin = nn.Sequential(
        aug_train=nn.DataAugmentation([8, 6], 1.0, random_crop=True, random_flip=True),
        fc=nn.Linear((8, 6, 3), 2),
    )
    assert same_outputs(network, twin, (2, 12, 12, 3))
    again = nn.load_definition(json.loads(json.dumps(nn.to_definition(network))))
    assert nn.to_definition(again) == nn.to_definition(network)
    for each in (network, twin, again):
        each.initialize("numpy", seed=6).train().randomness.set_step(1, range(4))
    x = tensor.asarray(numpy.random.default_rng(0).random((4, 12, 12, 3), numpy.float32), device="numpy")
    outputs = [numpy.asarray(each(x)) for each in (network, twin, again)]
    assert numpy.array_equal(outputs[0], outputs[1])
    assert numpy.array_equal(outputs[0], outputs[2])
    assert not numpy.array_equal(outputs[0], numpy.asarray(network.evaluate()(x)))


def test_augmentations_that_do_not_fit_together_are_refused() -> None:
    other = of_2016("test", scale=0.5)
    with pytest.raises(DefinitionError, match=r"'aug_test' tests with another .* than 'aug_train'"):
        nn.load_definition([*of_2016("train"), *other])
    with pytest.raises(DefinitionError, match=r"'aug_train' .* cannot be made: its input_klass is 'int8'"):
        nn.load_definition(of_2016("train", input_klass="int8"))
    with pytest.raises(DefinitionError, match=r"'aug_train' .* cannot be made: .*angle"):
        nn.load_definition(of_2016("train", angle=3))


@pytest.mark.parametrize(
    ("type_name", "params", "sentence"),
    [
        ("blob_data", {"file_prefix": 3}, "the file_prefix 3; expected a path without its suffix"),
        ("blob_data", {"data_shape": [28, 0, 1]}, r"the data_shape \[28, 0, 1\]; expected \[height, width"),
        ("blob_data", {"data_klass": "double"}, "the data_klass 'double'; expected uint8 or single"),
        ("mnist_data", {"label": []}, r"the label \[\]; expected a path"),
    ],
)
def test_fields_of_data_are_checked(type_name: str, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DefinitionError, match=f"Layer 'd' has {sentence}"):
        nn.load_definition([layer("d", type_name, "batch", params), *lenet_of_2016()[1:]])


def broken(position: int, **changes: Any) -> list[dict[str, Any]]:
    definition = lenet_of_2016()
    definition[position] = {**definition[position], **changes}
    return definition


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ({}, "a list of objects, got dict"),
        ([3], "a list of objects"),
        ([], "no layer that computes"),
        (
            broken(2, type="convolution_3d"),
            "Layer 'conv1' is of the unknown type 'convolution_3d'. Known are: .*linear",
        ),
        (
            broken(2, params={"in_size": 1}),
            "Layer 'conv1' of type 'convolution_2d' cannot be made: .*out_size",
        ),
        (broken(2, params={"in_size": 1, "out_size": 2, "ksize": 3, "group": 2}), "'conv1' .*its groups"),
        (
            broken(3, params={"type": "median", "ksize": 2}),
            "'pool1' .* its pooling is 'median', expected max or average",
        ),
        (broken(6, params={"out_size": 2}), "'fc3' .* expected either in_size or in_shape"),
        (
            broken(4, inputs=["conv1"]),
            "Layer 'pool1' makes the blob 'pool1', which nothing takes",
        ),
        (broken(4, inputs=["pool1", "conv1"]), "'conv2' .* cannot be made: too many positional arguments"),
        (broken(4, inputs=["pool9"]), "Layer 'pool1' makes .* nothing takes|'conv2' takes the blob 'pool9'"),
        (
            broken(4, outputs=["conv1"]),
            "Layer 'conv2' makes the blob 'conv1', which layer 'conv1' is already",
        ),
        (broken(3, inputs=["pool2"]), "The layers '.*pool1.*' take each other's outputs in a circle"),
        (broken(4, inputs="pool1"), "Layer 'conv2' has inputs 'pool1'; expected a list of blobs' names"),
        (broken(4, params=[5]), r"Layer 'conv2' has params \[5\]; expected an object"),
        (broken(10, inputs=["fc3", "label"]), r"judge different blobs: \['fc3', 'pred'\]"),
        (broken(4, outputs=[]), r"Layer 'conv2' makes \[\]; expected one output"),
        (broken(4, phase=["train"]), r"Layer 'conv2' is for the phase \['train'\] only"),
        (broken(4, name="conv1"), "two layers named 'conv1'"),
        (broken(4, name=None), r"Entry 4 of the definition \(None\) has no 'name'"),
    ],
)
def test_what_cannot_be_read_names_the_layer(definition: Any, sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        nn.load_definition(definition)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"absent.json cannot be read: No such file"):
        nn.load_definition(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("[{")
    with pytest.raises(DefinitionError, match=r"bad.json is not JSON"):
        nn.load_definition(tmp_path / "bad.json")


def test_what_cannot_be_written_names_the_layer() -> None:
    class Unknown(nn.Layer):
        """Not registered."""

    with pytest.raises(
        DefinitionError, match=r"Layer 'odd' is a Unknown, which definitions do not know: put @nn.reg"
    ):
        nn.to_definition(nn.Sequential(odd=Unknown()))

    class Scaled(nn.Layer):
        """Looked into, and found to compute by itself."""

        def forward(self, x: Array) -> Array:
            return x * 2

    with pytest.raises(DefinitionError, match="Layer 'scale' is a Scaled, which definitions do not know"):
        nn.to_definition(nn.Sequential(scale=Scaled()))
    relu = nn.ReLU()
    with pytest.raises(DefinitionError, match=r"Layer '[01]' is used in two places"):
        nn.to_definition(nn.Sequential(relu, relu))
    with pytest.raises(DefinitionError, match="Layer 'shift' cannot be written as JSON"):
        nn.to_definition(nn.Sequential(shift=Shift(3, start=numpy.float32(1))))  # type: ignore[arg-type]  # the error


class Residual(nn.Layer):
    """Two ways that meet, of known layers: definitions look into it."""

    def __init__(self, size: int) -> None:
        self.first, self.relu, self.second = nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size)

    def forward(self, x: Array) -> Array:
        return self.second(self.relu(self.first(x))) + x


class Forked(nn.Layer):
    def __init__(self) -> None:
        self.block, self.narrow, self.join = Residual(3), nn.Linear(3, 2), nn.Concat()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Array) -> Array:
        y = self.block(x)
        return self.head(self.join(y, self.narrow(x), y))


def test_networks_that_branch_are_written_and_read_back_equal() -> None:
    network = Forked()
    definition = nn.to_definition(network)
    types = [entry["type"] for entry in definition]
    assert types[0] == "branch"  # the data goes two ways, and within the block two ways again
    assert {"plus", "concat"} < set(types)
    again = nn.load_definition(json.loads(json.dumps(definition)))
    assert isinstance(again, nn.Graph)
    assert nn.to_definition(again) == definition
    assert same_outputs(network, again, (4, 3))
    assert list(network.parameters()) != []
    assert set(network.parameters()) == set(again.parameters())
    mixed = nn.load_definition(definition[::-1])
    assert same_outputs(network, mixed, (4, 3))


def test_a_graph_trains_like_the_network_that_it_was_written_from(device: Device) -> None:
    x = tensor.asarray(numpy.random.default_rng(3).random((4, 3), numpy.float32), device=device)
    labels = tensor.asarray([0, 1, 1, 0], device=device)
    gradients = []
    for network in (Forked(), nn.load_definition(nn.to_definition(Forked()))):
        network.initialize(device, seed=2)
        step = nn.value_and_grad(network, lambda x, y, n=network: nn.softmax_cross_entropy(n(x), y))  # type: ignore[misc]
        gradients.append({name: numpy.asarray(each) for name, each in step(x, labels)[1].items()})
    for name, each in gradients[0].items():
        numpy.testing.assert_allclose(each, gradients[1][name], rtol=1e-5, atol=1e-7)


def test_the_loss_of_a_definition_is_the_networks() -> None:
    definition = nn.to_definition(nn.Sequential(fc=nn.Linear(3, 2)))
    definition[1]["type"] = "loss"
    assert nn.load_definition(definition).loss == "loss"
    assert nn.to_definition(nn.load_definition(definition)) == definition


def test_graphs_refuse_what_leads_nowhere() -> None:
    with pytest.raises(nn.NetworkError, match="output 'y' is made by no layer"):
        nn.Graph([nn.Node("a", nn.ReLU(), ("data",), "a")], "data", "y")
    named = nn.Sequential(sum=nn.Add()).children["sum"]
    with pytest.raises(
        nn.LayerShapeError, match=r"Add 'sum' expected an input of shape \[2, 3\], got \[2, 1\]"
    ):
        named(tensor.zeros((2, 3)), tensor.zeros((2, 1)))
    with pytest.raises(nn.LayerShapeError, match=r"\[2, 3\] but for axis 1, got \[3, 3\]"):
        nn.Concat()(tensor.zeros((2, 3)), tensor.zeros((3, 3)))
