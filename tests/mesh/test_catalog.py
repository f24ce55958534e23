"""The catalog of jobs: what names become, and the files of one's own that it loads."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

import nn
from mesh import Job
from mesh.catalog import RECIPES, Options, make_job, used_files
from mesh.datasets import Store
from mesh.errors import UsageError
from mesh.uses import load_uses

LAYERS = (
    "import nn\n\n@nn.register('catalog_{0}')\nclass Layer{0}(nn.Layer):\n    def forward(self, x):\n"
    "        return x\n\n"
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder whose `mnist` has 600 training images."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for split, count in (("train", 600), ("t10k", 100)):
        images = numpy.zeros((count, 28, 28), numpy.uint8)
        sizes = b"".join(size.to_bytes(4, "big") for size in images.shape)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(bytes((0, 0, 8, 3)) + sizes + images.tobytes())
        labels = bytes((0, 0, 8, 1)) + count.to_bytes(4, "big") + bytes(count)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    monkeypatch.setenv("MESH_DATA", str(tmp_path / "data"))


def test_resnet18_is_made_for_the_data() -> None:
    job = make_job("resnet18")
    assert (job.data, job.steps) == ("digits", RECIPES["resnet18"].epochs * 1500 // 120)
    types = [entry["type"] for entry in job.network]
    assert types.count("plus") == 8
    assert types.count("batch_normalization") == 20


def test_digits_is_lenet_on_the_digits() -> None:
    job = make_job("digits")
    assert job.network == nn.to_definition(nn.models.lenet((8, 8, 1)))
    assert (job.data, job.batch, job.steps, job.codec) == ("digits", 120, 1000, "dettmers8")
    assert job.optimizer["params"] == {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}


@pytest.mark.usefixtures("small_mnist")
def test_lenet_counts_its_epochs_in_steps_and_fits_its_data() -> None:
    job = make_job("lenet")
    assert job.network == nn.to_definition(nn.models.lenet((28, 28, 1)))
    assert (job.data, job.steps) == ("mnist", RECIPES["lenet"].epochs * 600 // 120)
    assert make_job("lenet", Options(batch=60)).steps == RECIPES["lenet"].epochs * 600 // 60
    assert make_job("lenet", Options(data="digits")).network == make_job("digits").network


def test_chargpt_is_made_for_its_text(tmp_path: Path) -> None:
    text = "to be or not to be, " * 100
    path = written(tmp_path, "mine.txt", text)
    job = make_job("chargpt", Options(data=str(path), length=16, steps=40))
    assert job.network == nn.to_definition(nn.models.chargpt(vocabulary=len(set(text)), context=16))
    assert (job.data, job.length, job.steps, job.optimizer["type"]) == (str(path), 16, 40, "adamw")
    assert job.optimizer["params"]["schedule"]["steps"] == 40
    with pytest.raises(
        UsageError, match=r"chargpt is trained on a text, and digits is images: change --data"
    ):
        make_job("chargpt", Options(data="digits"))
    with pytest.raises(UsageError, match=r"lenet is trained on images, and .*txt is a text: change --data"):
        make_job("lenet", Options(data=str(path)))


def test_a_model_is_made_for_data_of_ones_own(tmp_path: Path) -> None:
    path, labels = tmp_path / "set.npz", numpy.arange(300) % 7
    numpy.savez(path, images=numpy.zeros((300, 16, 12, 3), numpy.uint8), labels=labels)
    job = make_job("lenet", Options(data=str(path)))
    assert job.network == nn.to_definition(nn.models.lenet((16, 12, 3), classes=7))
    assert (job.data, job.steps) == (str(path), RECIPES["lenet"].epochs * 245 // 120)
    with pytest.raises(UsageError, match=r"no data set 'photos/'. Known are digits, .*folder of images, an"):
        make_job("lenet", Options(data="photos/"))
    with pytest.raises(UsageError, match="Did you mean mnist10k"):
        make_job("lenet", Options(data="mnist10"))


def test_a_definition_of_2016_trains_on_the_data_that_it_names(tmp_path: Path) -> None:
    read = {"file_prefix": "mnist", "data_shape": [8, 8, 1], "data_klass": "uint8"}
    blob = {
        "name": "d",
        "type": "blob_data",
        "params": read,
        "inputs": ["batch"],
        "outputs": ["data", "label"],
    }
    path = written(tmp_path, "net.json", json.dumps([blob, *nn.to_definition(nn.models.lenet((8, 8, 1)))]))
    job = make_job(str(path))
    assert job.data == str(path)
    assert make_job(str(path), Options(data="digits")).data == "digits"
    (tmp_path / "mnist.bin").write_bytes(bytes(64 * 200))
    (tmp_path / "mnist.json").write_text(json.dumps([number % 10 for number in range(200)]))
    manifest = Store.loaded(job.data, job.length).manifest
    assert (manifest.samples, manifest.sample_shape, manifest.classes) == (200, (8, 8, 1), 10)


def test_options_override_and_the_rest_stays() -> None:
    job = make_job("digits", Options(steps=7, lr=0.5, codec="fp32", seed=3, precision="bfloat16"))
    plain = make_job("digits")
    assert (job.steps, job.codec, job.seed, job.batch) == (7, "fp32", 3, plain.batch)
    assert (plain.precision, job.precision) == ("float32", "bfloat16")
    assert job.digest != replace(job, precision="float16").digest
    assert job.optimizer["params"] == {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.0}
    assert job.digest != plain.digest


def test_an_option_that_the_optimizer_does_not_have_is_named(tmp_path: Path) -> None:
    text = written(tmp_path, "mine.txt", "to be or not to be, " * 100)
    with pytest.raises(UsageError, match=r"optimizer, adamw, has no momentum: drop --momentum\."):
        make_job("chargpt", Options(data=str(text), momentum=0.9))


def test_a_network_in_json(tmp_path: Path) -> None:
    definition = nn.to_definition(nn.models.lenet((8, 8, 1)))
    path = written(tmp_path, "network.json", json.dumps(definition))
    assert make_job(str(path), Options(data="digits")).network == definition
    with pytest.raises(UsageError, match="--data"):
        make_job(str(path))


@pytest.mark.parametrize("text", ["{", "[]", '[{"name": "a", "type": "nonsense"}]'])
def test_a_json_file_that_is_no_network(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, "network.json", text)
    with pytest.raises(UsageError, match=r"network\.json"):
        make_job(str(path), Options(data="digits"))


def test_a_job_in_a_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "mine.py",
        "import mesh, nn\nperceptron = nn.Sequential(flat=nn.Flatten(), fc=nn.Linear(64, 10))\n"
        "job = mesh.Job(perceptron, 'digits', nn.SGD(0.1), batch=10, steps=5)\nnumber = 3\n",
    )
    made = make_job(f"{path}:job", Options(seed=4))
    network = nn.Sequential(flat=nn.Flatten(), fc=nn.Linear(64, 10))
    assert made == Job(network, "digits", nn.SGD(0.1), batch=10, steps=5, seed=4)
    assert make_job(f"{path}:perceptron", Options(data="digits")).network == made.network
    assert used_files(f"{path}:job") == ()
    with pytest.raises(UsageError, match="--data"):
        make_job(f"{path}:perceptron")
    with pytest.raises(UsageError, match="Did you mean job"):
        make_job(f"{path}:jobs")
    with pytest.raises(UsageError, match="perceptron, job"):
        make_job(f"{path}:number")


def test_layers_of_ones_own_are_hashed_and_run_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    text = LAYERS.format("a") + f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\n"
    path = written(tmp_path, "mine.py", text)
    expected = (("mine.py", hashlib.sha256(text.encode()).hexdigest()),)
    assert load_uses([path]) == expected
    assert make_job("digits", uses=[path]).uses == expected
    assert count.read_text() == "x"
    again = written(tmp_path, "mine.py", text + "# another text\n")
    assert load_uses([again]) != expected
    assert count.read_text() == "xx"


def test_a_file_that_defines_layers_is_needed_by_all_peers(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.py", LAYERS.format("b") + "network = nn.Sequential(same=Layerb())\n")
    other = written(tmp_path, "other.py", LAYERS.format("c"))
    assert used_files(f"{path}:network", [other]) == (other, path)
    assert used_files(f"{path}:network", [path]) == (path,)
    assert used_files("digits", [other]) == (other,)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("one = 1\nraise ValueError('of purpose')\n", "ValueError in line 2: of purpose"),
        ("one = 1\ntwo = (\n", "SyntaxError in line 2"),
        ("import nowhere_at_all\n", "No module named"),
    ],
)
def test_a_file_that_fails_says_where(text: str, seen: str, tmp_path: Path) -> None:
    path = written(tmp_path, "mine.py", text)
    with pytest.raises(UsageError, match=seen):
        load_uses([path])
    with pytest.raises(UsageError, match=seen):  # and it is not taken for loaded the second time
        load_uses([path])


def test_a_file_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.py"):
        load_uses([written(tmp_path, "mine.txt", "")])
    with pytest.raises(UsageError, match="cannot be read"):
        load_uses([tmp_path / "nowhere.py"])


def test_a_layer_without_a_name_for_definitions(tmp_path: Path) -> None:
    text = (
        "import nn\n\nclass Mute(nn.Layer):\n    def forward(self, x):\n        return x * 2\n\n"
        "network = nn.Sequential(mute=Mute())\n"
    )
    path = written(tmp_path, "mine.py", text)
    with pytest.raises(UsageError, match=r"nn\.register"):
        make_job(f"{path}:network", Options(data="digits"))
