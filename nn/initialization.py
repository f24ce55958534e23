"""How parameters begin: numbers keyed by (seed, parameter name), the same on every device and every peer.

The bits come from NumPy's `Philox` bit generator on the host, whose stream NEP 19 fixes for good (unlike that
of `Generator.uniform`, which a NumPy release may change). Its 128-bit key is the beginning of SHA-256 of
"seed:name". So adding a layer leaves the numbers of all others as they were.
"""

import hashlib
import math
from collections.abc import Callable

import numpy
from numpy.typing import NDArray

Initializer = Callable[[tuple[int, ...], numpy.random.Philox], NDArray[numpy.float32]]


def initial_value(
    initializer: Initializer, shape: tuple[int, ...], seed: int, name: str
) -> NDArray[numpy.float32]:
    """What the parameter `name` of `shape` is before the first step."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return initializer(shape, numpy.random.Philox(key=int.from_bytes(digest[:16], "little")))


def zeros(shape: tuple[int, ...], bits: numpy.random.Philox) -> NDArray[numpy.float32]:
    """All 0."""
    return numpy.zeros(shape, dtype=numpy.float32)


def ones(shape: tuple[int, ...], bits: numpy.random.Philox) -> NDArray[numpy.float32]:
    """All 1."""
    return numpy.ones(shape, dtype=numpy.float32)


def uniform(bound: float) -> Initializer:
    """Evenly spread over [-bound, bound), in steps of bound · 2⁻²³."""

    def fill(shape: tuple[int, ...], bits: numpy.random.Philox) -> NDArray[numpy.float32]:
        highest_24_bits = bits.random_raw(math.prod(shape)) >> numpy.uint64(40)
        unit = highest_24_bits.astype(numpy.float32) * numpy.float32(2**-24)
        return ((unit * 2 - 1) * numpy.float32(bound)).reshape(shape)

    return fill


def fan_in_uniform(fan_in: int) -> Initializer:
    """Uniform within ±√(3 / fan_in), so of variance 1 / fan_in.

    It keeps the variance of a sum of `fan_in` products at that of its inputs. The 2016 system drew from N(0,
    1 / fan_in). Source: Y. LeCun, L. Bottou, G. Orr, K. Müller: "Efficient BackProp", 1998, section 4.6.
    """
    return uniform(math.sqrt(3 / fan_in))
