"""What the kernels over a network's flat vectors have in common: their sizes, and what becomes of
denormals."""

from typing import Any

import numpy

from tensor import Device
from tensor.layout import item_sizes

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


CPU_ELEMENTS_EACH = 8192  # per work-item
_SMALLEST_NORMAL = numpy.finfo(numpy.float32).smallest_normal


def flushed(x: Any) -> Any:
    """Denormals of a float32 array as +0, in place, and so is −0: what devices without denormals compute,
    made
    the rule for all."""
    x[numpy.abs(x) < _SMALLEST_NORMAL] = 0
    return x


def flat_sizes(device: Device, count: int, each: int) -> Sizes:
    """(global, local) for `count` independent pieces: `each` of them per item on a CPU."""
    if device.kind == "cpu":
        return (-(-count // each),), (1,)
    return item_sizes(device.compute_units, count)
