"""What README.md shows works: its examples run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import nn
import tensor
from mesh.catalog import make_job

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TRAINING, LAYER = EXAMPLES


@pytest.mark.slow
def test_the_training_learns(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAINING.replace("mesh.start(job)", 'mesh.start(job, port=0, device="numpy")'))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    accuracy = re.fullmatch(r"(\d+\.\d)% after 100 steps\n", run.stdout)
    assert accuracy is not None, run.stdout
    assert float(accuracy[1]) > 90


def test_the_layer_has_the_right_gradient(tmp_path: Path) -> None:
    file = tmp_path / "swish.py"
    file.write_text(LAYER, encoding="utf-8")
    job = make_job(f"{file}:job", uses=[file])
    swish = nn.load_definition([step for step in job.network if step["type"] == "Swish"]).initialize("numpy")
    x = numpy.random.default_rng(0).standard_normal((4, 8, 8, 2), numpy.float32)
    expected = x / (1 + numpy.exp(-x))
    nn.check_gradient(swish, tensor.asarray(x, device="numpy"))
    numpy.testing.assert_allclose(
        numpy.asarray(swish(tensor.asarray(x, device="numpy"))), expected, rtol=1e-5
    )


def test_every_path_it_names_exists() -> None:
    paths = re.findall(r"\b(?:scripts|docs)/[a-z_.]+[a-z]|\b[A-Z]+\.md\b", README)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
