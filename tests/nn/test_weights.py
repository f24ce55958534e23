"""Weights in other libraries' files: what PyTorch computes from a file, we compute from it, and the other way
round."""

import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.numpy

import nn
import tensor
from nn.errors import SaveError
from nn.interchange.weights import _theirs
from tests import torch_models

BUILDERS: dict[tuple[str, str], Any] = {
    ("alexnet", "torchvision"): lambda torch: torch_models.alexnet(torch, 2, 7),
    ("vgg11", "torchvision"): lambda torch: torch_models.vgg11(torch, 2, 7, "torchvision"),
    ("vgg11", "timm"): lambda torch: torch_models.vgg11(torch, 2, 7, "timm"),
    ("resnet18", "torchvision"): lambda torch: torch_models.resnet18(torch, 7),
    ("resnet18", "timm"): lambda torch: torch_models.resnet18(torch, 7),
    ("mobilenet_v2", "torchvision"): lambda torch: torch_models.mobilenet_v2(torch, 7, "torchvision"),
    ("mobilenet_v2", "timm"): lambda torch: torch_models.mobilenet_v2(torch, 7, "timm"),
}
SIDES = {"alexnet": 111, "vgg11": 64, "resnet18": 64, "mobilenet_v2": 64}


def close(network: nn.Layer, model: Any, x: Any, torch: Any) -> None:
    """Both give the same for the same images, ours [N, H, W, C]."""
    with torch.no_grad():
        expected = model(torch.tensor(x).permute(0, 3, 1, 2)).numpy()
    network.evaluate()
    got = numpy.asarray(network(tensor.asarray(x, device=network.vector.device)))
    numpy.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * numpy.abs(expected).max())


def arrays_of(model: Any) -> dict[str, Any]:
    return {name: numpy.array(value.numpy(), order="C") for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each[0] in ("alexnet", "vgg11") else [])
        for each in BUILDERS
    ],
)
def test_files_of_other_libraries_both_ways(
    name: str, names: str, tmp_path: Path, generator: numpy.random.Generator, torch: Any
) -> None:
    side = SIDES[name]
    x = generator.standard_normal((2, side, side, 3)).astype(numpy.float32)
    torch.manual_seed(1)
    model = torch_models.trained(torch, BUILDERS[name, names](torch))
    arrays = arrays_of(model)
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(arrays, path, {"format": "pt"})

    network = nn.models.by_name(name, input_shape=(side, side, 3), classes=7)
    nn.load_weights(network, path)
    close(network, model, x, torch)

    nn.save_weights(network, path, names)
    written = safetensors.numpy.load_file(path)
    assert written.keys() == arrays.keys()
    for each, array in arrays.items():
        assert written[each].dtype == array.dtype, each
        assert numpy.array_equal(written[each], array), each


# How many arrays the libraries' models have, with a "num_batches_tracked" of each normalisation; and some.
# Source: state_dict() of torchvision's and timm's models with 1,000 classes.
ARRAYS: dict[tuple[str, str], tuple[int, dict[str, tuple[int, ...]]]] = {
    ("alexnet", "torchvision"): (16, {"features.10.bias": (256,), "classifier.1.weight": (4096, 9216)}),
    ("vgg16", "torchvision"): (32, {"features.28.bias": (512,), "classifier.0.weight": (4096, 25088)}),
    ("vgg16", "timm"): (32, {"pre_logits.fc1.weight": (4096, 512, 7, 7), "head.fc.weight": (1000, 4096)}),
    ("vgg19", "timm"): (38, {"features.34.bias": (512,), "pre_logits.fc2.weight": (4096, 4096, 1, 1)}),
    ("resnet50", "torchvision"): (320, {"layer1.0.downsample.0.weight": (256, 64, 1, 1), "fc.bias": (1000,)}),
    ("resnet101", "timm"): (626, {"layer3.22.bn3.running_var": (1024,)}),
    ("resnet152", "torchvision"): (932, {"layer3.35.conv3.weight": (1024, 256, 1, 1)}),
    ("mobilenet_v2", "torchvision"): (314, {"features.17.conv.1.0.weight": (960, 1, 3, 3)}),
    ("mobilenet_v2", "timm"): (314, {"blocks.6.0.conv_pwl.weight": (320, 960, 1, 1), "bn2.bias": (1280,)}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "names"), ARRAYS)
def test_as_many_arrays_as_the_libraries_models(name: str, names: str) -> None:
    count, some = ARRAYS[name, names]
    shapes = {each: layout.theirs for each, layout in _theirs(nn.models.by_name(name), names, None).values()}
    assert len(shapes) + sum(each.endswith("running_mean") for each in shapes) == count
    assert some.items() <= shapes.items()


@pytest.mark.parametrize("names", ["torchvision", "mesh"])
@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_file_says_which_layout_it_has(names: str, suffix: str, tmp_path: Path) -> None:
    """A convolution of 3 channels by 3×3 has one shape in both layouts."""

    def network() -> nn.Sequential:
        return nn.Sequential(conv=nn.Conv2d(3, 3, 3), norm=nn.BatchNorm(3), fc=nn.Linear((2, 2, 3), 5))

    first, second = network().initialize("numpy", seed=1), network()
    nn.save_weights(first, tmp_path / f"w.{suffix}", names)
    nn.load_weights(second, tmp_path / f"w.{suffix}", device="numpy")
    assert numpy.array_equal(numpy.asarray(second.state), numpy.asarray(first.state))
    read: Any = numpy.load if suffix == "npz" else safetensors.numpy.load_file
    kernel = read(tmp_path / f"w.{suffix}")["conv.weight"]
    with pytest.raises(
        SaveError, match=r"not a sound safetensors|not written by nn.save: its format is .(pt|mesh-w)"
    ):
        nn.load(tmp_path / f"w.{suffix}", network())
    ours = numpy.asarray(first.parameters()["conv.weight"])
    assert numpy.array_equal(kernel, ours if names == "mesh" else ours.transpose(0, 3, 1, 2))


def test_a_checkpoint_is_read_too(tmp_path: Path) -> None:
    network = nn.models.lenet((8, 8, 1)).initialize("numpy", seed=1)
    optimizer = nn.SGD(lr=0.1, momentum=0.9)
    optimizer.initialize(network.vector)
    nn.save(tmp_path / "checkpoint.safetensors", network, optimizer)
    again = nn.models.lenet((8, 8, 1))
    nn.load_weights(again, tmp_path / "checkpoint.safetensors", device="numpy")
    assert numpy.array_equal(numpy.asarray(again.state), numpy.asarray(network.state))


def test_every_weight_is_in_pytorchs_layout(
    tmp_path: Path, generator: numpy.random.Generator, torch: Any
) -> None:
    """Groups, a transposed convolution, a normalisation over images, and a Flatten with a ReLU behind it."""
    network = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), groups=2),
        nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2),
        nn.LayerNorm((9, 11, 4)),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.ReLU(),
        nn.Linear(9 * 11 * 4, 3),
    ).initialize(seed=2)
    path = tmp_path / "model.safetensors"
    with pytest.raises(nn.NetworkError, match=r"'6' takes what a Flatten makes: say input_shape="):
        nn.save_weights(network, path)
    for parameter in network.parameters().values():
        parameter[...] = generator.standard_normal(parameter.shape).astype(numpy.float32)
    nn.save_weights(network, path, input_shape=(6, 6, 4))
    t = torch.nn
    model = t.Sequential(
        t.Conv2d(4, 6, (3, 2), groups=2),
        t.ConvTranspose2d(6, 4, 3, stride=2, groups=2),
        t.LayerNorm((4, 9, 11)),
        t.GroupNorm(2, 4),
        t.Flatten(),
        t.ReLU(),
        t.Linear(9 * 11 * 4, 3),
    )
    model.load_state_dict({name: torch.tensor(x) for name, x in safetensors.numpy.load_file(path).items()})
    x = generator.standard_normal((2, 6, 6, 4)).astype(numpy.float32)
    close(network, model, x, torch)
    nn.load_weights(network.initialize(seed=3), path, input_shape=(6, 6, 4))
    close(network, model, x, torch)


def test_other_floats_become_float32(tmp_path: Path) -> None:
    network = nn.Sequential(fc=nn.Linear(3, 2)).initialize("numpy")
    values = numpy.array([[1, 2, 3], [4, 5, 6]])
    for dtype in ("float16", "float64"):
        numpy.savez(
            tmp_path / "w.npz", **{"fc.weight": values.astype(dtype), "fc.bias": numpy.ones(2, dtype)}
        )
        nn.load_weights(network, tmp_path / "w.npz")
        assert numpy.array_equal(numpy.asarray(network.parameters()["fc.weight"]), values)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    arrays = {"fc.weight": 2 * values.astype(bfloat16), "fc.bias": numpy.ones(2, bfloat16)}
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    nn.load_weights(network, tmp_path / "w.safetensors")
    assert numpy.array_equal(numpy.asarray(network.parameters()["fc.weight"]), 2 * values)
    numpy.savez(tmp_path / "w.npz", **{"fc.weight": values, "fc.bias": numpy.ones(2)})
    with pytest.raises(SaveError, match=r"its 'fc.weight' is int64; expected floating-point numbers"):
        nn.load_weights(network, tmp_path / "w.npz")


def test_files_of_other_networks_get_a_sentence_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    nn.save_weights(nn.models.resnet18((8, 8, 3), classes=1000).initialize("numpy"), path)
    network = nn.models.resnet18((8, 8, 3), classes=10).initialize("numpy", seed=4)
    before = numpy.asarray(network.state).copy()
    with pytest.raises(
        SaveError, match=r"'fc.weight' is \[1000, 512\], this network's is \[10, 512\]"
    ) as caught:
        nn.load_weights(network, path)
    assert caught.value.exit_code == 5
    large = nn.models.resnet18((64, 64, 3), classes=1000)
    with pytest.raises(
        SaveError, match=r"'conv1.weight' is \[64, 3, 3, 3\], this network's is \[64, 3, 7, 7\]"
    ):
        nn.load_weights(large, path, device="numpy")
    fewer = nn.Sequential(fc=nn.Linear(512, 1000))
    with pytest.raises(SaveError, match=r"this one has nothing for its 'bn1.bias'"):
        nn.load_weights(fewer, path, device="numpy")
    with pytest.raises(
        SaveError, match=r"it has no 'fc9.weight'; it has 'bn1.bias', which this one does not"
    ):
        nn.load_weights(nn.Sequential(fc9=nn.Linear(512, 1000)), path, device="numpy")
    with pytest.raises(nn.NetworkError, match="timm has names for our vgg, resnet and mobilenet_v2"):
        nn.save_weights(fewer, path, "timm")
    with pytest.raises(nn.NetworkError, match=r"no names 'keras'\. Known are: torchvision, timm, mesh"):
        nn.save_weights(fewer, path, "keras")
    assert numpy.array_equal(numpy.asarray(network.state), before)


def test_damaged_files_and_pickles_get_a_sentence(tmp_path: Path) -> None:
    network = nn.Sequential(fc=nn.Linear(3, 2)).initialize("numpy")
    for suffix in ("safetensors", "npz"):
        path = tmp_path / f"w.{suffix}"
        with pytest.raises(SaveError, match="There is no file"):
            nn.load_weights(network, path)
        nn.save_weights(network, path)
        whole = path.read_bytes()
        for damaged in (b"", whole[:40], whole[:-9], b"x" * 99):
            path.write_bytes(damaged)
            with pytest.raises(SaveError, match="is not a sound"):
                nn.load_weights(network, path)
    for name in ("w.pt", "w.pth", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps({}))
        with pytest.raises(SaveError, match=r"a pickle.* convert it to safetensors, in PyTorch: .*save_file"):
            nn.load_weights(network, tmp_path / name)
    with pytest.raises(SaveError, match=r"call it .safetensors or .npz"):
        nn.save_weights(network, tmp_path / "weights")
    with pytest.raises(SaveError, match="was not written"):
        nn.save_weights(network, tmp_path / "w.npz" / "w.npz")
