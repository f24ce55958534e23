"""docs/layers.md: its code runs as it stands, from top to bottom, on every device."""

import re
from pathlib import Path
from typing import Any

from nn import derivatives, layer_types, optimizers
from tensor import PRIMITIVES, Device

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_page_runs(device: Device, monkeypatch: Any) -> None:
    registers = (
        PRIMITIVES,
        layer_types._by_type,
        layer_types._by_class,
        optimizers._TYPES,
        derivatives._RULES,
    )
    kept = [dict(each) for each in registers]
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)  # the project's own page
    finally:
        for each, before in zip(registers, kept, strict=True):
            each.clear()
            each.update(before)
    assert {"Swish", "Clipped", "Softsign", "Averaged"} <= set(names)
