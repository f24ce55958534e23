"""What many peers learn, against what one learns. Minutes long; the data set must be there."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.mesh.processes import Mesh, PeerProcess, check_steps

EPOCHS = 10
STEPS = EPOCHS * 8000 // 120


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_weights_after_100_steps_do_not_depend_on_the_number_of_peers(peers):
    """The order in which floats are added is all that differs. Training itself multiplies such differences,
    the more the larger its steps: at a rate of 0.05 rounding errors of 1e-8 are 1e-3 after 100 steps.
    """
    job = ("digits", "--steps", "100", "--batch", "1200", "--codec", "fp32", "--lr", "0.01")
    weights = []
    for count in (1, 2, 4):
        first = peers.start(*job)
        everybody = [first, *(peers.join(first) for _ in range(count - 1))]
        assert {peer.end(seconds=200) for peer in everybody} == {0}
        seen = check_steps(everybody, 1200)
        assert sum(fact["peers"] == count for fact in seen.values()) >= 30  # the first ones it makes alone
        saved = load_file(peers.checkpoint(first))
        weights.append({name: saved[name] for name in saved if not name.startswith("optimizer/")})
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        for name, values in weights[0].items():
            np.testing.assert_allclose(other[name], values, atol=1e-4, rtol=0, err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The accuracy on mnist10k after EPOCHS epochs of three peers, by what was different about them."""
    data = os.environ.get("MESH_DATA")
    if not data or not (Path(data) / "mnist").is_dir():
        pytest.skip("MESH_DATA names no folder with mnist")
    mesh = Mesh(tmp_path_factory.mktemp("accuracy"))
    try:
        return {
            "dettmers8": train(mesh, data, "dettmers8"),
            "fp32": train(mesh, data, "fp32"),
            "one thin": train(mesh, data, "dettmers8", "--thin"),
        }
    finally:
        mesh.stop()


def train(mesh: Mesh, data: str, codec: str, *third: str) -> float:
    environment = {"MESH_DATA": str(Path(data).resolve())}
    arguments = (
        "--data",
        "mnist10k",
        "--batch",
        "120",
        "--steps",
        f"{STEPS}",
        "--codec",
        codec,
        "--device",
        "cpu",
    )
    first = mesh.start("lenet", *arguments, **environment)
    others = [mesh.join(first, *more, "--device", "cpu", **environment) for more in ((), third)]
    everybody: list[PeerProcess] = [first, *others]
    assert [peer.end(seconds=280) for peer in everybody] == [0, 0, 0]
    seen = check_steps(everybody, 120)
    assert sum(fact["peers"] == 3 for fact in seen.values()) > STEPS * 0.8
    return float(first.all("evaluated")[-1]["accuracy"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_peers_reach_98_percent(trained):
    assert trained["dettmers8"] >= 0.98


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("other", ["fp32", "one thin"])
def test_accuracy_differs_by_at_most_four_tenths_of_a_point(trained, other):
    assert abs(trained[other] - trained["dettmers8"]) <= 0.004
