"""A 64-bit checksum of an array's bits that depends on their order, computed where the array lives."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.kernel import built
from tensor.layout import GPU_GROUP
from tensor.primitive import primitive
from tensor.reduction import sum as array_sum
from tensor.views import contiguous

_BLOCK = 1 << 20  # words that NumPy handles at once


def _mix(z: Any) -> Any:
    """The finalizer of SplitMix64 on an array of uint64; see kernels/checksum.cl."""
    z = z + numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def _checksum(x: Any) -> Any:
    data = numpy.ascontiguousarray(x).reshape(-1).view(numpy.uint8)
    padded = numpy.concatenate([data, numpy.zeros(-len(data) % 4, numpy.uint8)]).view("<u4")
    total = numpy.zeros(1, numpy.uint64)
    for begin in range(0, len(padded), _BLOCK):
        words = padded[begin : begin + _BLOCK].astype(numpy.uint64)
        places = numpy.arange(begin, begin + len(words), dtype=numpy.uint64) << numpy.uint64(32)
        total += _mix(places ^ words).sum(dtype=numpy.uint64)
    return total


def _checksum_opencl(x: Array) -> Array:
    x = contiguous(x)
    device = x.device
    items = device.compute_units * (1 if device.kind == "cpu" else GPU_GROUP * 8)
    local = (1,) if device.kind == "cpu" else (GPU_GROUP,)
    partial = Array.new((items,), dtypes.uint64, device)
    size = x.dtype.itemsize
    kernel = built(device, "checksum.cl", "checksum", {"BYTES": int(size < 4)})
    kernel((items,), x.size_bytes, x.offset * size, x.buffer, partial.buffer, local_size=local)
    return array_sum(partial, keepdims=True)


_CHECKSUM = primitive("checksum", numpy=_checksum, opencl=_checksum_opencl)


def checksum(x: Array) -> int:
    """64 bits that differ if any bit of x, or its place in row-major order, differs; the same on every
    device.

    Shape and dtype do not enter. Good against accidents, not against an adversary.
    """
    total = int(_CHECKSUM(x).item())
    return int(_mix(numpy.array([total ^ x.size_bytes], numpy.uint64))[0])
