"""Dropout, with masks that are a function of (seed, step, sample, layer) and of nothing else."""

import zlib
from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.derivatives import derivative
from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array
from tensor.kernel import built

_LOW_32 = 0xFFFFFFFF
_UNIFORM_BITS = 24


class Dropout(Layer):
    """y = x / (1 − ratio) with probability 1 − ratio, else 0; in evaluation y = x. x: float32 [N, ...].

    The mask of a sample is drawn from Philox4x32-10 with the network's seed as the key and (element, sample,
    step, layer) as the counter: say which step and samples the batch is of by
    `network.randomness.set_step(step, samples)`. Source: N. Srivastava and others: "Dropout", 2014, in the
    form that scales in training; J. Salmon and others: "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
    """

    def __init__(self, ratio: float = 0.5) -> None:
        if not 0 <= ratio < 1:
            raise NetworkError(f"Dropout expected 0 ≤ ratio < 1, got {ratio}.")
        self.ratio = ratio

    def forward(self, x: Array) -> Array:
        if not self.training or self.ratio == 0:
            return x
        samples = self.randomness.samples_of(x.shape[0], self.title)
        return _dropout(
            x,
            self.randomness.step,
            samples,
            seed=self.randomness.seed,
            layer=zlib.crc32(self.path.encode()),
            ratio=self.ratio,
        )


def _threshold_and_scale(ratio: float) -> tuple[int, float]:
    """Of the 2²⁴ draws those below the first are dropped; what is kept is multiplied by the second."""
    return round(ratio * 2**_UNIFORM_BITS), 1 / (1 - ratio)


def _dropout_numpy(
    x: NDArray[numpy.float32],
    step: NDArray[numpy.int32],
    samples: NDArray[numpy.int32],
    *,
    seed: int,
    layer: int,
    ratio: float,
) -> NDArray[numpy.float32]:
    count = int(numpy.prod(x.shape[1:]))
    blocks = numpy.arange(-(-count // 4))
    counter = numpy.broadcast_arrays(
        blocks, samples.view(numpy.uint32)[:, None], step.view(numpy.uint32), layer
    )
    draws = _philox4x32_10(counter, (seed & _LOW_32, seed >> 32 & _LOW_32))
    bits = numpy.stack(draws, axis=-1).reshape(len(samples), -1)[:, :count].reshape(x.shape)
    threshold, scale = _threshold_and_scale(ratio)
    kept = bits >> numpy.uint64(32 - _UNIFORM_BITS) >= threshold
    return numpy.where(kept, x * numpy.float32(scale), numpy.float32(0))


def _philox4x32_10(counter: Any, key: tuple[int, int]) -> list[NDArray[numpy.uint64]]:
    """Four arrays of 32 random bits (within uint64) of four arrays of counters."""
    a, b, c, d = (numpy.asarray(each, dtype=numpy.uint64) for each in counter)
    low, shift = numpy.uint64(_LOW_32), numpy.uint64(32)
    for turn in range(10):
        first, second = a * numpy.uint64(0xD2511F53), c * numpy.uint64(0xCD9E8D57)
        key_0 = numpy.uint64((key[0] + turn * 0x9E3779B9) & _LOW_32)
        key_1 = numpy.uint64((key[1] + turn * 0xBB67AE85) & _LOW_32)
        a, b, c, d = second >> shift ^ b ^ key_0, second & low, first >> shift ^ d ^ key_1, first & low
    return [a, b, c, d]


def _dropout_opencl(x: Array, step: Array, samples: Array, *, seed: int, layer: int, ratio: float) -> Array:
    x = x if x.is_contiguous else x.copy()
    y = tensor.empty(x.shape, dtype=tensor.float32, device=x.device)
    count = x.size // max(x.shape[0], 1)
    if x.size:
        threshold, scale = _threshold_and_scale(ratio)
        keys = (seed & _LOW_32, seed >> 32 & _LOW_32, layer)
        buffers = (x.buffer, x.offset, y.buffer, step.buffer, samples.buffer)
        kernel = built(x.device, "dropout.cl", "dropout")
        kernel((-(-count // 4), x.shape[0]), *buffers, count, *keys, threshold, scale)
    return y


_dropout = tensor.primitive("dropout", numpy=_dropout_numpy, opencl=_dropout_opencl)


@derivative("dropout")
def _dropout_backward(gradient: Array, y: Array, x: Array, step: Array, samples: Array, **key: Any) -> Array:
    """The same mask again, drawn anew rather than kept."""
    return _dropout(gradient, step, samples, **key)
