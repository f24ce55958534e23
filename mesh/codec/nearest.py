"""The exact nearest code of every value of a block, on NumPy: the specification that the kernel is held to.

What is nearest. The receiver computes float32(T[i] * s) from the magnitude T[i] and the block's scale s,
so those rounded products are the candidates, not the real numbers T[i] * s. For neighbours L <= |x| <= U
among them, U is chosen where |x| - L > U - |x|; the tie goes to L, the smaller magnitude. Both
differences are exact around the middle: there U < 2|x| and |x| < 2L (Sterbenz' lemma; U/L <= 2.65 in both
books), or L = 0 and the first is |x| itself. So the comparison decides about real numbers, although it is
made in float32, and it needs two products that IEEE 754 rounds in one way only. Nothing depends on how x
/ s would be rounded: not every OpenCL device divides correctly, and a quotient's last bit would decide
between codes. The quotient only says *where to look*, and may be off by some units in the last place.

Fast path. q = x * (gain / s) is looked up by its upper 16 bits (sign, exponent, 7 bits of mantissa): no
such bucket holds more than one boundary between two codes, so the table gives that boundary and the codes
at its two sides, and one comparison of integers is left. Where q is within SLACK units in the last place
of the boundary (one value in some ten thousand) the rule above settles it. The gain, near 1, keeps every
boundary away from the buckets' edges, where a q that is wrong in its last place would be looked up next
door.

Denormal numbers. Some devices flush them, so no result may depend on them. |x| < 2^-126 counts as 0, a
block without any larger value has scale 0, and a product T[i] * s below 2^-126 decodes to 0 and is no
candidate. To decide that alike everywhere, blocks with s < 2^-60 are computed times 2^64, and those with
s > 2^60 times 2^-64: exact, and far from both ends of the range, where 1 / s or T[i] * s would leave it.

Second pass. The largest value of a block is named 1, which decodes to s exactly, so s is found again;
every other decoded value is a candidate, at distance 0. Hence encode(decode(p)) == p for every payload p
that encode makes.
"""

from dataclasses import dataclass
from functools import cache

import numpy
from numpy.typing import NDArray

from mesh.codec.base import Bytes, Floats
from mesh.codec.codebook import SIGN, Codebook

SMALLEST_NORMAL = numpy.float32(2.0**-126)
SMALL, LARGE = numpy.float32(2.0**-60), numpy.float32(2.0**60)
LIFT = numpy.float32(2.0**64)
SLACK = 16  # units in the last place of q; its own error is below 3, that of a rounded boundary below 2
NO_BOUNDARY = 0x7FFFFFFF


@dataclass(frozen=True)
class Blocks:
    """Rows of values whose scales are in the middle of float32's range.

    values: float32[rows, block]. scales: float32[rows], each 0 or from 2^-62 to 2^64.
    least: float32[rows], a value below it counts as 0. floor: float32[rows], a product below it decodes to 0.
    lifts: float32[rows], the powers of two that brought values and scales there, or None where all are 1.
    """

    values: Floats
    scales: Floats
    least: Floats
    floor: Floats
    lifts: Floats | None


def block_scales(rows: Floats) -> Floats:
    """Largest magnitude of each row of float32[rows, block]; NaN or infinite where the row is not finite."""
    scales: Floats = numpy.abs(rows).max(axis=1)
    scales[scales < SMALLEST_NORMAL] = 0
    return scales


def lift_factors(scales: Floats) -> Floats | None:
    """The power of two that brings each scale to the middle of the range; None where none needs one."""
    small = (scales < SMALL) & (scales > 0)
    large = scales > LARGE
    if not (small.any() or large.any()):
        return None
    return numpy.where(small, LIFT, numpy.where(large, 1 / LIFT, numpy.float32(1)))


def in_middle_range(rows: Floats, scales: Floats) -> Blocks:
    """The blocks of float32[rows, block] under their `scales`, lifted where they need it."""
    lifts = lift_factors(scales)
    if lifts is None:
        least = numpy.full_like(scales, SMALLEST_NORMAL)
        return Blocks(rows, scales, least, numpy.zeros_like(scales), None)
    floor = numpy.where(lifts > 1, SMALLEST_NORMAL * LIFT, numpy.float32(0))
    least = numpy.where(lifts < 1, SMALLEST_NORMAL * LIFT, SMALLEST_NORMAL)
    kept = numpy.where(numpy.abs(rows) < least[:, None], numpy.float32(0), rows)
    return Blocks(kept * lifts[:, None], scales * lifts, least * lifts, floor, lifts)


def nearest_codes(book: Codebook, blocks: Blocks) -> Bytes:
    """Codes uint8[rows, block] of the nearest candidates of `book`."""
    table = lookup(book)
    gains = numpy.divide(
        table.gain, blocks.scales, out=numpy.zeros_like(blocks.scales), where=blocks.scales > 0
    )
    quotients = blocks.values * gains[:, None]
    bits = quotients.view(numpy.int32)
    bucket = numpy.right_shift(quotients.view(numpy.uint32), 16).astype(numpy.intp)
    bits &= 0x7FFFFFFF
    bits -= table.boundary.take(bucket, mode="clip")
    pair = table.pair.take(bucket, mode="clip")
    pair >>= (bits > 0).view(numpy.uint8) << 3
    codes = pair.astype(numpy.uint8)

    bits += SLACK
    doubtful = bits.view(numpy.uint32) <= 2 * SLACK
    if blocks.lifts is not None:
        doubtful |= (blocks.floor > 0)[:, None]
    where = numpy.flatnonzero(doubtful)
    if where.size:
        row = where // blocks.values.shape[1]
        values = blocks.values.reshape(-1)[where]
        codes.reshape(-1)[where] = settle(book, values, blocks.scales[row], blocks.floor[row])
    return codes


def settle(book: Codebook, values: Floats, scales: Floats, floor: Floats) -> Bytes:
    """Codes uint8[n] by the rule itself, for values, scales and floors float32[n]; no scale is 0."""
    sizes = numpy.abs(values)
    quotients = (
        sizes.astype(numpy.float64) / scales * (1 + 2**-20)
    )  # upwards: then |x| <= U holds, flushed or not
    lower = numpy.clip(numpy.searchsorted(book.magnitudes, quotients, side="right") - 1, 0, 126)
    below = book.magnitudes[lower] * scales
    below[below < floor] = 0
    above = book.magnitudes[lower + 1] * scales
    index = numpy.where(sizes - below > above - sizes, lower + 1, numpy.where(below > 0, lower, 0))
    negative = (values < 0) & (index > 0)
    return book.wire[index] | (negative.view(numpy.uint8) * numpy.uint8(SIGN))


@dataclass(frozen=True)
class Lookup:
    """What the upper 16 bits of a quotient say.

    boundary: int32[65536], bits of the float32 boundary in the bucket, NO_BOUNDARY where there is none.
    pair: uint16[65536], the code below the boundary in the low byte, the code above it in the high one.
    gain: factor on all quotients and boundaries that keeps the boundaries off the buckets' edges.
    """

    boundary: NDArray[numpy.int32]
    pair: NDArray[numpy.uint16]
    gain: numpy.float32


@cache
def lookup(book: Codebook) -> Lookup:
    """The table of `book`, made once."""
    exact = book.magnitudes.astype(numpy.float64)
    middles = (exact[1:] + exact[:-1]) / 2
    gain = next(g for g in 1 + numpy.arange(512) / 4096 if _margin(middles * g) > 8 * SLACK)
    boundaries = (middles * gain).astype(numpy.float32)

    starts = (numpy.arange(1 << 15, dtype=numpy.uint32) << 16).view(numpy.float32)
    index = numpy.searchsorted(boundaries, starts, side="left")
    after = numpy.minimum(index + 1, 127)
    pair = book.wire[index] | book.wire[after].astype(numpy.uint16) << 8
    below_zero = numpy.where(index > 0, SIGN, 0) | SIGN << 8
    boundary = numpy.full(1 << 15, NO_BOUNDARY, numpy.int32)
    boundary[boundaries.view(numpy.int32) >> 16] = boundaries.view(numpy.int32)
    return Lookup(
        numpy.tile(boundary, 2),
        numpy.concatenate([pair, pair | below_zero]).astype(numpy.uint16),
        numpy.float32(gain),
    )


def _margin(boundaries: NDArray[numpy.float64]) -> int:
    """Least distance from a bucket's edge, in units in the last place; 0 where two share a bucket."""
    bits = boundaries.astype(numpy.float32).view(numpy.int32)
    if len(numpy.unique(bits >> 16)) < len(bits):
        return 0
    inside = bits & 0xFFFF
    return int(numpy.minimum(inside, 0x10000 - inside).min())
