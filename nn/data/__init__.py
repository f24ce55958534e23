"""Data sets of labelled images: `nn.data.load(name)`; texts: `nn.data.load_text(name)`.

| name      | images          | train  | test   | where it comes from                            |
|-----------|-----------------|--------|--------|------------------------------------------------|
| `digits`  | 8×8, 0 to 16    | 1,500  | 297    | shipped in this package                        |
| `mnist`   | 28×28, 0 to 255 | 60,000 | 10,000 | IDX files on disk, else a download             |
| `mnist10k`| 28×28, 0 to 255 | 8,000  | 2,000  | MNIST's test files alone, on disk or downloaded |
"""

from collections.abc import Callable
from pathlib import Path

from nn.data.dataset import Dataset
from nn.data.digits import load_digits
from nn.data.idx import read_idx
from nn.data.mnist import load_mnist, load_mnist10k
from nn.data.text import Text, is_text, load_text, pieces, text_names
from nn.errors import DataError

__all__ = ["Dataset", "Text", "is_text", "load", "load_text", "names", "pieces", "read_idx", "text_names"]

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "mnist10k": load_mnist10k,
}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(_LOADERS)


def load(name: str, root: str | Path | None = None) -> Dataset:
    """Load the data set `name`.

    `root` is the folder that holds one folder per data set; without it the environment variable MESH_DATA
    names it, and without that it is the user's cache folder. Raises `DataError` (exit code 5) if the name is
    unknown, or files are missing and cannot be downloaded, or are damaged.
    """
    if name not in _LOADERS:
        raise DataError(f"There is no data set {name!r}. Known are: {', '.join(_LOADERS)}.")
    return _LOADERS[name](None if root is None else Path(root))
