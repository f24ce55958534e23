"""The primitives that draw random numbers: elements offset, offset + 1, … of the stream (key, step), with the
same bits on every device.

The step is `number` plus what a counter on the device holds, so that a recorded draw can draw anew in each
replay. Kernel: kernels/random.cl, whose comments give the sources.
"""

from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.kernel import built
from tensor.layout import item_sizes
from tensor.philox import MASK, philox_blocks
from tensor.primitive import primitive

_CPU_NUMBERS_EACH = 4096  # per work-item
_HALF = numpy.uint64(32)
_LOW = numpy.uint64(0xFFFFFFFF)


# --- NumPy --------------------------------------------------------------------------------------------------


def _step(counter: Any, number: int) -> int:
    return number + int(counter.reshape(-1)[0]) & MASK


def _bits(counter: Any, count: int, key: int, number: int, offset: int, words: int) -> Any:
    """`count` unsigned integers of `words` 32-bit words each, as uint64."""
    each = 4 // words
    blocks = numpy.arange(offset // each, (offset + count + each - 1) // each, dtype=numpy.uint64)
    drawn = philox_blocks(blocks, _step(counter, number), key).reshape(-1)
    if words == 2:
        drawn = drawn[::2] | drawn[1::2] << _HALF
    return drawn[offset % each : offset % each + count]


def _uniform(counter: Any, shape: Shape, key: int, number: int, offset: int) -> Any:
    bits = _bits(counter, prod(shape), key, number, offset, 1) >> numpy.uint64(8)
    return (bits.astype(numpy.float32) * numpy.float32(2.0**-24)).reshape(shape)


def _normal(counter: Any, shape: Shape, key: int, number: int, offset: int) -> Any:
    before = offset % 4
    count = before + prod(shape)
    bits = _bits(counter, count + -count % 4, key, number, offset - before, 1).astype(numpy.uint32)
    both = numpy.stack(_normal_pair(bits[::2], bits[1::2]), axis=1)
    return both.reshape(-1)[before:count].reshape(shape)


def _normal_pair(bits_u: Any, bits_v: Any) -> tuple[Any, Any]:
    """Two normal numbers from 64 bits; every operation in float32 and in the order of kernels/normal.h."""
    f32 = numpy.float32
    u = bits_u.astype(f32) * f32(2.0**-32) + f32(2.0**-33)
    r = _sqrt(f32(-2) * _log(u))
    quarter = bits_v + numpy.uint32(0x20000000) >> numpy.uint32(30)
    a = (bits_v - (quarter << numpy.uint32(30))).view(numpy.int32).astype(f32) * f32(numpy.pi / 2 * 2.0**-30)
    z = a * a
    s = ((f32(-1.9515295891e-4) * z + f32(8.3321608736e-3)) * z + f32(-1.6666654611e-1)) * z * a + a
    c = (f32(2.443315711809948e-5) * z + f32(-1.388731625493765e-3)) * z + f32(4.166664568298827e-2)
    c = c * z * z - f32(0.5) * z + f32(1)
    is_odd = (quarter & 1).astype(bool)
    x, y = numpy.where(is_odd, s, c), numpy.where(is_odd, c, s)
    return r * numpy.where(quarter + 1 & 2, -x, x), r * numpy.where(quarter & 2, -y, y)


_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)


def _log(u: Any) -> Any:
    f32 = numpy.float32
    beyond = u.view(numpy.int32) - numpy.int32(0x3F3504F3)
    e = (beyond >> numpy.int32(23)).astype(f32)
    f = ((beyond & numpy.int32(0x7FFFFF)) + numpy.int32(0x3F3504F3)).view(f32) - f32(1)
    z = f * f
    y = numpy.full_like(f, _LOG[0])
    for each in _LOG[1:]:
        y = y * f + f32(each)
    y = y * f * z
    y = y + e * f32(-2.12194440e-4)
    y = y - f32(0.5) * z
    return (f + y) + e * f32(0.693359375)


def _sqrt(x: Any) -> Any:
    f32 = numpy.float32
    y = (numpy.int32(0x5F3759DF) - (x.view(numpy.int32) >> numpy.int32(1))).view(f32)
    half = f32(0.5) * x
    for _ in range(4):
        y = y * (f32(1.5) - half * y * y)
    return x * y


def _integers(
    counter: Any, shape: Shape, key: int, number: int, offset: int, low: int, span: int, dtype: DType
) -> Any:
    words = 1 if span <= 2**32 else 2
    values = _bits(counter, prod(shape), key, number, offset, words)
    if span < 2**64:
        values = _below(values, span, words, offset, _step(counter, number), key)
    return (values + numpy.uint64(low & MASK)).astype(dtype).reshape(shape)


def _below(bits: Any, span: int, words: int, offset: int, step: int, key: int) -> Any:
    """Integers below span; draws that would make some more likely are replaced, attempt by attempt."""
    threshold = 2 ** (32 * words) % span
    high, low = _product(bits, span, words)
    attempt = 0
    while (again := numpy.flatnonzero(low < numpy.uint64(threshold))).size:
        attempt += 1
        drawn = philox_blocks(again.astype(numpy.uint64) + numpy.uint64(offset), step, key, attempt)
        fresh = drawn[:, 0] if words == 1 else drawn[:, 0] | drawn[:, 1] << _HALF
        high[again], low[again] = _product(fresh, span, words)
    return high


def _product(bits: Any, span: int, words: int) -> tuple[Any, Any]:
    """The high and the low half of bits * span, of as many words each as the bits have."""
    if words == 1:
        product = bits * numpy.uint64(span)
        return product >> _HALF, product & _LOW
    a1, a0, b1, b0 = bits >> _HALF, bits & _LOW, numpy.uint64(span >> 32), numpy.uint64(span & 0xFFFFFFFF)
    middle = (a0 * b0 >> _HALF) + (a1 * b0 & _LOW) + (a0 * b1 & _LOW)
    high = a1 * b1 + (a1 * b0 >> _HALF) + (a0 * b1 >> _HALF) + (middle >> _HALF)
    return high, bits * numpy.uint64(span)


# --- OpenCL -------------------------------------------------------------------------------------------------


def _draw(
    kind: str, counter: Array, shape: Shape, dtype: DType, key: int, number: int, offset: int, *limits: int
) -> Array:
    device = counter.device
    output = Array.new(shape, dtype, device)
    if output.size:
        defines = {
            "KIND": kind,
            "T_COUNTER": OPENCL_NAMES[counter.dtype],
            "T_OUT": OPENCL_NAMES[dtype],
        }
        groups = -(-output.size // _CPU_NUMBERS_EACH)
        sizes = (
            ((groups,), (1,))
            if device.kind == "cpu"
            else item_sizes(device.compute_units, output.size // 4 + 1)
        )
        stream = (output.size, offset, key, number, counter.buffer, counter.offset)
        built(device, "random.cl", "draw", defines)(
            sizes[0], *stream, *limits, output.buffer, local_size=sizes[1]
        )
    return output


def _uniform_opencl(counter: Array, shape: Shape, key: int, number: int, offset: int) -> Array:
    return _draw("UNIFORM", counter, shape, dtypes.float32, key, number, offset)


def _normal_opencl(counter: Array, shape: Shape, key: int, number: int, offset: int) -> Array:
    return _draw("NORMAL", counter, shape, dtypes.float32, key, number, offset)


def _integers_opencl(
    counter: Array, shape: Shape, key: int, number: int, offset: int, low: int, span: int, dtype: DType
) -> Array:
    kind, bits = ("INTEGERS", 32) if span <= 2**32 else ("WIDE_INTEGERS", 64)
    limits = (low & MASK, span % 2**bits, 2**bits % span)
    return _draw(kind, counter, shape, dtype, key, number, offset, *limits)


draw_uniform = primitive("random_uniform", numpy=_uniform, opencl=_uniform_opencl)
draw_normal = primitive("random_normal", numpy=_normal, opencl=_normal_opencl)
draw_integers = primitive("random_integers", numpy=_integers, opencl=_integers_opencl)
