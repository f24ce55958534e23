"""Weights in files of other libraries: safetensors and npz, with torchvision's, timm's or our own names.

With torchvision's and timm's names goes PyTorch's layout (nn.interchange.layouts); "mesh" means our names in
our layout, which is what `nn.save` writes too. A file says which of the two layouts it has: `nn.save` by its
metadata, an npz of ours by the member "format". PyTorch's own files are pickles, and are not read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import safetensors.numpy
from numpy.typing import NDArray

import tensor
from nn.errors import SaveError
from nn.interchange.flattening import flattened_images
from nn.interchange.layouts import Layout, layouts, unchanged
from nn.interchange.naming import names_in, timm_names
from nn.layer import Entry, Layer
from nn.saving import OPTIMIZER, Arrays, read_safetensors, write_whole
from tensor import Device

_OURS = "mesh-"  # how the formats with our layout begin, that of nn.save among them
_FORMAT = "format"
_COUNT = "num_batches_tracked"  # PyTorch's BatchNorm has one; nothing of ours depends on it
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def save_weights(
    network: Layer, path: str | Path, names: str = "torchvision", input_shape: Sequence[int] | None = None
) -> None:
    """Write the parameters and buffers of `network` to `path`, a .safetensors or an .npz.

    `names`: "torchvision" (our names, PyTorch's layout), "timm" (its names for vgg, resnet and mobilenet_v2),
    or "mesh" (our names and layout). `input_shape`, of one sample, is needed where a Linear follows a
    Flatten, to know whose columns they are. Raises `SaveError`, and `NetworkError` for names that the network
    does not have.
    """
    theirs = _theirs(network, names, input_shape)
    ours = {name: numpy.asarray(x) for name, x in (network.parameters() | network.buffers()).items()}
    arrays = {foreign: layout.outwards(ours[name]) for name, (foreign, layout) in theirs.items()}
    if names != "mesh":
        means = [name for name in arrays if name.endswith("running_mean")]
        arrays |= {name.replace("running_mean", _COUNT): numpy.array(0) for name in means}
    _, write = _form(Path(path))
    write(Path(path), arrays, f"{_OURS}weights-1" if names == "mesh" else "pt")


def load_weights(
    network: Layer,
    path: str | Path,
    names: str | None = None,
    input_shape: Sequence[int] | None = None,
    device: str | Device | None = None,
) -> None:
    """Set the parameters and buffers of `network` to those of a .safetensors or an .npz; all of them or none.

    `names` and `input_shape` are as for `save_weights`; without `names` it is what the file says or looks
    like. Values of other float types become what the network is of. A network without memory gets it on
    `device`, in float32. Raises `SaveError` (exit code 5), which names the array, if the file is missing,
    damaged, a pickle, or of another network.
    """
    path = Path(path)
    read, _ = _form(path)
    arrays, written = read(path)
    if not hasattr(network, "table"):
        network.initialize(device)
    theirs = _theirs(network, names or _guessed(network, arrays, written), input_shape)
    known = {foreign for foreign, _ in theirs.values()}
    spare = {name for name in arrays if name not in known and not name.endswith(_COUNT)}
    flat = numpy.empty(network.state.shape, network.state.dtype)
    for entry in _table(network):
        foreign, layout = theirs[entry.name]
        flat[entry.span] = layout.inwards(_fetched(path, arrays, foreign, layout.theirs, spare)).ravel()
    if spare:
        raise SaveError(f"{path} is of another network: this one has nothing for its {min(spare)!r}.")
    network.state[...] = flat


def _theirs(network: Layer, naming: str, input_shape: Sequence[int] | None) -> dict[str, tuple[str, Layout]]:
    """By our name of each parameter and buffer: the other one, and the other layout."""
    if naming == "mesh":
        return {entry.name: (entry.name, unchanged(entry.shape)) for entry in _table(network)}
    each = dict(layouts(network, flattened_images(network, input_shape)))
    theirs = {}
    for name, foreign in names_in(naming, each).items():
        is_convolution = foreign.startswith("pre_logits.")  # timm's vgg
        theirs[name] = foreign, each[name].as_convolution() if is_convolution else each[name]
    return theirs


def _table(network: Layer) -> tuple[Entry, ...]:
    return (*network.table, *network.buffer_table)


def _guessed(network: Layer, arrays: Arrays, written: str | None) -> str:
    if written is not None and written.startswith(_OURS):
        return "mesh"
    ours = [entry.name for entry in _table(network)]
    timm = timm_names(ours) or {}
    fits = {
        "torchvision": sum(name in arrays for name in ours),
        "timm": sum(name in arrays for name in timm.values()),
    }
    return max(fits, key=lambda naming: fits[naming])  # the first of equals


def _fetched(path: Path, arrays: Arrays, name: str, shape: tuple[int, ...], spare: set[str]) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        has = f"; it has {min(spare)!r}, which this one does not know" if spare else ""
        raise SaveError(f"{path} is of another network: it has no {name!r}{has}.")
    if array.shape != shape:
        raise SaveError(
            f"{path} does not fit: its {name!r} is {list(array.shape)}, this network's is {list(shape)}. "
            "Make the network with the classes and the input_shape of the file."
        )
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise SaveError(
            f"{path} does not fit: its {name!r} is {array.dtype}; expected floating-point numbers."
        )
    return array


# The two kinds of files


def _form(
    path: Path,
) -> tuple[Callable[[Path], tuple[Arrays, str | None]], Callable[[Path, Arrays, str], None]]:
    """How to read and to write files of this suffix."""
    if path.suffix == ".safetensors":
        return _read_safetensors, _write_safetensors
    if path.suffix == ".npz":
        return _read_npz, _write_npz
    if path.suffix in _PICKLES:
        new = path.with_suffix(".safetensors").name
        raise SaveError(
            f"{path} would be a pickle, which can run any program that its author likes, so none is read or "
            "written here. Where you trust it, convert it to safetensors, in PyTorch: "
            f"safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), {new!r})"
        )
    raise SaveError(f"{path} has no suffix that says what it is: call it .safetensors or .npz.")


def _read_safetensors(path: Path) -> tuple[Arrays, str | None]:
    """Without what `nn.save` also keeps, for a run to go on."""
    arrays, metadata = read_safetensors(path)
    return {name: x for name, x in arrays.items() if not name.startswith(OPTIMIZER)}, metadata.get(_FORMAT)


def _write_safetensors(path: Path, arrays: Arrays, written: str) -> None:
    write_whole(path, safetensors.numpy.save(arrays, {_FORMAT: written}))


def _read_npz(path: Path) -> tuple[Arrays, str | None]:
    try:
        members = tensor.load(path, device="numpy")
    except FileNotFoundError as error:
        raise SaveError(f"There is no file {path}.") from error
    except (tensor.errors.MeshError, OSError) as error:
        raise SaveError(f"{path} is not a sound .npz file: {error}") from error
    if not isinstance(members, dict):
        raise SaveError(f"{path} holds one array without a name: it is an .npy file.")
    arrays = {name: numpy.asarray(x) for name, x in members.items()}
    written = arrays.pop(_FORMAT, None)
    return arrays, None if written is None else written.tobytes().decode(errors="replace")


def _write_npz(path: Path, arrays: Arrays, written: str) -> None:
    mark = numpy.frombuffer(written.encode(), numpy.uint8)
    try:
        tensor.savez(path, **arrays, **{_FORMAT: mark})
    except OSError as error:
        raise SaveError(f"{error}") from error
