"""Index arrays as tables of steps: how far, in elements, each index lies from the beginning.

Indices that come from the host are checked there. Those that are on a device are checked by the kernel that
makes the table, into one word that is then read: that waits for the device, and raises BadIndexError before
anything is read or written. Inside record() nothing waits; an index out of range then leads nowhere.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from struct import pack

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.device import Device
from tensor.dtypes import OPENCL_NAMES, HostArray
from tensor.errors import BadIndexError, ShapeError
from tensor.index_key import Index, require_in_range
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH as EACH
from tensor.layout import MAX_AXES, broadcast_shape, broadcast_strides, collapse, item_sizes
from tensor.memory import outside_scopes

Packed = tuple[bytes, bytes]  # eight integers, as two long4 arguments


def on_device(indices: tuple[Index, ...], device: Device) -> tuple[Array, ...]:
    """Index arrays on the device; those from the host never change, so that a replay need not copy them."""
    with device.queue.not_recording():
        return tuple(each if isinstance(each, Array) else Array.upload(each, device) for each in indices)


def common_shape(shapes: tuple[Shape, ...]) -> Shape:
    """The shape of index arrays broadcast together; raises BadIndexError."""
    try:
        return broadcast_shape("index arrays", *shapes)
    except ShapeError as error:
        raise BadIndexError(str(error)) from error


@lru_cache(maxsize=4096)
def _walk(shape: Shape, strides: Shape, common: Shape) -> tuple[Packed, int, Packed]:
    sizes, (steps,) = collapse(common, (broadcast_strides(shape, strides, common),))
    return pack_longs(sizes), len(sizes), pack_longs(steps)


def pack_longs(values: Sequence[int]) -> Packed:
    """Up to eight integers as the bytes of two long4 arguments of a kernel."""
    if len(values) > MAX_AXES:
        raise ShapeError(
            f"Indexing needs {len(values)} axes that cannot be joined; at most {MAX_AXES} can be."
        )
    filled = (*values, *(0,) * (MAX_AXES - len(values)))
    return pack("4q", *filled[:4]), pack("4q", *filled[4:])


def launch_sizes(device: Device, count: int) -> tuple[Shape, Shape]:
    """Global and local size for `count` entries of a table."""
    return item_sizes(0 if device.kind == "cpu" else device.compute_units, count)


def table(shape: Shape, axes: Shape, indices: tuple[Array, ...], steps: Shape, check: bool = False) -> Array:
    """int64 [M]: the sum of index × step over index arrays of `axes`, M counting them broadcast together.

    With `check` it waits and raises BadIndexError for an index out of range; else such an entry is MISSING.
    """
    device = indices[0].device
    common = common_shape(tuple(each.shape for each in indices))
    count = prod(common)
    made = Array.new((count,), dtypes.int64, device)
    if not count:
        return made
    word = _error_words(device)[int(check)]
    global_size, local_size = launch_sizes(device, count)
    for i, (each, axis, step) in enumerate(zip(indices, axes, steps, strict=True)):
        kernel = built(device, "places.cl", "places", {"T_INDEX": OPENCL_NAMES[each.dtype]})
        extents, ndim, strides = _walk(each.shape, each.strides, common)
        source = (*extents, ndim, each.buffer, each.offset, *strides, shape[axis], step, int(i == 0))
        kernel(global_size, count, EACH, *source, made.buffer, word.buffer, local_size=local_size)
    if check:
        _raise_if_set(word, shape, axes, indices)
    return made


class _Words(threading.local):
    """Per thread, so that one does not read what another one's indices set."""

    def __init__(self) -> None:
        self.of_device: dict[Device, tuple[Array, Array]] = {}


_words = _Words()


def _error_words(device: Device) -> tuple[Array, Array]:
    """Two words of device memory: one that nobody looks at, and one that is 0 unless an index is out of
    range."""
    found = _words.of_device.get(device)
    if found is None:
        zero = numpy.zeros(1, numpy.int32)
        with outside_scopes(), device.queue.not_recording():
            found = (Array.upload(zero, device), Array.upload(zero, device))
        _words.of_device[device] = found
    return found


def _raise_if_set(word: Array, shape: Shape, axes: Shape, indices: tuple[Array, ...]) -> None:
    if word.peek()[0]:
        word.write(numpy.zeros(1, numpy.int32))
        require_all_in_range(shape, axes, [each.peek() for each in indices])


def require_all_in_range(shape: Shape, axes: Shape, indices: Sequence[HostArray]) -> None:
    """Raise BadIndexError, with the first bad index, if one is out of range of its axis."""
    for axis, each in zip(axes, indices, strict=True):
        require_in_range(each, shape[axis], axis, shape)
