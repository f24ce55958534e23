"""MNIST from its IDX files: in the data folder, else in the user's cache folder, else downloaded to there.

Source: Y. LeCun, C. Cortes, C. Burges: "The MNIST database of handwritten digits". The files are fetched from
mirrors over https, and a file whose SHA-256 is not the published one is refused.
"""

from pathlib import Path

import numpy
from numpy.typing import NDArray

from nn.data.dataset import Dataset
from nn.data.finding import data_folders, download, found
from nn.data.idx import read_idx

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
    folders, packed = data_folders("mnist", root), f"{stem}.gz"
    return found(folders, (stem, packed)) or download("MNIST", MIRRORS, packed, SHA256[packed], folders)
