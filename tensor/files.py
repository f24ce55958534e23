"""Arrays on disk in NumPy's formats: `.npy` for one array, `.npz` (a zip of them) for several by name.

A file is written whole or not at all. A file that is read may be damaged or hostile: no pickles, and no more
memory than its own size can account for.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tensor.array import Array
from tensor.creation import asarray
from tensor.device import Device
from tensor.discovery import device as find_device
from tensor.errors import FileFormatError, FileWriteError, RecordError
from tensor.npy import read_array, write_array
from tensor.replacing import replacing

AnyPath = str | os.PathLike[str]

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a first member, or the end of an empty archive
_DEFLATE_RATIO = 1032  # what one byte can become at most (zlib's documentation)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


def save(path: AnyPath, x: Any) -> None:
    """Write an array to the file `path`, under just that name, as `.npy`; numpy.load reads it.

    Raises FileWriteError (an OSError), and leaves the old file then.
    """
    with _written(path) as file:
        write_array(file, asarray(x))


def savez(path: AnyPath, /, *arrays: Any, **named: Any) -> None:
    """Write several arrays to the file `path` as `.npz`, uncompressed; those without names are arr_0, arr_1,
    …

    Raises FileWriteError (an OSError), and leaves the old file then.
    """
    members = {f"arr_{i}": x for i, x in enumerate(arrays)} | named
    if len(members) < len(arrays) + len(named):
        raise FileWriteError(f"savez: {path} cannot hold two arrays of one name; arr_0, … are taken.")
    with _written(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, x in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, asarray(x))


def load(path: AnyPath, device: "Device | str | None" = None) -> Array | dict[str, Array]:
    """The array in an `.npy` file, or the arrays by name in an `.npz` file, on a device (the default one).

    Any byte order and both orders of axes. Raises FileFormatError (a ValueError) that names the file and what
    is wrong with it, OSError if it cannot be opened, OutOfMemoryError.
    """
    target = find_device(device)
    if target.queue.recording is not None:
        raise RecordError("load() inside record(): a replay would not read the file; load it before.")
    with open(path, "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        start = file.read(4)
        file.seek(0)
        if start in _ZIP_STARTS:
            return _load_archive(file, size_bytes, os.fspath(path), target)
        return read_array(file, size_bytes, os.fspath(path), target)


# --- zip ----------------------------------------------------------------------------------------------------


def _load_archive(file: IO[bytes], size_bytes: int, where: str, device: Device) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _require_sound(members, size_bytes, where)
            return {
                each.filename.removesuffix(".npy"): _load_member(archive, each, where, device)
                for each in members
            }
    except FileFormatError:
        raise
    except _DAMAGED as error:
        raise FileFormatError(f"{where} is a damaged .npz file: {error}") from error


def _require_sound(members: list[zipfile.ZipInfo], size_bytes: int, where: str) -> None:
    """Raise FileFormatError for members that no writer of arrays makes, or that claim impossible sizes."""
    names = [each.filename for each in members]
    twice = (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )
    if twice is not None:
        raise FileFormatError(f"{where} has two members named {twice!r}.")
    if sum(each.compress_size for each in members) > size_bytes:
        raise FileFormatError(f"{where} is a damaged .npz file: its members are larger than the file.")
    if not all(0 <= each.header_offset < size_bytes for each in members):
        raise FileFormatError(f"{where} is a damaged .npz file: a member lies outside of it.")
    for each in members:
        member = f"{where}: member {each.filename!r}"
        if not each.filename.endswith(".npy"):
            raise FileFormatError(f"{member} is not an .npy file.")
        if each.flag_bits & 1 or each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileFormatError(
                f"{member} is encrypted, or compressed by a method that .npz files do not use."
            )
        if each.file_size > each.compress_size * _DEFLATE_RATIO + _DEFLATE_RATIO:
            raise FileFormatError(
                f"{member} lies about its size: {each.compress_size:,} bytes never become {each.file_size:,}."
            )


def _load_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, device: Device) -> Array:
    with archive.open(info) as member:
        array = read_array(member, info.file_size, f"{where}: member {info.filename!r}", device)
        member.read(1)  # at the end it compares the checksum
        return array


# --- writing ------------------------------------------------------------------------------------------------


@contextmanager
def _written(path: AnyPath) -> Iterator[IO[bytes]]:
    """`replacing(path)` with our error."""
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise FileWriteError(f"{path} was not written: {error.strerror or error}.") from error
