"""Random numbers that depend on what they are for and on nothing else: Philox4x32-10, the same bits on every
device."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.constants import constant
from tensor.device import Device
from tensor.discovery import device as find_device
from tensor.dtypes import OPENCL_NAMES
from tensor.errors import DTypeError, ShapeError
from tensor.kernel import built
from tensor.layout import item_sizes
from tensor.primitive import primitive

_MASK = 0xFFFFFFFFFFFFFFFF
_CPU_BLOCKS_EACH = 1024  # of four numbers, per work-item


def fold_key(key: tuple[int, ...]) -> int:
    """64 bits from any number of integers, by chaining SplitMix64's finalizer; order and count matter."""
    state = len(key)
    for each in key:
        z = (state ^ (each & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        state = z ^ z >> 31
    return state


def philox(counter: list[Any], key: tuple[int, int]) -> list[Any]:
    """Ten rounds on four words, each an array of uint64 below 2^32; see kernels/philox.h for the source."""
    low = numpy.uint64(0xFFFFFFFF)
    shift = numpy.uint64(32)
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        product0, product1 = c0 * numpy.uint64(0xD2511F53), c2 * numpy.uint64(0xCD9E8D57)
        c0 = product1 >> shift ^ c1 ^ numpy.uint64(k0)
        c2 = product0 >> shift ^ c3 ^ numpy.uint64(k1)
        c1, c3 = product1 & low, product0 & low
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def _uniform(counter: Any, shape: Shape, key: int, number: int, offset: int) -> Any:
    count = int(numpy.prod(shape, dtype=numpy.int64))
    step = number + int(counter.reshape(-1)[0]) & _MASK
    block = numpy.arange(offset // 4, (offset + count + 3) // 4, dtype=numpy.uint64)
    full = numpy.ones_like(block)
    words = [
        block & numpy.uint64(0xFFFFFFFF),
        block >> numpy.uint64(32),
        full * numpy.uint64(step & 0xFFFFFFFF),
        full * numpy.uint64(step >> 32),
    ]
    bits = numpy.stack(philox(words, (key & 0xFFFFFFFF, key >> 32)), axis=1).reshape(-1)
    bits = bits[offset % 4 : offset % 4 + count] >> numpy.uint64(8)
    return (bits.astype(numpy.float32) * numpy.float32(2.0**-24)).reshape(shape)


def _uniform_opencl(counter: Array, shape: Shape, key: int, number: int, offset: int) -> Array:
    device = counter.device
    output = Array.new(shape, dtypes.float32, device)
    if output.size:
        defines = {"T_COUNTER": OPENCL_NAMES[counter.dtype]}
        blocks = -(-output.size // 4) + 1
        cpu_sizes = ((-(-blocks // _CPU_BLOCKS_EACH),), (1,))
        sizes = cpu_sizes if device.kind == "cpu" else item_sizes(device.compute_units, blocks)
        arguments = (output.size, offset, key, number, counter.buffer, counter.offset, output.buffer)
        built(device, "random.cl", "uniform", defines)(sizes[0], *arguments, local_size=sizes[1])
    return output


_UNIFORM = primitive("random_uniform", numpy=_uniform, opencl=_uniform_opencl)


def random_uniform(
    shape: Any,
    key: tuple[int, ...] | int,
    *,
    counter: "Array | int" = 0,
    offset: int = 0,
    device: "Device | str | None" = None,
) -> Array:
    """float32 numbers in [0, 1) with 24 random bits: elements offset, offset + 1, … of the stream (key,
    counter).

    `key` is any integers, such as (seed, layer). `counter` (the step) may be an integer array with one
    element on the device, so that a recorded step draws new numbers in each replay. Equal arguments give
    equal bits everywhere.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    folded = fold_key((key,) if isinstance(key, int) else tuple(key))
    if isinstance(counter, Array):
        if counter.size != 1:
            raise ShapeError(f"random_uniform: the counter must have one element, got shape {counter.shape}.")
        if counter.dtype.kind not in "iu" or counter.dtype.itemsize < 4:
            raise DTypeError(f"random_uniform: the counter must be int32 … uint64, got {counter.dtype.name}.")
        return _UNIFORM(counter, shape=sizes, key=folded, number=0, offset=offset)
    nothing = constant(0, dtypes.int32, find_device(device))
    return _UNIFORM(nothing, shape=sizes, key=folded, number=counter & _MASK, offset=offset)
