"""The public names of mesh, and training from Python."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mesh
import nn
from mesh import cli
from mesh.choices import Choices
from mesh.events import Event
from mesh.node import Node
from tests.mesh.fakes import EVENTS, FakeNode, lines_of


def test_the_public_names() -> None:
    assert mesh.__all__ == [
        "Job",
        "JobFailedError",
        "MemberFacts",
        "MeshError",
        "ProtocolError",
        "RefusedError",
        "Result",
        "RunFolderError",
        "Snapshot",
        "UnreachableError",
        "UsageError",
        "codec",
        "events",
        "join",
        "start",
    ]
    assert all(getattr(mesh, name) is not None for name in mesh.__all__)
    assert set(mesh.__all__) <= set(dir(mesh))
    with pytest.raises(AttributeError, match="nonsense"):
        mesh.nonsense  # noqa: B018  # the look-up itself is what is tested


def test_the_version_is_that_of_the_package() -> None:
    text = (Path(mesh.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{mesh.__version__}"\n' in text


def test_importing_mesh_imports_nothing_heavy() -> None:
    code = "import sys, mesh; print(' '.join(sys.modules))"
    root = Path(mesh.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert set(done.stdout.split()).isdisjoint({"numpy", "zmq", "pyopencl", "rich", "tensor", "nn"})


def test_start_gives_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    monkeypatch.setattr("mesh.training.Node", node)
    seen: list[Event] = []
    job = mesh.Job(nn.models.lenet((8, 8, 1)), "digits", steps=2)
    result = mesh.start(job, port=0, device="numpy", run=tmp_path / "run", checkpoint=2, on_event=seen.append)
    assert result == mesh.Result(2, 0.9731, 0.125, "finished", node.network)
    assert seen == list(EVENTS)
    assert len(lines_of(tmp_path / "run" / "events.jsonl")) == len(EVENTS)
    assert node.arguments == {
        "job": job,
        "port": 0,
        "device": "numpy",
        "run": tmp_path / "run",
        "checkpoint": 2,
    }


def test_join_writes_nothing_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    monkeypatch.setattr("mesh.training.Node", node)
    monkeypatch.chdir(tmp_path)
    assert mesh.join("host", thin=True, uses=["mine.py"]).steps == 2
    assert list(tmp_path.iterdir()) == []
    assert (node.arguments["host"], node.arguments["port"], node.arguments["thin"]) == ("host", 7680, True)
    assert node.arguments["uses"] == ["mine.py"]


def test_an_argument_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="devise"):
        mesh.join("127.0.0.1", devise="numpy")
    job = mesh.Job(nn.models.mlp((8, 8, 1)), data="digits", optimizer=nn.SGD(lr=0.1), batch=8, steps=1)
    with pytest.raises(TypeError, match="thin"):  # only who joins can be
        mesh.start(job, port=0, device="numpy", thin=True)


def test_every_choice_has_its_default_and_its_option() -> None:
    made = inspect.signature(Node).parameters
    options = {{"use": "uses"}.get(str(each.name), each.name) for each in cli.join.params}
    for choice in Choices.__annotations__:
        assert made[choice].default is not inspect.Parameter.empty
        assert choice in options
        assert f"`{choice}`:" in str(mesh.start.__doc__)


def test_a_folder_that_cannot_be_written_is_found_before_a_node_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    node = FakeNode()
    monkeypatch.setattr("mesh.training.Node", node)
    with pytest.raises(mesh.RunFolderError):
        mesh.join("host", run=tmp_path / "file" / "run")
    assert not hasattr(node, "arguments")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_warns_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("mesh.training.Node", FakeNode())
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert mesh.join("host", run=tmp_path).steps == 2
