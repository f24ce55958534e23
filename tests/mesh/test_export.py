"""`mesh export`: what a run's folder becomes, and what is said where it cannot."""

import json
from pathlib import Path

import numpy
import pytest
from click.testing import CliRunner, Result

import nn
import tensor
from mesh.cli import main

USE = """
import nn

@nn.register("mesh_test_export_halved")
class Halved(nn.Layer):
    def forward(self, x):
        return x * 0.5
"""


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", *arguments], prog_name="mesh")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def network() -> nn.Layer:
    """LeNet as a run saves it, in the folder `run`."""
    network = nn.models.lenet((8, 8, 1)).initialize("numpy", seed=3)
    nn.save("run/checkpoint.safetensors", network, step=1200, seed=3, input_shape=(8, 8, 1))
    return network


def test_onnx(network: nn.Layer) -> None:
    pytest.importorskip("onnx")
    done = typed("run", "lenet.onnx")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "lenet.onnx: 131,080 parameters after step 1,200, for samples of 8 × 8 × 1\n"
    x = tensor.asarray(numpy.random.default_rng(0).random((2, 8, 8, 1), numpy.float32), device="numpy")
    expected, got = (
        numpy.asarray(each.evaluate()(x)) for each in (network, nn.import_onnx("lenet.onnx", "numpy"))
    )
    numpy.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
@pytest.mark.parametrize("names", ["torchvision", "mesh"])
def test_weights(name: str, names: str, network: nn.Layer) -> None:
    done = typed("run/checkpoint.safetensors", name, "--names", names, "--json")
    written = {"path": name, "step": 1200, "parameters": 131_080, "input_shape": [8, 8, 1]}
    assert json.loads(done.stdout) == {"v": 1, **written}
    again = nn.models.lenet((8, 8, 1))
    nn.load_weights(again, name, names, device="numpy")
    assert numpy.array_equal(numpy.asarray(again.state), numpy.asarray(network.state))


def test_definition(network: nn.Layer) -> None:
    assert typed("run", "lenet.json").exit_code == 0
    assert nn.to_definition(nn.load_definition("lenet.json")) == nn.to_definition(network)


def test_shapes_that_the_checkpoint_does_not_say() -> None:
    pytest.importorskip("onnx")
    nn.save("old.safetensors", nn.models.lenet((8, 8, 1)).initialize("numpy"))
    done = typed("old.safetensors", "lenet.onnx")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "add --input-shape, as in 28,28,1" in done.stderr
    assert typed("old.safetensors", "lenet.onnx", "--input-shape", "8,8,1").exit_code == 0
    assert Path("lenet.onnx").exists()


def test_layers_of_ones_own(folder: Path) -> None:
    Path("halved.py").write_text(USE, encoding="utf-8")
    made = typed("nowhere", "network.json", "--use", "halved.py")  # which makes the type known
    assert made.exit_code == 5
    network = nn.load_definition(
        [{"name": "half", "type": "mesh_test_export_halved", "inputs": ["data"], "outputs": ["half"]}]
    )
    nn.save("own.safetensors", network.initialize("numpy"), input_shape=(3,))
    assert typed("own.safetensors", "own.json", "--use", "halved.py").exit_code == 0
    done = typed("own.safetensors", "own.onnx", "--use", "halved.py")
    assert done.exit_code == 1
    assert "'half' is a Halved, which ONNX has no form of" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "seen"),
    [
        (["run", "network.txt"], 2, "call it .onnx, .safetensors, .npz or .json"),
        (["run", "run/checkpoint.safetensors"], 2, "is the checkpoint itself"),
        (["run", "w.npz", "--input-shape", "8x8"], 2, "'8x8' is no shape"),
        (["run", "w.npz", "--input-shape", "8,0,1"], 2, "'8,0,1' is no shape"),
        (["run", "w.npz", "--names", "keras"], 2, "keras"),
        (["run", "w.npz", "--names", "timm"], 1, "timm has names for our vgg"),
        (["nowhere", "w.npz"], 5, "There is no file nowhere"),
        (["empty", "w.npz"], 5, "There is no file empty/checkpoint.safetensors"),
        (["run", "a_file/w.npz"], 5, "a_file/w.npz was not written"),
        (["run", "w.npz", "--use", "nowhere.py"], 2, "nowhere.py"),
    ],
)
def test_bad_input_gets_a_sentence_and_its_code(
    arguments: list[str], exit_code: int, seen: str, network: nn.Layer, folder: Path
) -> None:
    (folder / "empty").mkdir()
    (folder / "a_file").write_text("")
    before = Path("run/checkpoint.safetensors").read_bytes()
    done = typed(*arguments)
    assert done.exit_code == exit_code
    assert seen in done.stderr
    assert done.stdout == ""
    assert Path("run/checkpoint.safetensors").read_bytes() == before
    assert not Path("w.npz").exists()
