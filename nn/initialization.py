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

from nn.errors import NetworkError

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


_GAINS = {"lecun": 3, "he": 6}  # of √(gain / fan_in), the bound of uniform numbers


def named(name: str, fan_in: int) -> Initializer:
    """The way to begin a weight that adds `fan_in` products: "lecun" (variance 1 / fan_in) or "he" (2 /
    fan_in).

    The first keeps the variance of such a sum at that of its inputs (the 2016 system drew from N(0, 1 /
    fan_in)); the second is for weights before a ReLU, which halves it. Sources: Y. LeCun, L. Bottou, G. Orr,
    K. Müller: "Efficient BackProp", 1998, section 4.6; K. He and others: "Delving Deep into Rectifiers",
    2015. Raises `NetworkError` for another name.
    """
    if name not in _GAINS:
        raise NetworkError(f"There is no initialization {name!r}. Known are: {', '.join(_GAINS)}.")
    return uniform(math.sqrt(_GAINS[name] / fan_in))
