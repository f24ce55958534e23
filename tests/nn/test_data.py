"""Data sets: what is loaded is what was stored, and all damage gets a sentence that names the file."""

import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray

import nn
from nn.data import finding, mnist, text
from nn.data.idx import read_idx
from nn.errors import DataError


def idx_bytes(array: NDArray[numpy.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def some_images(count: int) -> NDArray[numpy.uint8]:
    return numpy.random.default_rng(3).integers(0, 256, (count, 28, 28), dtype=numpy.uint8)


def some_labels(count: int) -> NDArray[numpy.uint8]:
    return (numpy.arange(count) % 10).astype(numpy.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user cache folder of this test's own, no MESH_DATA, and no mirrors: nothing may touch the network."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(finding.platformdirs, "user_cache_path", lambda name: folder / name)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.delenv("MESH_DATA", raising=False)
    return folder / "mesh" / "data" / "mnist"


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    """A data folder with small MNIST files: the training pair plain, the test pair compressed."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(some_images(30)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(some_labels(30)))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(some_images(20))))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(some_labels(20))))
    return tmp_path


def test_digits_are_the_published_ones() -> None:
    digits = nn.data.load("digits")
    assert digits.train_images.shape == (1500, 8, 8, 1)
    assert digits.test_images.shape == (297, 8, 8, 1)
    assert digits.input_shape == (8, 8, 1)
    assert digits.train_images.dtype == numpy.uint8
    assert digits.train_labels.dtype == numpy.int32
    assert digits.train_images.max() * digits.scale == 1.0
    # the counts per class that scikit-learn's documentation of load_digits has
    labels = numpy.concatenate([digits.train_labels, digits.test_labels])
    assert numpy.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.train_images[0, 0, :, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert "scikit-learn" in digits.source
    assert digits.licence == "CC BY 4.0"


def test_mnist_reads_plain_and_compressed_files(root: Path) -> None:
    dataset = nn.data.load("mnist", root)
    assert numpy.array_equal(dataset.train_images[..., 0], some_images(30))
    assert numpy.array_equal(dataset.train_labels, some_labels(30))
    assert numpy.array_equal(dataset.test_images[..., 0], some_images(20))
    assert dataset.scale == 1 / 256


def test_mesh_data_names_the_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_DATA", str(root))
    assert len(nn.data.load("mnist").train_images) == 30


def test_mnist10k_divides_the_test_files_four_to_one(root: Path) -> None:
    dataset = nn.data.load("mnist10k", root)
    assert len(dataset.train_images) == 16
    assert numpy.array_equal(dataset.test_images[..., 0], some_images(20)[16:])


@pytest.mark.skipif("MESH_DATA" not in os.environ, reason="needs the real files: set MESH_DATA")
def test_the_real_mnist10k() -> None:
    dataset = nn.data.load("mnist10k")
    assert dataset.train_images.shape == (8000, 28, 28, 1)
    assert dataset.test_images.shape == (2000, 28, 28, 1)
    # the first ten labels of the published test set
    assert dataset.train_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_unknown_name() -> None:
    with pytest.raises(
        DataError, match=r"no data set 'imagenet'. Known are: digits, mnist, mnist10k"
    ) as caught:
        nn.data.load("imagenet")
    assert caught.value.exit_code == 5


GOOD = idx_bytes(some_images(4))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it has 0 bytes, fewer than its header of 16"),
        (GOOD[:10], "it has 10 bytes, fewer than its header"),
        (GOOD[:-1], r"its header states 4×28×28 = 3136 bytes of data; it holds 3135"),
        (GOOD + b"x", "it holds 3137"),
        (b"\0\0\x0d\x03" + GOOD[4:], "it begins with 00000d03; expected 00000803"),
        (idx_bytes(some_labels(40)), "it begins with 00000801; expected 00000803"),
        (b"<html>not found</html>", "it begins with 3c68746d; expected 00000803"),
        (gzip.compress(GOOD)[:-9], "gzip compression is corrupt"),
        (gzip.compress(GOOD)[:40] + b"\xff" * 8 + gzip.compress(GOOD)[48:], "gzip compression is corrupt"),
        (b"\x1f\x8b", "gzip compression is corrupt"),
    ],
    ids=[
        "empty",
        "no header",
        "cut off",
        "too long",
        "wrong type",
        "labels",
        "a web page",
        "cut gzip",
        "bad gzip",
        "magic only",
    ],
)
def test_damaged_files_get_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        read_idx(path, axes=3)
    assert str(path) in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "absent", axes=3)


def test_images_and_labels_must_match(root: Path) -> None:
    (root / "mnist" / "train-labels-idx1-ubyte").write_bytes(idx_bytes(some_labels(29)))
    with pytest.raises(DataError, match="30 images but 29 labels"):
        nn.data.load("mnist", root)


def test_labels_must_be_classes(root: Path) -> None:
    (root / "mnist" / "train-labels-idx1-ubyte").write_bytes(idx_bytes(some_labels(30) + numpy.uint8(1)))
    with pytest.raises(DataError, match="run from 1 to 10; expected 0 to 9"):
        nn.data.load("mnist", root)


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the default writes every request to stderr."""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Path]:
    """A web server on this machine, as the only mirror, that serves the returned folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
        yield folder
        server.shutdown()
        thread.join()


def publish(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksums = {}
    for name, array in [("t10k-images-idx3", some_images(20)), ("t10k-labels-idx1", some_labels(20))]:
        content = gzip.compress(idx_bytes(array))
        (mirror / f"{name}-ubyte.gz").write_bytes(content)
        checksums[f"{name}-ubyte.gz"] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(mnist, "SHA256", checksums)


def test_download_goes_to_the_cache_once(mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(mirror, monkeypatch)
    first = nn.data.load("mnist10k")
    assert numpy.array_equal(first.train_images[..., 0], some_images(20)[:16])
    assert sorted(path.name for path in cache.iterdir()) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    for path in mirror.iterdir():
        path.unlink()
    assert numpy.array_equal(nn.data.load("mnist10k").train_images, first.train_images)


def test_a_text_is_downloaded_as_well(mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MIRRORS", {"tinyshakespeare": mnist.MIRRORS})
    with pytest.raises(
        DataError, match=r"tinyshakespeare's input.txt is not in .* or use a text of your own"
    ):
        nn.data.load_text("tinyshakespeare")
    (mirror / "input.txt").write_text("to be or not to be", encoding="utf-8")
    with pytest.raises(DataError, match="hash"):
        nn.data.load_text("tinyshakespeare")
    published = hashlib.sha256(b"to be or not to be").hexdigest()
    monkeypatch.setattr(text, "SHA256", {"tinyshakespeare": published})
    assert nn.data.load_text("tinyshakespeare").characters == " benort"
    (mirror / "input.txt").unlink()
    assert nn.data.load_text("tinyshakespeare").characters == " benort"


def test_the_published_text_has_the_checksum() -> None:
    path = Path(os.environ.get("MESH_DATA", "nowhere")) / "tinyshakespeare" / "input.txt"
    if not path.is_file():
        pytest.skip("needs tinyshakespeare/input.txt in MESH_DATA")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == text.SHA256["tinyshakespeare"]


def test_a_wrong_checksum_is_refused(mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(mirror, monkeypatch)
    (mirror / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(some_images(21))))
    with pytest.raises(DataError, match=r"could not be downloaded from http://127.*hash"):
        nn.data.load("mnist10k")
    assert not (cache / "t10k-images-idx3-ubyte.gz").exists()


def test_no_file_and_no_mirror_names_both(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="404") as caught:
        nn.data.load("mnist", tmp_path / "nowhere")
    assert "train-images-idx3-ubyte.gz is not in" in str(caught.value)
    assert str(tmp_path / "nowhere" / "mnist") in str(caught.value)
    assert "MESH_DATA" in str(caught.value)
