"""docs/data.md: its code runs as it stands, from top to bottom."""

import re
from pathlib import Path
from typing import Any

import numpy
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = numpy.random.default_rng(number).integers(0, 256, (40, 50, 3), numpy.uint8)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.jpg")
    (tmp_path / "my.txt").write_text("she sells sea shells by the sea shore. " * 20)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # the project's own page
    assert {"photos", "again", "network", "loader", "text", "Noise"} <= set(names)
