"""How buffers follow the batches: one launch over the flat vector, with the same bits on every device."""

from typing import Any

from numpy.typing import NDArray

import tensor
from nn.launch import CPU_ELEMENTS_EACH, flat_sizes, flushed, precision_of
from tensor import Array
from tensor.kernel import built

Floats = NDArray[Any]  # float32, or float64


def _follow_numpy(buffers: Floats, observed: Floats, rates: Floats) -> None:
    old = flushed(buffers.copy())
    distance = flushed(flushed(observed.copy()) - old)
    buffers[...] = flushed(old + flushed(rates * distance))


def _follow_opencl(buffers: Array, observed: Array, rates: Array) -> None:
    global_size, local_size = flat_sizes(buffers.device, buffers.size, CPU_ELEMENTS_EACH)
    vectors = [argument for array in (buffers, observed, rates) for argument in (array.buffer, array.offset)]
    kernel = built(buffers.device, "follow.cl", "follow", precision_of(buffers))
    kernel(global_size, buffers.size, CPU_ELEMENTS_EACH, *vectors, local_size=local_size)


_follow = tensor.primitive("follow", numpy=_follow_numpy, opencl=_follow_opencl, in_place=True)


def follow(buffers: Array, observed: Array, rates: Array) -> None:
    """buffers ← buffers + rates · (observed − buffers), in place; all float32, or all float64, [B]."""
    _follow(buffers, observed, rates)
