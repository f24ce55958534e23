"""What the kernels over a network's flat vectors have in common: their sizes, and what becomes of
denormals."""

from typing import Any

import numpy

import tensor
from tensor import Array, Device
from tensor.layout import item_sizes

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


CPU_ELEMENTS_EACH = 8192  # per work-item
_SMALLEST_NORMALS = {each: numpy.finfo(each).smallest_normal for each in (tensor.float32, tensor.float64)}


def flushed(x: Any) -> Any:
    """Denormals of a float32 or float64 array as +0, in place, and so is −0: what devices without denormals
    compute, made the rule for all."""
    x[numpy.abs(x) < _SMALLEST_NORMALS[x.dtype]] = 0
    return x


def precision_of(x: Array) -> dict[str, str | int]:
    """What kernels/real.h goes by."""
    return {"DOUBLE": 1} if x.dtype == tensor.float64 else {}


def flat_sizes(device: Device, count: int, each: int) -> Sizes:
    """(global, local) for `count` independent pieces: `each` of them per item on a CPU."""
    if device.kind == "cpu":
        return (-(-count // each),), (1,)
    return item_sizes(device.compute_units, count)
