"""The 8-bit codecs: one float32 scale for each block of values, and one byte for each value.

Payload of n values in blocks of b, m = ceil(n / b):

    4·m bytes   scales, little-endian float32: the largest magnitude of each block, 0 for a block of zeros
      n bytes   codes, in the order of the values; the last block may be shorter

`dettmers8` takes all codes from the dynamic tree. `adaptive8` takes each block's codes from the tree or
from the linear book, whichever has the smaller sum of squared errors, and sets the scale's sign bit,
which no magnitude needs, for the linear one. The tree is better where a few values dominate their block,
the linear book where values fill it evenly.

The choice must be the same on every device, so errors are counted in whole steps of 2^-16 of the scale's
power of two, rounded up, and squared and added as integers: no order of addition can matter. Rounded up,
because only an error of exactly 0 may count as none: the second pass finds 0 for the book of the first
and must not find it for the other too. (Values common to both books are 0 and ±1 alone. A block of
nothing else is a tie, and ties go to the tree. The first pass gives such a block to the tree already,
whose error near 0 and near 1 is never larger.)
"""

from collections.abc import Iterator
from typing import Any

import numpy

import tensor
from mesh.codec import device as device_forms
from mesh.codec.base import (
    Bytes,
    Codec,
    Floats,
    Payload,
    Sum,
    check_vector,
    checked_size,
    host_vector,
    refuse_non_finite,
)
from mesh.codec.codebook import Codebook
from mesh.codec.errors import CodecError
from mesh.codec.nearest import (
    SMALLEST_NORMAL,
    Blocks,
    block_scales,
    in_middle_range,
    lift_factors,
    nearest_codes,
)

PIECE = 1 << 15  # values computed at a time, so that the temporaries stay in a core's cache
ERROR_STEPS = 16  # an error is counted in units of 2^-16 of the scale's power of two


class BlockCodec(Codec):
    """A codec with one scale for each block; `books` is the tree alone, or the tree and the linear book."""

    def __init__(self, name: str, block: int, books: tuple[Codebook, ...]) -> None:
        if block < 1:
            raise CodecError(f"{name}: a block cannot have {block} values; give 1 or more (256 is usual).")
        self.name = name
        self.block = block
        self.books = books

    def payload_bytes(self, size: int) -> int:
        """Length in bytes of the payload of `size` values."""
        return 4 * self.blocks(size) + size

    def blocks(self, size: int) -> int:
        """Number of blocks, and so of scales, of `size` values."""
        return -(-checked_size(size) // self.block)

    def encode(self, array: Any) -> bytes:
        """Bytes of `array`, float32[size], each value by its exact nearest code, computed where it is."""
        if isinstance(array, tensor.Array):
            return self.encode_array(array).numpy().tobytes()
        return self.encode_host(array)

    def encode_array(self, x: tensor.Array) -> tensor.Array:
        """The payload of `x`, float32[size], on the same device."""
        check_vector(x)
        return device_forms.encode(x, codec=self)

    def decode_array(
        self, payload: Payload | tensor.Array, size: int, device: tensor.Device | str | None = None
    ) -> tensor.Array:
        """Values float32[size] of `payload` on `device`."""
        if not isinstance(payload, tensor.Array):
            payload = tensor.asarray(numpy.frombuffer(payload, numpy.uint8), device=device)
        elif device is not None:
            payload = payload.to_device(device)
        self._check_length(payload.size_bytes, size)
        return device_forms.decode(payload, codec=self, size=size)

    def encode_host(self, array: Any) -> bytes:
        """Bytes of `array`, float32[size], by NumPy: the specification of all other forms."""
        vector = host_vector(array)
        payload = numpy.empty(self.payload_bytes(vector.size), numpy.uint8)
        scales, codes = self._parts(payload, vector.size)
        for rows, span in self._pieces(vector.size):
            values = _in_rows(vector[span], self.block)
            found = block_scales(values)
            if not numpy.isfinite(found).all():
                refuse_non_finite(vector)
            blocks = in_middle_range(values, found)
            chosen, linear = self._choose(blocks)
            codes[span] = chosen.reshape(-1)
            scales[rows] = numpy.where(linear, -found, found)
        return payload.tobytes()

    def decode(self, payload: Payload, size: int) -> Floats:
        """Values float32[size] of `payload`."""
        out = numpy.empty(checked_size(size), numpy.float32)
        for span, values in self._decoded(payload, size):
            out[span] = values
        return out

    def is_sooner_on(self, device: tensor.Device, size: int) -> bool:
        """Whether payloads of `size` values are to be decoded and merged on `device`."""
        return device_forms.is_sooner_on(device, size)

    def decode_add(self, payload: Payload, out: Sum) -> None:
        """Add the decoded values into `out`, float32[size], in place."""
        if isinstance(out, tensor.Array):
            out += self.decode_array(payload, out.size, device=out.device)
            return
        for span, values in self._decoded(payload, out.size):
            out[span] += values

    def _parts(self, payload: Bytes, size: int) -> tuple[Floats, Bytes]:
        """Views of the scales and of the codes."""
        head = 4 * self.blocks(size)
        return payload[:head].view("<f4"), payload[head:]

    def _pieces(self, size: int) -> Iterator[tuple[slice, slice]]:
        """Slices of the blocks and of the values, piece after piece; a short last block comes alone."""
        whole = size // self.block
        step = max(1, PIECE // self.block)
        for start in range(0, whole, step):
            stop = min(whole, start + step)
            yield slice(start, stop), slice(start * self.block, stop * self.block)
        if size % self.block:
            yield slice(whole, whole + 1), slice(whole * self.block, size)

    def _choose(self, blocks: Blocks) -> tuple[Bytes, Any]:
        """Codes uint8[rows, block], and for each row whether they are of the second book."""
        first = nearest_codes(self.books[0], blocks)
        if len(self.books) == 1:
            return first, False
        second = nearest_codes(self.books[1], blocks)
        better = _squared_error(self.books[1], second, blocks) < _squared_error(self.books[0], first, blocks)
        return numpy.where(better[:, None], second, first), better

    def _decoded(self, payload: Payload, size: int) -> Iterator[tuple[slice, Floats]]:
        """Piece after piece of the values, once every scale has been checked."""
        signed, codes = self._parts(self._checked_payload(payload, size), size)
        self.check_scales(signed)
        table = numpy.concatenate([book.signed for book in self.books])
        for rows, span in self._pieces(size):
            scales = numpy.abs(signed[rows])
            index = _in_rows(codes[span], self.block).astype(numpy.intp)
            if len(self.books) > 1:
                index += (numpy.signbit(signed[rows]) * 256)[:, None]
            yield span, _products(table.take(index, mode="clip"), scales).reshape(-1)

    def check_scales(self, signed: Floats) -> None:
        """Raise CodecError unless every scale is one that an encoder makes."""
        sizes = numpy.abs(signed)
        usual = (sizes >= SMALLEST_NORMAL) & numpy.isfinite(sizes)
        if len(self.books) == 1:
            usual &= signed > 0
        wrong = ~usual & (signed.view("<u4") != 0)
        if wrong.any():
            index = int(numpy.argmax(wrong))
            raise CodecError(
                f"{self.name}: the payload's block {index} has scale {signed[index]!s}, which no encoder "
                f"makes; it was not merged. Its sender runs another version, or the bytes were damaged."
            )


def _in_rows(flat: Any, block: int) -> Any:
    """[n] as [n / block, block]; a short last block, which comes alone, as one row."""
    return flat.reshape(-1, min(block, flat.size))


def _products(magnitudes: Floats, scales: Floats) -> Floats:
    """magnitudes[rows, block] * scales[rows], 0 where below 2^-126; overwrites `magnitudes`."""
    lifts = lift_factors(scales)
    if lifts is None:
        magnitudes *= scales[:, None]
        return magnitudes
    magnitudes *= (scales * lifts)[:, None]
    magnitudes[numpy.abs(magnitudes) < (SMALLEST_NORMAL * lifts)[:, None]] = 0
    magnitudes /= lifts[:, None]
    return magnitudes


def _squared_error(book: Codebook, codes: Bytes, blocks: Blocks) -> Any:
    """Sum of the squared errors of each row, in this file's whole steps: float64[rows]."""
    sizes = numpy.abs(blocks.values)
    sizes[sizes < blocks.least[:, None]] = 0
    products = numpy.abs(book.signed.take(codes, mode="clip")) * blocks.scales[:, None]
    errors = numpy.abs(sizes - products)
    _, exponents = numpy.frexp(blocks.scales)
    steps = numpy.ldexp(numpy.float32(1), ERROR_STEPS + 1 - exponents)
    counts = numpy.trunc(errors * steps[:, None]) + (errors > 0)
    return (counts * counts).sum(axis=1, dtype=numpy.float64)
