"""What commands print: who talks during a run, the result at its end, `mesh status` and `mesh devices`."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import tensor
from mesh.errors import ProtocolError
from mesh.lines import JsonLines, Lines
from mesh.screen import body, title
from mesh.sentences import percent, plural, printable
from mesh.snapshot import MemberFacts, Snapshot
from mesh.training import Outcome, Reporter

JSON_VERSION = 1
_NO_LIMIT = 1 << 30


def talk(snapshot: Callable[[], Snapshot], as_json: bool, stack: ExitStack) -> Reporter:
    """Whoever tells of the run: JSON on stdout, else a screen on a terminal, else plain lines on stderr."""
    if as_json:
        return JsonLines(sys.stdout)
    console = Console(stderr=True, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        from mesh.screen import Screen

        return stack.enter_context(Screen(console, snapshot))
    return Lines(sys.stderr, snapshot)


def result_line(outcome: Outcome) -> str:
    """What came of a run, in one line; what was not measured is left out."""
    parts = [plural(outcome.steps, "step")]
    if outcome.accuracy is not None:
        parts.append(f"test accuracy {percent(outcome.accuracy)}")
    if outcome.loss is not None:
        parts.append(f"loss {outcome.loss:.4f}")
    if outcome.path is not None:
        parts.append(f"saved in {outcome.path}")
    return ", ".join(parts)


def show_status(facts: dict[str, Any], as_json: bool) -> None:
    """The facts that a peer gave, on stdout."""
    if as_json:
        print(json.dumps({"v": JSON_VERSION, **facts}))
        return
    snapshot = _snapshot(facts)
    console = Console(highlight=False)
    console.print(title(snapshot))
    for part in body(snapshot, _NO_LIMIT, me="asked"):
        console.print(part)


def show_devices(as_json: bool) -> None:
    """The devices on stdout; what hinders others from being there on stderr."""
    found, default = tensor.devices(), tensor.default_device()
    if as_json:
        for device in found:
            print(json.dumps({"v": JSON_VERSION, **_facts(device), "default": device is default}))
    else:
        Console(highlight=False).print(_table(found, default))
    for note in tensor.device_notes():
        print(f"mesh: {note}", file=sys.stderr)


def _facts(device: tensor.Device) -> dict[str, Any]:
    return {
        "spec": device.spec,
        "name": device.name,
        "backend": device.backend,
        "kind": device.kind,
        "compute_units": device.compute_units,
        "memory_bytes": device.memory_bytes,
        "driver": device.driver,
    }


def _table(found: list[tensor.Device], default: tensor.Device) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("--device", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("units", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    for device in found:
        table.add_row(
            Text(
                device.spec + (" *" if device is default else ""), style="bold" if device is default else ""
            ),
            Text(device.name),
            device.kind,
            f"{device.compute_units}",
            f"{device.memory_bytes / 1e9:.1f} GB",
        )
    return table


def _snapshot(facts: dict[str, Any]) -> Snapshot:
    """The Snapshot that another process sent; ProtocolError where it is none."""
    try:
        members = tuple(MemberFacts(**member) for member in facts["members"])
        return Snapshot(**{**facts, "members": members})
    except (KeyError, TypeError) as error:
        raise ProtocolError(
            f"The peer's answer is not one of this version ({printable(str(error))}): "
            "install the same version on both."
        ) from error
