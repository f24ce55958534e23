"""docs/interchange.md: its code runs as it stands, from top to bottom."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

PAGE = Path(__file__).parents[2] / "docs" / "interchange.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # the project's own page
    made = {"resnet18.safetensors", "mine.npz", "lenet.onnx"}
    assert {each.name for each in tmp_path.iterdir()} == made
