"""IDX files, the format MNIST is published in, plain or compressed with gzip.

Two zero bytes, one byte for the element type (8 is unsigned byte), one byte for the number of axes, one
big-endian 32-bit size per axis, then the elements. Source: http://yann.lecun.com/exdb/mnist, "THE IDX FILE
FORMAT".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy
from numpy.typing import NDArray

from nn.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 8


def read_idx(path: Path, axes: int) -> NDArray[numpy.uint8]:
    """The array of unsigned bytes in the IDX file at `path`, which must have `axes` axes.

    A gzip file is recognised by its first bytes, whatever its name. Raises `DataError` if the file is
    unreadable, corrupt, cut off, too long, or holds something else.
    """
    content = _read_content(path)
    if len(content) < 4 + 4 * axes:
        raise _damaged(path, f"it has {len(content)} bytes, fewer than its header of {4 + 4 * axes}")
    expected_magic = bytes((0, 0, _UNSIGNED_BYTE, axes))
    if content[:4] != expected_magic:
        raise _damaged(path, f"it begins with {content[:4].hex()}; expected {expected_magic.hex()}")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    elements = len(content) - 4 - 4 * axes
    if elements != math.prod(shape):
        stated = "×".join(str(size) for size in shape)
        raise _damaged(
            path, f"its header states {stated} = {math.prod(shape)} bytes of data; it holds {elements}"
        )
    return numpy.frombuffer(content, dtype=numpy.uint8, offset=4 + 4 * axes).reshape(shape)


def _read_content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Check the path and its rights."
        ) from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"its gzip compression is corrupt ({error})") from error


def _damaged(path: Path, what_was_seen: str) -> DataError:
    return DataError(
        f"{path} is not a sound IDX file: {what_was_seen}. "
        "Delete it to have it downloaded again, or put a sound copy there."
    )
