"""Dropout, with masks that are a function of (seed, step, sample, layer) and of nothing else."""

import zlib
from math import prod
from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.derivatives import derivative
from nn.errors import NetworkError
from nn.launch import flat_sizes
from nn.layer import Layer
from tensor import Array
from tensor.kernel import built
from tensor.philox import fold_key, philox

Floats = NDArray[Any]  # float32, or float64

_UNIFORM_BITS = 24
_CPU_BLOCKS_EACH = 1024  # of four elements, per work-item


class Dropout(Layer):
    """y = x / (1 − ratio) with probability 1 − ratio, else 0; in evaluation y = x. x: float32 [N, ...].

    The mask of a sample is drawn from Philox4x32-10 with the network's seed and the layer's name as the key,
    and (element, sample, step) as the counter: say which step and samples the batch is of by
    `network.randomness.set_step(step, samples)`. Source: N. Srivastava and others: "Dropout", 2014, in the
    form that scales in training; J. Salmon and others: "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
    """

    def __init__(self, ratio: float = 0.5) -> None:
        if not 0 <= ratio < 1:
            raise NetworkError(f"Dropout expected 0 ≤ ratio < 1, got {ratio}.")
        self.ratio = ratio

    def forward(self, x: Array) -> Array:
        if x.ndim < 1:
            raise self.shape_error("[N, ...]", x.shape)
        return dropped(self, x, self.ratio)


def dropped(layer: Layer, x: Array, ratio: float, part: int = 0) -> Array:
    """What `Dropout(ratio)` makes of x (float32 [N, ...]) in the place of `layer`: in evaluation x itself.

    Within a step, the same mask comes for the same `layer` and `part`, and other ones for others.
    """
    if not layer.training or ratio == 0:
        return x
    tensor.dtypes.require_single_or_double(layer.title, x.dtype)
    samples = layer.randomness.samples_of(x.shape[0], layer.title)
    key = (layer.randomness.seed, zlib.crc32(layer.path.encode()), *((part,) if part else ()))
    return _dropout(x, layer.randomness.step, samples, key=fold_key(key), ratio=ratio)


def _threshold_and_scale(ratio: float) -> tuple[int, float]:
    """Of the 2²⁴ draws those below the first are dropped; what is kept is multiplied by the second."""
    return round(ratio * 2**_UNIFORM_BITS), 1 / (1 - ratio)


def _dropout_numpy(
    x: Floats,
    step: NDArray[numpy.int32],
    samples: NDArray[numpy.int32],
    *,
    key: int,
    ratio: float,
) -> Floats:
    count = prod(x.shape[1:])
    blocks = numpy.arange(-(-count // 4))
    words = numpy.broadcast_arrays(blocks, samples.view(numpy.uint32)[:, None], step.view(numpy.uint32), 0)
    draws = philox([word.astype(numpy.uint64) for word in words], (key & 0xFFFFFFFF, key >> 32))
    bits = numpy.stack(draws, axis=-1).reshape(len(samples), -1)[:, :count].reshape(x.shape)
    threshold, scale = _threshold_and_scale(ratio)
    kept = bits >> numpy.uint64(32 - _UNIFORM_BITS) >= threshold
    result: Floats = numpy.where(kept, x * x.dtype.type(scale), x.dtype.type(0))
    return result


def _dropout_opencl(x: Array, step: Array, samples: Array, *, key: int, ratio: float) -> Array:
    x = x if x.is_contiguous else x.copy()
    y = tensor.empty(x.shape, dtype=tensor.float32, device=x.device)
    if x.size:
        rows, count = x.shape[0], x.size // x.shape[0]
        global_size, local_size = flat_sizes(x.device, rows * -(-count // 4), _CPU_BLOCKS_EACH)
        buffers = (x.buffer, x.offset, y.buffer, step.buffer, samples.buffer)
        drawing = (key, *_threshold_and_scale(ratio))
        kernel = built(x.device, "dropout.cl", "dropout")
        kernel(global_size, rows, _CPU_BLOCKS_EACH, count, *buffers, *drawing, local_size=local_size)
    return y


_dropout = tensor.primitive("dropout", numpy=_dropout_numpy, opencl=_dropout_opencl, single=True)


@derivative("dropout", reads="step samples")
def _dropout_backward(
    gradient: Array, y: Array, x: Array, step: Array, samples: Array, **parameters: Any
) -> Array:
    """The same mask again, drawn anew rather than kept."""
    return _dropout(gradient, step, samples, **parameters)
