"""The two sets of 128 magnitudes that a byte can name: Dettmers' dynamic tree, and equal steps.

The tree (T. Dettmers, "8-bit approximations for parallelism in deep learning", ICLR 2016) has six
decades. Decade k = 0…5 holds 2^(k+1) values: the midpoints of 2^k equal bins on [0.10, 0.45] and of as
many on [0.45, 1.0], times 10^(k−5). With h = 2^k, and in units of u_k = 10^(k−5) / (40·h), all of them
are small integers:

    lower half    4h + 7(2i + 1)       i = 0…h−1       14 apart
    upper half   18h + 11(2i + 1)      i = 0…h−1       22 apart

so a value is *defined* as the float32 product of that integer and the float32 nearest to u_k: one
rounding, the same on every device, within 1.2e-7 of the closed form. 0 and 1 complete the 128. The linear
book is k = 0…127 times the float32 nearest to 1/127, which gives 1 for 127 too.

A book is symmetric: bit 7 of a code is the sign, the low seven bits are the *wire* number of the
magnitude. The tree's wire numbers are those of 2016: 0…125 the values in ascending order, 126 zero, 127
one. Minus zero is never written.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from mesh.codec.base import Bytes, Floats

DECADES = 6
SIGN = 0x80


@dataclass(frozen=True, eq=False)
class Codebook:
    """128 magnitudes in [0, 1] and the bytes that name them.

    name: what errors and benchmarks call it.
    magnitudes: float32[128], ascending, from 0 to 1.
    wire: uint8[128], the low seven bits that name each of them.
    signed: float32[256], the value of every code.
    """

    name: str
    magnitudes: Floats
    wire: Bytes
    signed: Floats

    @classmethod
    def of(cls, name: str, magnitudes: Floats, wire: NDArray[numpy.int64]) -> "Codebook":
        """A book of `magnitudes` float32[128], ascending, the i-th of them named by `wire[i]`."""
        signed = numpy.zeros(256, numpy.float32)
        signed[wire] = magnitudes
        signed[wire[1:] | SIGN] = -magnitudes[1:]  # the code of minus zero, which nobody writes, reads as 0
        return cls(name, magnitudes, wire.astype(numpy.uint8), signed)


def decade_unit(decade: int) -> numpy.float32:
    """The step u_k = 10^(k-5) / (40 * 2^k) of decade k, nearest float32."""
    return numpy.float32(10.0 ** (decade - 5) / (40 << decade))


def _tree_magnitudes() -> Floats:
    values: list[numpy.float32] = [numpy.float32(0)]
    for decade in range(DECADES):
        half = 1 << decade
        integers = [4 * half + 7 * (2 * i + 1) for i in range(half)]
        integers += [18 * half + 11 * (2 * i + 1) for i in range(half)]
        values += [numpy.float32(integer) * decade_unit(decade) for integer in integers]
    return numpy.array([*values, numpy.float32(1)], numpy.float32)


TREE = Codebook.of("tree", _tree_magnitudes(), numpy.array([126, *range(126), 127]))
LINEAR = Codebook.of(
    "linear",
    numpy.arange(128, dtype=numpy.float32) * numpy.float32(1 / 127),
    numpy.arange(128),
)
