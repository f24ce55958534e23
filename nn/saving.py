"""Networks on disk: one safetensors file with weights, optimizer state, and what a resumed run needs.

Parameters stand under their names in the network's table, so that other programs can read them; the
optimizer's vectors stand under "optimizer/…"; definition, optimizer, step and seed are in the metadata, as
JSON.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import tensor
from nn.definition import load_definition, to_definition
from nn.errors import DefinitionError, SaveError
from nn.layer import Layer
from nn.optimizers import Optimizer, load_optimizer
from tensor import Device
from tensor.dtypes import DType
from tensor.replacing import replacing

_FORMAT = "mesh-1"
OPTIMIZER = "optimizer/"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Saved:
    """What `load` found: all that a run needs to go on bit for bit."""

    network: Layer
    optimizer: Optimizer | None
    step: int
    seed: int
    input_shape: tuple[int, ...] | None = None


def save(
    path: str | Path,
    network: Layer,
    optimizer: Optimizer | None = None,
    step: int = 0,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
) -> None:
    """Write `network`, and the state of `optimizer` after `step` steps of the run with `seed`, to `path`.

    `input_shape`, of one sample, is kept for who exports the network later. A reader sees the old file or the
    whole new one, also after a loss of power. The definition is stored if the network has one; for others,
    `load` must be given the network. Raises `SaveError`.
    """
    arrays = {name: numpy.asarray(x) for name, x in (network.parameters() | network.buffers()).items()}
    metadata: dict[str, Any] = {"step": step, "seed": seed}
    if input_shape is not None:
        metadata["input_shape"] = [*input_shape]
    with suppress(DefinitionError):
        metadata["definition"] = to_definition(network)
    if optimizer is not None:
        if not optimizer.state:
            raise SaveError("The optimizer has no state: call optimizer.initialize(network.vector) first.")
        metadata["optimizer"] = optimizer.definition()
        arrays |= {OPTIMIZER + name: numpy.asarray(vector) for name, vector in optimizer.state.items()}
    text = {"format": _FORMAT, **{key: json.dumps(value) for key, value in metadata.items()}}
    contiguous = {name: numpy.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(Path(path), safetensors.numpy.save(contiguous, text))


def write_whole(path: Path, content: bytes) -> None:
    """Make `content` the file `path`, or leave the old one. Raises `SaveError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise SaveError(
            f"{path} cannot be written: {error.strerror or error}. Choose another place."
        ) from error


def load(path: str | Path, network: Layer | None = None, device: str | Device | None = None) -> Saved:
    """Read what `save` wrote; the network is made from its definition on `device`, unless it is given.

    A given network keeps its memory if it has any, else gets it on `device`, in the dtype of the file. Raises
    `SaveError` (exit code 5) if the file is missing, damaged, or of another network, or of one in another
    dtype.
    """
    arrays, metadata = _read(Path(path))
    if network is None:
        if "definition" not in metadata:
            raise SaveError(f"{path} has no definition of its network: give load() the network as well.")
        network = load_definition(metadata["definition"])
    if not hasattr(network, "table"):
        network.initialize(device, metadata["seed"], _dtype(arrays))
    network.state[...] = _flat(Path(path), network, arrays)
    optimizer = load_optimizer(metadata["optimizer"]) if "optimizer" in metadata else None
    if optimizer is not None:
        optimizer.initialize(network.vector, network.table)
        for name, vector in optimizer.state.items():
            vector[...] = _fetch(Path(path), arrays, OPTIMIZER + name, vector.shape, vector.dtype)
    return Saved(network, optimizer, metadata["step"], metadata["seed"], _input_shape(Path(path), metadata))


def _input_shape(path: Path, metadata: dict[str, Any]) -> tuple[int, ...] | None:
    shape = metadata.get("input_shape")
    if shape is None:
        return None
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise SaveError(f"The input_shape of {path} is {shape!r}; expected a list of sizes.")
    return tuple(shape)


def read_safetensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata of any safetensors file. Raises `SaveError`."""
    if not path.is_file():
        raise SaveError(f"There is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 — it is no dict
            return arrays, file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise SaveError(f"{path} is not a sound safetensors file: {error}.") from error


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    arrays, metadata = read_safetensors(path)
    written = metadata.pop("format", None)
    if written != _FORMAT or not {"step", "seed"} <= set(metadata):
        raise SaveError(
            f"{path} was not written by nn.save: its format is {written!r}; expected {_FORMAT!r}."
        )
    try:
        return arrays, {key: json.loads(value) for key, value in metadata.items()}
    except ValueError as error:
        raise SaveError(f"The metadata of {path} is not JSON: {error}.") from error


def _dtype(arrays: Arrays) -> DType:
    """That of the saved network."""
    return tensor.float64 if any(each.dtype == tensor.float64 for each in arrays.values()) else tensor.float32


def _flat(path: Path, network: Layer, arrays: Arrays) -> NDArray[Any]:
    table = (*network.table, *network.buffer_table)
    unknown = {name for name in arrays if not name.startswith(OPTIMIZER)} - {entry.name for entry in table}
    if unknown:
        raise SaveError(f"{path} is of another network: this one has no parameter {sorted(unknown)[0]!r}.")
    flat = numpy.empty(network.state.shape, network.state.dtype)
    for entry in table:
        flat[entry.span] = _fetch(path, arrays, entry.name, entry.shape, flat.dtype).ravel()
    return flat


def _fetch(path: Path, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: DType) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        raise SaveError(f"{path} is of another network: it has no {name!r}.")
    if array.shape == shape and {array.dtype, dtype} == {tensor.float32, tensor.float64}:
        raise SaveError(
            f"{path} does not fit: its {name!r} is {array.dtype}; expected {dtype}. Make the network with "
            f'initialize(dtype="{array.dtype}"), or give load() one without memory.'
        )
    if array.shape != shape or array.dtype != dtype:
        raise SaveError(
            f"{path} is of another network: its {name!r} is {array.dtype} {list(array.shape)}; "
            f"expected {dtype} {list(shape)}."
        )
    return array
