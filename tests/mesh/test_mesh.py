"""Real peers: processes of their own, real sockets, real training on the embedded digits."""

import re
import shutil
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
from safetensors.numpy import load_file

import nn
from mesh.catalog import make_job
from mesh.message import Hello, Refused, decode, encode
from tests.devices import best_devices
from tests.mesh.processes import Mesh, PeerProcess, check_steps

BATCH = 120
LONG = ("digits", "--steps", "100000")


def three(peers: Mesh, *arguments: str) -> list[PeerProcess]:
    """Three full members of a job that does not end by itself."""
    first = peers.start(*(arguments or LONG))
    first.step(1)
    all_three = [first, peers.join(first), peers.join(first)]
    for peer in all_three:
        peer.view(3)
    return all_three


def common_step(some: list[PeerProcess], ahead: int = 3) -> None:
    """Wait until all of them have made a few more steps."""
    newest = max(peer.all("step")[-1]["step"] for peer in some if peer.all("step"))
    for peer in some:
        peer.step(newest + ahead)


def test_first_peer_is_killed_and_the_others_go_on_within_two_seconds(peers):
    first, second, third = three(peers)
    common_step([first, second, third], ahead=12)
    at = first.kill()
    recovered = [
        peer.wait(lambda e: e["event"] == "step" and e["time"] > at and e["peers"] == 2)
        for peer in (second, third)
    ]
    assert max(fact["time"] for fact in recovered) - at < 2.0
    gone = second.wait(lambda fact: fact["event"] == "lost")
    assert gone["peer"] == first.all("listening")[0]["peer"]
    late = peers.join(second)  # any member will do
    late.view(3)
    common_step([second, third, late])
    seen = check_steps([first, second, third, late], BATCH)
    assert {fact["peers"] for fact in seen.values()} >= {1, 2, 3}
    for peer in (second, third):
        served = [fact["served"] for fact in peer.all("step") if fact["peers"] == 3][-9:]
        assert len(set(served)) > 1 or served[0] > 0
        assert sum(served) > 0


def test_down_to_the_last_survivor(peers):
    first, second, third = three(peers)
    common_step([first, second, third])
    at = max(second.kill(), first.kill())
    alone = third.wait(lambda fact: fact["event"] == "step" and fact["time"] > at and fact["peers"] == 1)
    assert alone["time"] - at < 2.0
    check_steps([first, second, third], BATCH)


def test_interrupted_peer_leaves_in_under_a_second_and_nothing_is_lost(peers):
    first, second, third = three(peers)
    common_step([first, second, third])
    leaver = second.all("listening")[0]["peer"]
    assert second.interrupt() < 1.0
    assert second.process.returncode == 130
    first.wait(lambda fact: fact["event"] == "left" and fact["peer"] == leaver)
    common_step([first, third])
    assert first.all("lost") == third.all("lost") == []
    assert first.interrupt() < 1.0  # the steward, too
    third.wait(lambda fact: fact["event"] == "step" and fact["peers"] == 1)
    check_steps([first, second, third], BATCH)
    assert third.all("lost") == []


def test_job_ends_for_all_with_one_checkpoint(peers):
    first = peers.start("digits", "--steps", "300")
    first.wait(lambda fact: fact["event"] == "view")
    second = peers.join(first)
    assert [peer.end() for peer in (first, second)] == [0, 0]
    assert len(check_steps([first, second], BATCH)) == 300
    for peer in (first, second):
        assert [peer.all(event)[-1]["step"] for event in ("saved", "evaluated", "finished")] == [300] * 3
    one, other = (load_file(peers.checkpoint(peer)) for peer in (first, second))
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
    saved = nn.load(peers.checkpoint(first))
    assert isinstance(saved.network, nn.Layer)
    assert saved.input_shape == (8, 8, 1)


def test_learner_sits_with_digests_of_the_others_from_its_first_step(peers):
    first = peers.start(*LONG)
    first.step(3)
    second = peers.join(first)
    second.view(2, full=1)
    second.view(2)
    common_step([first, second])
    seen = check_steps([first, second], BATCH)
    assert all(int(fact["digest"], 16) for fact in seen.values())


def test_thin_peer_stays_thin(peers):
    first = peers.start("digits", "--steps", "150")
    first.step(1)
    second = peers.join(first, "--thin")
    second.view(2, full=1)
    assert [peer.end() for peer in (first, second)] == [0, 0]
    check_steps([first, second], BATCH)
    assert not any(sum(m["full"] for m in view["members"]) == 2 for view in first.all("view"))
    assert {fact["served"] for fact in second.all("step")} == {0}
    assert first.all("evaluated")[-1]["accuracy"] > 0.9


def test_mixed_devices_hold_one_digest(peers, opencl):
    first = peers.start(*LONG)
    first.step(1)
    second = peers.join(first, "--device", opencl)
    second.view(2, seconds=120)
    common_step([first, second], ahead=20)
    check_steps([first, second], BATCH)
    assert not any("arithmetic differs" in note["text"] for note in second.all("note"))
    devices = {member["device"] for member in first.view(2)["members"]}
    assert len(devices) == 2


def test_data_travels_to_a_peer_that_has_none(peers, small_mnist, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    first = peers.start("lenet", "--data", "mnist10k", "--steps", "100000", MESH_DATA=str(small_mnist))
    first.step(1, seconds=90)
    second = peers.join(
        first, MESH_DATA=str(nothing), MESH_CACHE=str(tmp_path / "cache"), XDG_CACHE_HOME=str(nothing)
    )
    second.view(2, seconds=120)
    common_step([first, second])
    check_steps([first, second], BATCH)


AUGMENTED = """
import nn

network = nn.Sequential(
    crop=nn.RandomCrop(8, padding=1),
    jitter=nn.ColorJitter(0.2, 0.2, 0.2),
    conv=nn.Conv2d(3, 4, 3),
    flat=nn.Flatten(),
    fc=nn.Linear(6 * 6 * 4, 2),
)
"""


def test_a_folder_of_images_travels_and_is_augmented_wherever_it_lies(peers, tmp_path):
    image = pytest.importorskip("PIL.Image")
    photos, file = tmp_path / "photos", tmp_path / "augmented.py"
    file.write_text(AUGMENTED)
    for name, brightness in (("dark", 60), ("light", 190)):
        (photos / name).mkdir(parents=True)
        for number in range(20):
            noise = np.random.default_rng(number).integers(0, 60, (9, 12, 3))
            image.fromarray((brightness + noise).astype(np.uint8)).save(photos / name / f"{number}.png")
    first = peers.start(f"{file}:network", "--data", str(photos), "--batch", "12", "--steps", "100000")
    first.step(1)
    shutil.rmtree(photos)
    second = peers.join(first)
    second.view(2)
    common_step([first, second])
    check_steps([first, second], batch=12)
    second.wait(lambda fact: fact["event"] == "evaluated" and fact["accuracy"] == 1)


README, LAYERS_PAGE = (
    (Path(__file__).parents[2] / name).read_text(encoding="utf-8") for name in ("README.md", "docs/layers.md")
)


def documented_layers() -> str:
    """A file with README's Swish, which has a parameter, and the Softsign of docs/layers.md, which has a
    kernel; and a network of both."""
    swish = next(block for block in python_of(README) if "class Swish" in block)
    imports, softsign = (
        python_of(LAYERS_PAGE)[0],
        next(block for block in python_of(LAYERS_PAGE) if "class Softsign" in block),
    )
    layers = "nn.Flatten(), nn.Linear(64, 20), Softsign(), Swish(), nn.Linear(20, 10)"
    checks = softsign.index("nn.check_gradient")
    return f"{imports}{swish}{softsign[:checks]}network = nn.Sequential({layers})\n"


def python_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_a_language_model_trains_across_three_peers_that_fetch_the_text(peers, tmp_path):
    text, job = tmp_path / "mine.txt", tmp_path / "language.py"
    text.write_text("she sells sea shells by the sea shore. " * 200)
    job.write_text(
        "import mesh, nn\n"
        "network = nn.models.chargpt(13, context=16, depth=1, heads=2, channels=32)\n"
        f"job = mesh.Job(network, {str(text)!r}, nn.AdamW(lr=0.01), batch=30, steps=100000, length=16,\n"
        "              evaluate_every=50)\n"
    )
    first = peers.start(f"{job}:job")
    assert first.step(1)["loss"] > 1.5
    text.unlink()
    others = [peers.join(first) for _ in range(2)]
    for peer in (first, *others):
        peer.view(3)
    common_step([first, *others])
    for peer in (first, *others):
        peer.wait(lambda fact: fact["event"] == "evaluated" and fact["loss"] < 0.5)
    check_steps([first, *others], batch=30)


def test_layers_of_ones_own_train_across_three_peers(peers, tmp_path):
    layers, devices = tmp_path / "my_layers.py", [*best_devices(), "numpy"]
    layers.write_text(documented_layers())
    options = ("--use", str(layers), "--device")
    first = peers.start(
        f"{layers}:network", "--data", "digits", "--steps", "100000", "--lr", "0.1", "--device", devices[0]
    )
    first.step(1)
    others = [peers.join(first, *options, device) for device in (devices[-1], devices[0])]
    for peer in (first, *others):
        peer.view(3)
    common_step([first, *others])
    for peer in (first, *others):
        peer.wait(lambda fact: fact["event"] == "evaluated" and fact["accuracy"] > 0.8)
    check_steps([first, *others], BATCH)

    without = peers.join(first)
    assert without.end() == 4
    assert "--use my_layers.py" in without.stderr()
    changed = tmp_path / "other" / "my_layers.py"
    changed.parent.mkdir()
    changed.write_text(layers.read_text().replace("fabs", "(float)fabs"))
    different = peers.join(first, "--use", str(changed))
    assert different.end() == 4
    assert "your my_layers.py differs" in different.stderr()


def test_absurd_learning_rate_ends_the_job_with_a_sentence(peers):
    first = peers.start("digits", "--steps", "1000", "--lr", "1e30", "--momentum", "0")
    assert first.end() == 1
    assert first.stderr().count("\n") == 1
    assert "not finite" in first.stderr() or "the loss is" in first.stderr()
    assert "The first layer with one is" in first.stderr() or "The parameter " in first.stderr()
    assert "--lr" in first.stderr()


def test_batch_smaller_than_the_number_of_peers_is_refused(peers):
    first = peers.start("digits", "--steps", "100000", "--batch", "1", "--lr", "1e-6")
    first.step(1)
    second = peers.join(first)
    assert second.end() == 4
    assert "--batch" in second.stderr()
    first.step(first.all("step")[-1]["step"] + 1)


def test_nobody_there(peers):
    begun = time.monotonic()
    lonely = peers.run("join", "127.0.0.1:9", "--device", "numpy")
    assert lonely.end() == 3
    assert time.monotonic() - begun < 30
    assert "no peer answered at 127.0.0.1:9" in lonely.stderr()


def test_another_version_is_refused(peers):
    """A joiner of another software version, and one whose messages are of another version, hear why."""
    first = peers.start(*LONG)
    first.step(1)
    with zmq.Context() as context, context.socket(zmq.DEALER) as raw:
        raw.setsockopt(zmq.LINGER, 0)
        raw.setsockopt(zmq.IDENTITY, b"another")
        raw.setsockopt(zmq.RCVTIMEO, 10_000)
        raw.connect(f"tcp://{first.address}")
        raw.send_multipart(encode(Hello("mesh protocol 99")))
        answer = decode(raw.recv_multipart())
        assert isinstance(answer, Refused)
        assert "mesh protocol 99" in answer.reason
        raw.send(msgpack.packb([99, "Hello", "mesh protocol 99"]))
        answer = decode(raw.recv_multipart())
        assert isinstance(answer, Refused)
        assert "version 99" in answer.reason
    first.step(first.all("step")[-1]["step"] + 2)


def test_joiner_that_is_refused_ends_with_a_sentence(peers):
    """Against a stand-in for a peer of another version."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as raw:
        raw.setsockopt(zmq.LINGER, 500)
        raw.setsockopt(zmq.RCVTIMEO, 30_000)
        port = raw.bind_to_random_port("tcp://127.0.0.1")
        joiner = peers.run("join", f"127.0.0.1:{port}", "--device", "numpy")
        identity, *_ = raw.recv_multipart()
        raw.send_multipart([identity, msgpack.packb([99, "Refused", "of another version"])])
        assert joiner.end() == 4
    assert "protocol version 99" in joiner.stderr()


def test_port_in_use(peers):
    first = peers.start(*LONG)
    second = peers.run("start", "digits", "--port", str(first.port), "--device", "numpy")
    assert second.end() == 2
    assert "--port 0" in second.stderr()


MEASURED_STEPS = 100


@pytest.mark.slow
@pytest.mark.parametrize("count", [*(pytest.param(each, marks=pytest.mark.deep) for each in (2, 3)), 4])
def test_bytes_of_a_step(peers, count):
    """Every full peer sends 2·P·(N − 1)/N bytes a step, within 4 %: scales of blocks are 1.6 %, headers and
    pings less; and what is sent around the first and the last step may count for the one beside.
    """
    first = peers.start(*LONG)
    first.step(1)
    everybody = [first, *(peers.join(first) for _ in range(count - 1))]
    begun = max(peer.view(count, seconds=120)["step"] for peer in everybody) + 3
    expected = 2 * digits_parameters() * (count - 1) / count
    for peer in everybody:
        peer.step(begun + MEASURED_STEPS, seconds=120)
        steps = [fact for fact in peer.all("step") if 0 <= fact["step"] - begun < MEASURED_STEPS]
        assert [fact["peers"] for fact in steps] == [count] * MEASURED_STEPS
        mean = sum(fact["bytes_sent"] for fact in steps) / MEASURED_STEPS
        assert 0.98 <= mean / expected <= 1.04


def digits_parameters() -> int:
    network = nn.load_definition(make_job("digits").network)
    return int(network.initialize("numpy").vector.size)
