"""Data sets of labelled images: `nn.data.load(name)`; texts: `nn.data.load_text(name)`.

| name       | images          | train  | test   | where it comes from                             |
|------------|-----------------|--------|--------|-------------------------------------------------|
| `digits`   | 8×8, 0 to 16    | 1,500  | 297    | shipped in this package                         |
| `mnist`    | 28×28, 0 to 255 | 60,000 | 10,000 | IDX files on disk, else a download              |
| `mnist10k` | 28×28, 0 to 255 | 8,000  | 2,000  | MNIST's test files alone, on disk or downloaded |
| `cifar10`  | 32×32×3         | 50,000 | 10,000 | the binary archive on disk, else a download     |
| `cifar100` | 32×32×3         | 50,000 | 10,000 | the same, of 100 classes                        |
| `set.npz`  | yours           |        |        | a NumPy archive: see nn.data.npz                |
| `photos/`  | yours           |        |        | folders of image files: see nn.data.folder      |
| `net.json` | yours           |        |        | what a definition of 2016 names: nn.data.blob   |
"""

from collections.abc import Callable
from pathlib import Path

from nn.data.blob import load_blobs, names_blobs
from nn.data.cifar import load_cifar10, load_cifar100
from nn.data.dataset import Dataset
from nn.data.digits import load_digits
from nn.data.folder import load_folder
from nn.data.idx import read_idx
from nn.data.loader import Batch, Batches, Loader, Samples
from nn.data.mnist import load_mnist, load_mnist10k
from nn.data.npz import load_npz
from nn.data.order import epoch_order
from nn.data.text import Text, is_text, load_text, pieces, text_names
from nn.errors import DataError

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "Loader",
    "Samples",
    "Text",
    "epoch_order",
    "is_path",
    "is_text",
    "load",
    "load_folder",
    "load_text",
    "names",
    "names_blobs",
    "pieces",
    "read_idx",
    "text_names",
]

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "mnist10k": load_mnist10k,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(_LOADERS)


def is_path(name: str) -> bool:
    """Whether `load` takes `name` for a path: of an archive, of a definition, or of a folder."""
    return name not in _LOADERS and (name.endswith((".npz", ".json")) or Path(name).is_dir())


def load(name: str | Path, root: str | Path | None = None) -> Dataset:
    """Load the data set `name`: one of `names()`, an archive of arrays (*.npz), a folder of images, or a
    definition (*.json) that names its data.

    `root` is the folder that holds one folder per data set; without it the environment variable MESH_DATA
    names it, and without that it is the user's cache folder. Raises `DataError` (exit code 5) if the name is
    unknown, or files are missing and cannot be downloaded, or are damaged.
    """
    known = str(name)
    if known in _LOADERS:
        return _LOADERS[known](None if root is None else Path(root))
    if not is_path(known):
        raise DataError(
            f"There is no data set {known!r}. Known are: {', '.join(_LOADERS)}; or give an archive of arrays "
            "(*.npz) or a folder with a folder of images for each class."
        )
    read = {".npz": load_npz, ".json": load_blobs}.get(Path(name).suffix, load_folder)
    return read(Path(name))
