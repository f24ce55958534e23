"""The command line: what is typed, what comes out where, and every exit code that needs no second machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mesh
import nn
import tensor
from mesh import codec
from mesh.address import format_address, parse_address
from mesh.cli import main
from mesh.errors import JobFailedError, RefusedError, UnreachableError, UsageError
from tests.mesh.fakes import EVENTS, FakeNode, facts, lines_of

ROOT = Path(mesh.__file__).parents[1]  # what a subprocess imports from, in a checkout
NO_DEFAULTS = {name: None for name in os.environ if name.startswith("MESH_")}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, so that no mesh.toml and no runs are found or left."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    return use(FakeNode(), monkeypatch)


def use(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    monkeypatch.setattr("mesh.node.Node", node)
    return node


def typed(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**NO_DEFAULTS, **environment}, prog_name="mesh")


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom mesh.cli import main\ntry: main(['--help'])\n"
        "except SystemExit: pass\nprint(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded.isdisjoint({"numpy", "zmq", "pyopencl", "rich", "msgpack", "tensor", "nn", "mesh.job"})


@pytest.mark.parametrize(
    "command",
    [[], ["start"], ["join"], ["status"], ["devices"], ["export"], ["bench"], ["bench", "matrix"]],
)
def test_every_command_has_help(command: list[str]) -> None:
    result = typed(*command, "--help")
    assert result.exit_code == 0
    assert "..." not in result.stdout.split("Commands:")[-1] or command


def test_bench_matrix_prints_a_line_for_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.bench._ROUNDS", 1)
    monkeypatch.setattr("mesh.bench._ROUND_S", 0.0001)
    result = typed("bench", "matrix", "--device", "numpy", "--json")
    assert result.exit_code == 0
    lines = [json.loads(each) for each in result.stdout.splitlines()]
    assert [each["ms_2016"] for each in lines] == [4.0, 14.0, 3.8, 5.2]
    assert all(each["ms"] > 0 and each["numpy_ms"] > 0 and each["device"] == "numpy" for each in lines)
    assert "in turn" in result.stderr
    assert len(typed("bench", "matrix", "--device", "numpy").stdout.splitlines()) == 4
    monkeypatch.setattr("tensor.precisions", lambda device: ("float32", "tf32"))
    *_, last = typed("bench", "matrix", "--device", "numpy").stdout.splitlines()
    assert last.startswith("1000×1000 · 1000×1000, tf32 ")


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "mesh", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"mesh {mesh.__version__}\n"


def test_start_writes_the_result_to_stdout_and_talk_to_stderr(node: FakeNode, folder: Path) -> None:
    result = typed("start", "digits", "--run", "kept")
    assert result.exit_code == 0
    assert result.stdout == (
        "2 steps, test accuracy 97.31 %, loss 0.1250, saved in somewhere/checkpoint.safetensors\n"
    )
    assert "mesh join 127.0.0.1:7680" in result.stderr
    assert len(lines_of(folder / "kept" / "events.jsonl")) == len(EVENTS)


def test_start_makes_a_folder_under_runs(node: FakeNode, folder: Path) -> None:
    assert typed("start").exit_code == 0
    (made,) = (folder / "runs").iterdir()
    assert made.name.startswith("digits-")
    assert node.arguments["run"] == Path("runs") / made.name


def test_json_is_all_that_stdout_has(node: FakeNode) -> None:
    result = typed("start", "digits", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == [event.event for event in EVENTS]
    assert all(event["v"] == 1 and abs(event["time"] - time.time()) < 60 for event in events)
    assert result.stderr == ""


def test_options_reach_the_job_and_the_node(node: FakeNode) -> None:
    options = "--steps 7 --batch 30 --lr 0.5 --momentum 0.25 --codec fp32 --seed 9 --port 0 --device numpy"
    result = typed("start", "digits", *options.split(), "--insecure", "--checkpoint", "4")
    assert result.exit_code == 0
    job = node.arguments.pop("job")
    assert (job.steps, job.batch, job.codec, job.seed) == (7, 30, "fp32", 9)
    assert job.optimizer["params"] == {"lr": 0.5, "momentum": 0.25, "weight_decay": 0.0}
    del node.arguments["run"]
    assert node.arguments == {"port": 0, "device": "numpy", "insecure": True, "uses": (), "checkpoint": 4}


def test_join_options_reach_the_node_and_nothing_is_written(node: FakeNode, folder: Path) -> None:
    result = typed("join", "[::1]:7000", "--thin", "--device", "numpy")
    assert result.exit_code == 0
    assert node.arguments == {
        "host": "::1",
        "port": 7000,
        "device": "numpy",
        "thin": True,
        "insecure": False,
        "run": None,
        "uses": (),
        "checkpoint": None,
    }
    assert list(folder.iterdir()) == []


def test_a_flag_comes_before_the_environment_and_that_before_the_file(node: FakeNode, folder: Path) -> None:
    (folder / "mesh.toml").write_text("[start]\nsteps = 3\nbatch = 4\nseed = 5\n")
    assert typed("start", "--steps", "1", MESH_START_STEPS="2", MESH_START_BATCH="20").exit_code == 0
    job = node.arguments["job"]
    assert (job.steps, job.batch, job.seed) == (1, 20, 5)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[start]\nstep = 3\n", "'step'"),
        ("[start]\nsteps = 'many'\n", "'many'"),
        ("[begin]\n", "'begin'"),
        ("[start\n", "cannot be read"),
    ],
)
def test_a_wrong_mesh_toml(text: str, seen: str, folder: Path) -> None:
    (folder / "mesh.toml").write_text(text)
    result = typed("start")
    assert result.exit_code == 2
    assert seen in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "seen"),
    [
        (["start", "digts"], 2, "Did you mean digits?"),
        (["start", "vgg16"], 2, "digits, lenet"),
        (["start", "nowhere.json", "--data", "digits"], 2, "nowhere.json"),
        (["start", "nowhere.py:job"], 2, "nowhere.py"),
        (["start", "--data", "mnits"], 2, "Did you mean mnist?"),
        (["start", "--codec", "dettmers9"], 2, "Did you mean dettmers8?"),
        (["start", "--codec", "zip"], 2, ", ".join(codec.names())),
        (["start", "--steps", "0"], 2, "--steps"),
        (["start", "--batch", "0"], 2, "--batch"),
        (["start", "--batch", "many"], 2, "'many'"),
        (["start", "--lr", "0"], 2, "--lr"),
        (["start", "--lr", "nan"], 2, "lr"),
        (["start", "--momentum", "1"], 2, "--momentum"),
        (["start", "digits", "--length", "5"], 2, "digits is images: drop --length"),
        (["start", "--seed", "-1"], 2, "--seed"),
        (["start", "--port", "70000"], 2, "--port"),
        (["start", "--use", "nowhere.py"], 2, "nowhere.py"),
        (["start", "--nonsense"], 2, "--nonsense"),
        (["start", "digits", "--run", "a_file/kept"], 1, "a_file/kept"),
        (["join"], 2, "HOST"),
        (["join", "host:port"], 2, "host:port"),
        (["join", "host:70000"], 2, "HOST:PORT"),
        (["join", "tcp://host:1"], 2, "HOST:PORT"),
        (["status", "host:"], 2, "host:"),
        (["begin"], 2, "begin"),
    ],
)
def test_bad_input_gets_a_sentence_and_its_code(
    arguments: list[str], exit_code: int, seen: str, node: FakeNode, folder: Path
) -> None:
    (folder / "a_file").write_text("")
    result = typed(*arguments)
    assert result.exit_code == exit_code
    assert seen in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (folder / "runs").exists()


def test_no_data_and_no_network(node: FakeNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, sha256: str, name: str, into: Path) -> Path:
        raise OSError("no route to host")

    monkeypatch.setattr("nn.data.finding._retrieve", unreachable)
    (folder / "empty").mkdir()
    result = typed("start", "lenet", MESH_DATA="empty", XDG_CACHE_HOME=str(folder))
    assert result.exit_code == 5
    assert "set MESH_DATA" in result.stderr


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (JobFailedError("the loss is nan"), 1),
        (UsageError("port 7680 is taken"), 2),
        (UnreachableError("no peer answers"), 3),
        (RefusedError("another version"), 4),
        (tensor.errors.DeviceError("no such device"), 5),
    ],
)
def test_what_fails_in_the_run(
    failure: tensor.errors.MeshError, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeNode(failure=failure), monkeypatch)
    result = typed("join", "host")
    assert result.exit_code == exit_code
    assert result.stderr.splitlines()[-1] == f"mesh: {failure}"


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakeNode(failure=ZeroDivisionError("a defect")), monkeypatch)
    assert isinstance(typed("join", "host").exception, ZeroDivisionError)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_in_order(
    number: signal.Signals, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", sys.exit)
    before = signal.getsignal(number)
    node.during_run = lambda: os.kill(os.getpid(), number)
    result = typed("join", "host")
    assert node.has_left
    assert result.exit_code == 130
    assert result.stdout.startswith("2 steps")
    assert signal.getsignal(number) is before


def test_an_interrupt_before_the_job_begins_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    node = use(FakeNode(failure=JobFailedError("ended before the job had begun")), monkeypatch)
    monkeypatch.setattr(os, "_exit", sys.exit)
    node.during_run = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert typed("join", "host").exit_code == 130


def test_the_second_interrupt_ends_at_once() -> None:
    code = (
        "import os, time\nfrom mesh.interrupts import Interrupts\n"
        "with Interrupts(lambda: os.write(1, b'leaving\\n')):\n"  # print cannot: it may still be in its flush
        "    print('ready', flush=True)\n    end = time.monotonic() + 30\n"
        "    while time.monotonic() < end: time.sleep(0.01)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "leaving\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_status_shows_what_the_peer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def answer(host: str, port: int) -> dict[str, object]:
        asked.append((host, port))
        return json.loads(json.dumps(facts(2).to_dict()))

    monkeypatch.setattr("mesh.node.status", answer)
    shown = typed("status", "elsewhere:99")
    assert shown.exit_code == 0
    assert "step 250 / 1,000" in shown.stdout
    assert "97.31 %" in shown.stdout
    assert "000000 ● asked" in shown.stdout
    printed = json.loads(typed("status", "--json").stdout)
    assert printed == {"v": 1, **json.loads(json.dumps(facts(2).to_dict()))}
    assert asked == [("elsewhere", 99), ("localhost", 7680)]


def test_status_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.node.status", lambda host, port: {"members": [], "colour": "red"})
    result = typed("status")
    assert result.exit_code == 4
    assert "same version" in result.stderr


def test_devices_are_those_of_tensor() -> None:
    printed = [json.loads(line) for line in typed("devices", "--json").stdout.splitlines()]
    assert [each["spec"] for each in printed] == [device.spec for device in tensor.devices()]
    assert [each["spec"] for each in printed if each["default"]] == [tensor.default_device().spec]
    shown = typed("devices").stdout
    assert all(device.spec in shown for device in tensor.devices())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", ("host", 7680)),
        ("host:1", ("host", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("::1", ("::1", 7680)),
        ("[::1]", ("::1", 7680)),
        ("[fe80::1]:99", ("fe80::1", 99)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert parse_address(format_address(*address)) == address


@pytest.mark.parametrize(
    "text",
    ["", ":1", "host:", "host:0", "host:+1", "host:65536", "[::1", "[::1]7", "a/b", "a b", "[]:1", "h:²"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text)


def test_a_job_file_with_layers_is_used_by_name(node: FakeNode, folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import nn\n\n@nn.register('doubling')\nclass Doubling(nn.Layer):\n    def forward(self, x):\n"
        "        return x + x\n\n"
        "network = nn.Sequential(flat=nn.Flatten(), twice=Doubling(), fc=nn.Linear(64, 10))\n"
    )
    assert typed("start", "mine.py:network", "--data", "digits", "--steps", "1").exit_code == 0
    assert node.arguments["uses"] == (Path("mine.py"),)
    assert [name for name, digest in node.arguments["job"].uses] == ["mine.py"]
    assert [entry["type"] for entry in node.arguments["job"].network][1] == "doubling"
    assert isinstance(nn.load_definition(node.arguments["job"].network), nn.Sequential)
