"""docs/layers.md and docs/training.md: their code runs as it stands, from top to bottom, on every device."""

import re
from pathlib import Path
from typing import Any

from nn import derivatives, layer_types, optimizers
from tensor import PRIMITIVES, Device

DOCS = Path(__file__).parents[2] / "docs"


def names_of(page: Path) -> dict[str, Any]:
    """What the page's code has defined at its end."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)  # the project's own page
    return names


def test_the_page_on_training_runs(device: Device) -> None:
    assert {"optimizer", "average", "scale"} <= set(names_of(DOCS / "training.md"))


def test_the_page_on_layers_runs(device: Device) -> None:
    registers = (
        PRIMITIVES,
        layer_types._by_type,
        layer_types._by_class,
        optimizers._TYPES,
        derivatives._RULES,
    )
    kept = [dict(each) for each in registers]
    try:
        names = names_of(DOCS / "layers.md")
    finally:
        for each, before in zip(registers, kept, strict=True):
            each.clear()
            each.update(before)
    assert {"Swish", "Clipped", "Softsign", "Averaged"} <= set(names)
