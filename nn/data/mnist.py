"""MNIST from its IDX files: in the data folder, else in the user's cache folder, else downloaded to there.

Source: Y. LeCun, C. Cortes, C. Burges: "The MNIST database of handwritten digits". The files are fetched from
mirrors over https, and a file whose SHA-256 is not the published one is refused.
"""

import logging
import os
from pathlib import Path

import numpy
import platformdirs
import pooch
from numpy.typing import NDArray

from nn.data.dataset import Dataset
from nn.data.idx import read_idx
from nn.errors import DataError

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
DOWNLOAD_TIMEOUT_S = 30
_SOURCE = "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits"
_LICENCE = "CC BY-SA 3.0"
_MNIST10K_TRAIN_SAMPLES = 8000

_Pair = tuple[NDArray[numpy.uint8], NDArray[numpy.int32]]


def load_mnist(root: Path | None = None) -> Dataset:
    """MNIST: images uint8 [N, 28, 28, 1]; 60,000 to train on, 10,000 to test with, as published."""
    return _dataset("mnist", _read_pair("train", root), _read_pair("t10k", root))


def load_mnist10k(root: Path | None = None) -> Dataset:
    """MNIST's 10,000 test images alone: the first 8,000 to train on, the last 2,000 to test with.

    Fewer than that (a small file of one's own) are divided four to one.
    """
    images, labels = _read_pair("t10k", root)
    cut = min(_MNIST10K_TRAIN_SAMPLES, len(images) * 4 // 5)
    return _dataset("mnist10k", (images[:cut], labels[:cut]), (images[cut:], labels[cut:]))


def _dataset(name: str, train: _Pair, test: _Pair) -> Dataset:
    return Dataset(name, *train, *test, classes=10, scale=1 / 256, source=_SOURCE, licence=_LICENCE)


def _read_pair(split: str, root: Path | None) -> _Pair:
    images = read_idx(_find(f"{split}-images-idx3-ubyte", root), axes=3)[..., numpy.newaxis]
    labels = read_idx(_find(f"{split}-labels-idx1-ubyte", root), axes=1).astype(numpy.int32)
    return images, labels


def _find(stem: str, root: Path | None) -> Path:
    """The file `stem` or `stem`.gz in a data folder, or as it has just been downloaded."""
    folders = _folders(root)
    for folder in folders:
        for name in (stem, f"{stem}.gz"):
            if (folder / name).is_file():
                return folder / name
    return _download(f"{stem}.gz", folders)


def _folders(root: Path | None) -> list[Path]:
    """Where to look, the folder to download to last."""
    chosen = root or os.environ.get("MESH_DATA")
    cache = platformdirs.user_cache_path("mesh") / "data"
    return [Path(folder) / "mnist" for folder in (chosen, cache) if folder]


def _download(name: str, folders: list[Path]) -> Path:
    pooch.get_logger().setLevel(logging.WARNING)  # nothing is printed outside the command line
    reasons = []
    for mirror in MIRRORS:
        try:
            return Path(_retrieve(mirror + name, name, folders[-1]))
        except (
            OSError,
            ValueError,
        ) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
            reasons.append(f"{mirror} ({_first_sentence(error)})")
    searched = " or ".join(str(folder) for folder in folders)
    raise DataError(
        f"MNIST's {name} is not in {searched}, and could not be downloaded from {' or '.join(reasons)}. "
        f"Put the file in {folders[0]}, or set MESH_DATA to the folder that holds mnist/, or use the digits, "
        "which need no download."
    )


def _retrieve(url: str, name: str, folder: Path) -> str:
    downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S)
    path: str = pooch.retrieve(url, f"sha256:{SHA256[name]}", fname=name, path=folder, downloader=downloader)
    return path


def _first_sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).split('. ')[0][:160]}"
