"""One array as NumPy's `.npy` bytes, written to and read from a stream in pieces.

The pieces go straight into and out of the array's memory where the host can reach it, so that a large file
needs no second copy in the host's memory. What is read is not trusted: nothing is allocated before the
header's promise was compared with the bytes that are there. Format: numpy.lib.format.
"""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import IO

import numpy
from numpy.lib import format as npy_format

from tensor.array import Array, Shape
from tensor.device import Device, OpenCLDevice
from tensor.dtypes import DType, HostArray, as_dtype, bfloat16
from tensor.errors import DTypeError, FileFormatError
from tensor.host_memory import host_view
from tensor.views import contiguous, permute_dims

PIECE_BYTES = 8 * 2**20
_LONGEST_HEADER = 10_000  # what NumPy itself takes; 64 axes need less than 2,000
_MOST_AXES = 64
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}  # of the field that tells how long the header is


@dataclass(frozen=True)
class Header:
    """What a file says about its array."""

    shape: Shape
    dtype: DType  # in the file's byte order
    is_fortran: bool  # columns one after the other instead of rows
    size_bytes: int  # where the data begin

    @property
    def data_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


# --- writing ------------------------------------------------------------------------------------------------


def write_array(file: IO[bytes], x: Array) -> None:
    """Write x, header and values, row-major in this machine's byte order; waits for the device."""
    if x.dtype == bfloat16:
        raise DTypeError(
            "The .npy format has no bfloat16: save x.astype(float32), which holds all its values."
        )
    descr = npy_format.dtype_to_descr(x.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": x.shape}
    npy_format.write_array_header_1_0(file, header)
    for piece in _pieces(contiguous(x)):
        file.write(piece.view(numpy.uint8).data)


def _pieces(x: Array) -> Iterator[HostArray]:
    """The values of a contiguous array in order, a few mebibytes at a time."""
    memory = host_view(x)
    each = max(1, PIECE_BYTES // x.dtype.itemsize)
    if memory is not None:
        flat = memory.reshape(-1)
        yield from (flat[start : start + each] for start in range(0, x.size, each))
        return
    device, size = x.device, x.dtype.itemsize
    assert isinstance(device, OpenCLDevice)
    for start in range(0, x.size, each):
        piece = numpy.empty(min(each, x.size - start), x.dtype)
        device.read(x.buffer, (x.offset + start) * size, piece)
        yield piece


# --- reading ------------------------------------------------------------------------------------------------


def read_array(file: IO[bytes], size_bytes: int, where: str, device: Device) -> Array:
    """The array whose `.npy` bytes, exactly `size_bytes` of them, come from `file`; `where` is for errors.

    Raises FileFormatError for anything else than a sound array of a dtype that arrays have, OutOfMemoryError.
    """
    header = read_header(file, where)
    _require_size(header, size_bytes - header.size_bytes, where)
    shape = header.shape[::-1] if header.is_fortran else header.shape
    array = Array.new(shape, as_dtype(header.dtype), device)
    _fill(array, file, header.dtype, where)
    return permute_dims(array, range(array.ndim)[::-1]) if header.is_fortran else array


def read_header(file: IO[bytes], where: str) -> Header:
    """The header, with the file left where the data begin; raises FileFormatError."""
    start = _exactly(file, len(npy_format.MAGIC_PREFIX) + 2, where)
    if not start.startswith(npy_format.MAGIC_PREFIX):
        raise FileFormatError(f"{where} is not an .npy file: it begins with {start!r}.")
    version = (start[-2], start[-1])
    if version not in _LENGTH_BYTES:
        raise FileFormatError(
            f"{where} has version {version[0]}.{version[1]} of the .npy format, not 1 to 3."
        )
    length = _exactly(file, _LENGTH_BYTES[version], where)
    count = int.from_bytes(length, "little")
    if count > _LONGEST_HEADER:
        raise FileFormatError(f"{where} says that its header has {count:,} bytes; no array needs that many.")
    text = _exactly(file, count, where)
    shape, is_fortran, dtype = _parsed(version, length + text, where)
    _require_storable(shape, dtype, where)
    return Header(shape, dtype, is_fortran, len(start) + len(length) + count)


def _exactly(file: IO[bytes], count: int, where: str) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise FileFormatError(
            f"{where} ends inside its header: expected {count} more bytes, got {len(data)}."
        )
    return data


def _parsed(version: tuple[int, int], header: bytes, where: str) -> tuple[Shape, bool, DType]:
    """Shape, order and dtype by NumPy's reader, which evaluates literals only."""
    # Version 3 differs from 2 in the encoding of names, which only records have.
    one = version == (1, 0)
    reader = npy_format.read_array_header_1_0 if one else npy_format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for files that Python 2 wrote
            shape, is_fortran, dtype = reader(io.BytesIO(header), max_header_size=_LONGEST_HEADER)
    except Exception as error:  # the parser raises many kinds, RecursionError among them
        reason = str(error).partition("\n")[0][:200]
        raise FileFormatError(f"{where} has a header that cannot be read: {reason}") from error
    return shape, is_fortran, dtype


def _require_storable(shape: Shape, dtype: DType, where: str) -> None:
    if dtype.hasobject:
        raise FileFormatError(
            f"{where} holds pickled Python objects, which are never loaded: they may run code."
        )
    try:
        as_dtype(dtype)
    except DTypeError as error:
        raise FileFormatError(f"{where}: {error}") from error
    filled = prod(each for each in shape if each)
    if len(shape) > _MOST_AXES or any(each < 0 for each in shape) or filled * dtype.itemsize >= 2**63:
        text = str(shape) if len(shape) <= _MOST_AXES else f"with {len(shape)} axes"
        raise FileFormatError(f"{where} says that its array has shape {text}, which no array can have.")


def _require_size(header: Header, found: int, where: str) -> None:
    expected = header.data_bytes
    if found == expected:
        return
    what = "is cut short" if found < expected else "has bytes after its end"
    raise FileFormatError(
        f"{where} {what}: shape {header.shape} of {header.dtype.name} takes {expected:,} bytes of data, "
        f"there are {found:,}."
    )


def _fill(array: Array, file: IO[bytes], dtype: DType, where: str) -> None:
    """Fill a new contiguous array from the file, whose elements have `dtype` in its own byte order."""
    memory = host_view(array)
    each = max(1, PIECE_BYTES // dtype.itemsize)
    if memory is not None:
        flat = memory.reshape(-1)
        for start in range(0, array.size, each):
            _read_piece(file, flat[start : start + each], dtype, where)
        return
    assert isinstance(array.device, OpenCLDevice)
    staging = numpy.empty(min(each, array.size), array.dtype)
    for start in range(0, array.size, each):
        piece = staging[: array.size - start]
        _read_piece(file, piece, dtype, where)
        array.device.write(array.buffer, start * dtype.itemsize, piece)


def _read_piece(file: IO[bytes], piece: HostArray, dtype: DType, where: str) -> None:
    """Fill `piece`, in this machine's byte order, with the next elements of the file."""
    raw = piece.view(numpy.uint8)
    done = 0
    while done < raw.size:
        count = file.readinto(raw[done:].data)  # type: ignore[attr-defined]  # binary files have it
        if not count:
            raise FileFormatError(f"{where} ended while it was read: {raw.size - done:,} bytes are missing.")
        done += count
    if not dtype.isnative:
        piece.byteswap(inplace=True)
    if dtype.kind == "b":
        numpy.not_equal(raw, 0, out=piece)  # true is 1 and nothing else to kernels
