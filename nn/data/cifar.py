"""CIFAR-10 and CIFAR-100 in their binary form: from the unpacked files, the archive, or a download of it.

A record is one byte for the class (in CIFAR-100 two, of which the second is the fine class), then 32·32 bytes
of red, as many of green and of blue, row by row. The Python form of these sets is pickled, which is code that
runs when it is read, and is refused. Source: A. Krizhevsky: "Learning Multiple Layers of Features from Tiny
Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from nn.data.dataset import Dataset
from nn.data.finding import data_folders, download, found
from nn.errors import DataError

_SITE = "https://www.cs.toronto.edu/~kriz/"
MIRRORS = (_SITE,)
SIDE, CHANNELS = 32, 3
_SOURCE = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009"
_LICENCE = "none given"

_Pair = tuple[NDArray[numpy.uint8], NDArray[numpy.int32]]


@dataclass(frozen=True)
class Release:
    """One of the two sets as it is published: its archive, the folder in that, and the files in that."""

    name: str
    title: str
    archive: str
    sha256: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    class_names: str
    label_bytes: int
    classes: int
    pickled: tuple[str, ...]


CIFAR10 = Release(
    "cifar10",
    "CIFAR-10",
    "cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    ("test_batch.bin",),
    "batches.meta.txt",
    1,
    10,
    ("cifar-10-python.tar.gz", "cifar-10-batches-py"),
)
CIFAR100 = Release(
    "cifar100",
    "CIFAR-100",
    "cifar-100-binary.tar.gz",
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    "cifar-100-binary",
    ("train.bin",),
    ("test.bin",),
    "fine_label_names.txt",
    2,
    100,
    ("cifar-100-python.tar.gz", "cifar-100-python"),
)


def load_cifar10(root: Path | None = None) -> Dataset:
    """CIFAR-10: images uint8 [N, 32, 32, 3] of 10 classes; 50,000 to train on, 10,000 to test with."""
    return _load(CIFAR10, root)


def load_cifar100(root: Path | None = None) -> Dataset:
    """CIFAR-100: images uint8 [N, 32, 32, 3] of 100 fine classes; 50,000 to train on, 10,000 to test with."""
    return _load(CIFAR100, root)


def _load(release: Release, root: Path | None) -> Dataset:
    place = _find(release, root)
    files = dict(_folder_files(place, release) if place.is_dir() else _archive_files(place, release))
    names = files[release.class_names].decode("utf-8", errors="replace").split()
    return Dataset(
        release.name,
        *_records(place, release, release.train, files),
        *_records(place, release, release.test, files),
        classes=release.classes,
        scale=1 / 255,
        source=_SOURCE,
        licence=_LICENCE,
        class_names=tuple(names) if len(names) == release.classes else (),
    )


def _find(release: Release, root: Path | None) -> Path:
    """The unpacked folder, or the archive; raises `DataError` where only the pickled form is there."""
    folders = data_folders(release.name, root)
    place = found(folders, (release.folder, release.archive))
    if place is not None:
        return place
    pickled = found(folders, release.pickled)
    if pickled is not None:
        raise DataError(
            f"{pickled} is the Python form of {release.title}: pickled, which is code that runs when it is "
            f"read. Put the binary form beside it: {_SITE}{release.archive}."
        )
    return download(release.title, MIRRORS, release.archive, release.sha256, folders)


def _wanted(release: Release) -> set[str]:
    return {*release.train, *release.test, release.class_names}


def _folder_files(folder: Path, release: Release) -> Iterator[tuple[str, bytes]]:
    for name in _wanted(release):
        try:
            yield name, (folder / name).read_bytes()
        except OSError as error:
            raise _damaged(folder / name, str(error.strerror or error)) from error


def _archive_files(archive: Path, release: Release) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, which is read as a stream and not unpacked."""
    missing = _wanted(release)
    try:
        with tarfile.open(archive, mode="r|gz") as members:
            for member in members:
                folder, _, name = member.name.removeprefix("./").partition("/")
                content = (
                    members.extractfile(member) if folder == release.folder and name in missing else None
                )
                if content is not None:
                    missing.remove(name)
                    yield name, content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _damaged(archive, f"its compression is corrupt ({error})") from error
    if missing:
        raise _damaged(archive, f"it lacks {release.folder}/{min(missing)}")


def _records(place: Path, release: Release, names: tuple[str, ...], files: dict[str, bytes]) -> _Pair:
    size_bytes = release.label_bytes + CHANNELS * SIDE * SIDE
    for name in names:
        if not files[name] or len(files[name]) % size_bytes:
            raise _damaged(
                place / name, f"its {len(files[name])} bytes are no whole number of records of {size_bytes}"
            )
    records = numpy.frombuffer(b"".join(files[name] for name in names), numpy.uint8).reshape(-1, size_bytes)
    planes = records[:, release.label_bytes :].reshape(-1, CHANNELS, SIDE, SIDE)
    labels = records[:, release.label_bytes - 1].astype(numpy.int32)
    return numpy.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _damaged(path: Path, what_was_seen: str) -> DataError:
    return DataError(
        f"{path} is not sound: {what_was_seen}. Delete what is there to have it downloaded again, or put a "
        "sound copy there."
    )
