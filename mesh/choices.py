"""What a peer chooses for itself, whatever the job and whether it starts it or joins it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import nn


class Choices(TypedDict, total=False):
    """Keyword arguments of `mesh.start`, which says what each means, and of `mesh.join`; `Node` has the
    defaults.
    """

    device: str | None
    insecure: bool
    run: str | Path | None
    uses: Iterable[str | Path]
    checkpoint: "nn.Checkpoint"
