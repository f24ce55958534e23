"""The sizes in which the kernels of `nn` are launched."""

from tensor import Device
from tensor.layout import item_sizes

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


def flat_sizes(device: Device, count: int, each: int) -> Sizes:
    """(global, local) for `count` independent pieces: `each` of them per item on a CPU."""
    if device.kind == "cpu":
        return (-(-count // each),), (1,)
    return item_sizes(device.compute_units, count)
