"""`mesh export`: the network of a run, for other programs."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import nn
from mesh.errors import UsageError
from mesh.events import EVENT_VERSION
from mesh.run import CHECKPOINT
from mesh.uses import load_uses

_WEIGHTS = (".safetensors", ".npz")


@dataclass(frozen=True)
class Exported:
    """What was written: the network after `step` steps, for samples of `input_shape`, where that is known."""

    path: str
    step: int
    parameters: int
    input_shape: tuple[int, ...] | None


def export(
    source: Path, output: Path, names: str, input_shape: str | None, uses: Iterable[Path] = ()
) -> Exported:
    """Write the network of `source`, a run's folder or a checkpoint, to `output`, whose suffix says as what.

    Raises UsageError for a suffix or a shape that is none, SaveError for a checkpoint that cannot be read or
    a file that cannot be written, and NetworkError for a network that has no such form.
    """
    checkpoint = source / CHECKPOINT if source.is_dir() else source
    if output.suffix not in (*_WEIGHTS, ".onnx", ".json"):
        raise UsageError(f"{output} does not say what to write: call it .onnx, .safetensors, .npz or .json.")
    if output.exists() and checkpoint.exists() and output.samefile(checkpoint):
        raise UsageError(f"{output} is the checkpoint itself: give the file to write another name.")
    shape = None if input_shape is None else _shape(input_shape)
    load_uses(uses)
    saved = nn.load(checkpoint, device="numpy")
    shape = shape or saved.input_shape
    _write(saved.network, output, names, shape)
    return Exported(str(output), saved.step, saved.network.vector.size, shape)


def _write(network: nn.Layer, output: Path, names: str, shape: tuple[int, ...] | None) -> None:
    if output.suffix in _WEIGHTS:
        nn.save_weights(network, output, names, shape)
    elif output.suffix == ".json":
        text = json.dumps(nn.to_definition(network), indent=1) + "\n"
        nn.saving.write_whole(output, text.encode())
    elif shape is None:
        raise UsageError(
            "The checkpoint does not say what its network takes: add --input-shape, as in 28,28,1."
        )
    else:
        nn.export_onnx(network, output, shape)


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(f"{text!r} is no shape: expected sizes with commas between, as in 28,28,1.")
    return tuple(map(int, sizes))


def show(exported: Exported, as_json: bool) -> None:
    """Print what was written, as a sentence or as JSON."""
    if as_json:
        click.echo(json.dumps({"v": EVENT_VERSION, **asdict(exported)}))
        return
    takes = f", for samples of {' × '.join(map(str, exported.input_shape))}" if exported.input_shape else ""
    click.echo(f"{exported.path}: {exported.parameters:,} parameters after step {exported.step:,}{takes}")
