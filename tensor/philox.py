"""Philox4x32-10 in NumPy: random bits that are a function of a counter and a key and of nothing else.

J. Salmon and others: "Parallel random numbers: as easy as 1, 2, 3", 2011. kernels/philox.h is the same in
OpenCL C.
"""

from typing import Any

import numpy

MASK = 0xFFFFFFFFFFFFFFFF
_LOW = numpy.uint64(0xFFFFFFFF)
_HALF = numpy.uint64(32)


def fold_key(key: tuple[int, ...]) -> int:
    """64 bits from any number of integers, by chaining SplitMix64's finalizer; order and count matter."""
    state = len(key)
    for each in key:
        z = (state ^ (each & MASK)) + 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        state = z ^ z >> 31
    return state


def philox(counter: list[Any], key: tuple[int, int]) -> list[Any]:
    """Ten rounds on four words, each an array of uint64 below 2^32."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        product0, product1 = c0 * numpy.uint64(0xD2511F53), c2 * numpy.uint64(0xCD9E8D57)
        c0 = product1 >> _HALF ^ c1 ^ numpy.uint64(k0)
        c2 = product0 >> _HALF ^ c3 ^ numpy.uint64(k1)
        c1, c3 = product1 & _LOW, product0 & _LOW
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def philox_blocks(blocks: Any, step: int, key: int, attempt: int = 0) -> Any:
    """The four words of each block, as uint64 [blocks, 4]; `attempt` tells draws from those they replace."""
    full = numpy.ones_like(blocks)
    words = [
        blocks & _LOW,
        blocks >> _HALF | full * numpy.uint64(attempt << 16),
        full * numpy.uint64(step & 0xFFFFFFFF),
        full * numpy.uint64(step >> 32),
    ]
    return numpy.stack(philox(words, (key & 0xFFFFFFFF, key >> 32)), axis=1)
