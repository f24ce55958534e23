"""Train one neural network on whatever machines are to hand.

    import mesh, nn

    job = mesh.Job(network=nn.models.lenet((8, 8, 1)), data="digits", steps=400)
    result = mesh.start(job)  # trains at once; others may mesh.join("host") at any time

Names are imported when they are first used, so that `mesh --help` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh import codec, events
    from mesh.errors import (
        JobFailedError,
        ProtocolError,
        RefusedError,
        RunFolderError,
        UnreachableError,
        UsageError,
    )
    from mesh.job import Job
    from mesh.snapshot import MemberFacts, Snapshot
    from mesh.training import Result, join, start
    from tensor.errors import MeshError

__all__ = [
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

__version__ = "0.1.0"

_HOMES = {
    "Job": "mesh.job",
    "MemberFacts": "mesh.snapshot",
    "MeshError": "tensor.errors",
    "Result": "mesh.training",
    "Snapshot": "mesh.snapshot",
    "join": "mesh.training",
    "start": "mesh.training",
    **dict.fromkeys(
        (
            "JobFailedError",
            "ProtocolError",
            "RefusedError",
            "RunFolderError",
            "UnreachableError",
            "UsageError",
        ),
        "mesh.errors",
    ),
}


def __getattr__(name: str) -> Any:
    if name in ("codec", "events"):
        return import_module(f"mesh.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'mesh' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
