"""Sorting along an axis: elements, or the places from which they come."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.axes import one_axis
from tensor.dtypes import DType, HostArray
from tensor.host_memory import host_view, is_reachable
from tensor.kernel import built
from tensor.primitive import primitive, through_host
from tensor.scan import scan
from tensor.views import contiguous, copy, permute_dims

_RANKED = {True: 256, False: 1024}  # the longest rows, on a CPU or not, that are sorted by counting
_GPU_BLOCK = 4096  # elements of a row that a work-group sorts by one digit
_CPU_BLOCK = 65536  # elements below which another block does not pay
_UNSIGNED = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}
_SIGNED = {1: "char", 2: "short", 4: "int", 8: "long"}
_INFINITE = {4: "0x7f800000u", 8: "0x7ff0000000000000ul"}


# --- NumPy's definition -------------------------------------------------------------------------------------


def _sort(x: Any, axis: int, descending: bool, stable: bool) -> Any:
    rows = numpy.moveaxis(x, axis, -1)
    output = numpy.empty(rows.shape, x.dtype)
    _sort_into(output, rows, descending, stable)
    return numpy.moveaxis(output, -1, axis)


def _sort_into(output: HostArray, x: HostArray, descending: bool, stable: bool) -> None:
    """output = x sorted along the last axis.

    NumPy's vector instructions put −0 and +0 in any order: where that shows, the zeros of each row are then
    put back in the order that they had in x.
    """
    # Turned before and after, equal elements keep their order in a descending one.
    output[...] = x[..., ::-1] if descending else x
    counted = x.dtype.itemsize == 1  # which NumPy does when asked for a stable order
    output.sort(axis=-1, kind="stable" if counted or x.dtype.kind == "c" else "quicksort")
    if descending:
        output[...] = output[..., ::-1]
    if stable and x.dtype.kind == "f" and _has_negative_zero(x):
        output[output == 0] = x[x == 0]


def _has_negative_zero(x: HostArray) -> bool:
    sign = 1 << (8 * x.dtype.itemsize - 1)
    return bool((x.view(f"u{x.dtype.itemsize}") == sign).any())


def _argsort(x: Any, axis: int, descending: bool, stable: bool) -> Any:
    if not descending:
        return numpy.argsort(x, axis, stable=stable)
    # NumPy has no descending order: it is the ascending one of the array turned round, turned round.
    places = numpy.flip(numpy.argsort(numpy.flip(x, axis), axis, stable=stable), axis)
    return x.shape[axis] - 1 - places


# --- kernels ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _defines(dtype: DType, places: bool) -> dict[str, str | int]:
    size = dtype.itemsize
    return {
        "KEY": _UNSIGNED[size],
        "SIGNED": _SIGNED[size],
        "VECTOR": f"{_SIGNED[size]}{min(16, 32 // size)}",
        "KIND": {"b": 0, "u": 0, "i": 1, "f": 2}[dtype.kind],
        "INFINITE": _INFINITE.get(size, "0"),
        "INDICES": int(places),
    }


def _rank(x: Array, output: Array, places: bool, descending: bool) -> None:
    """As `_radix`, for short rows: all in one launch."""
    rows, length = x.shape
    is_cpu = x.device.kind == "cpu"
    items = 1 if is_cpu else min(256, -(-length // 32) * 32)
    each = max(1, 65536 // (length * length))
    groups = -(-rows // each) if is_cpu else rows
    kernel = built(x.device, "sort.cl", "rank", _defines(x.dtype, places))
    arguments = (rows, length, each, _turn(x.dtype, descending), x.buffer, x.offset, output.buffer)
    kernel((groups * items,), *arguments, local_size=(items,))


def _turn(dtype: DType, descending: bool) -> int:
    return 2 ** (8 * dtype.itemsize) - 1 if descending else 0


def _radix(x: Array, output: Array, places: bool, descending: bool) -> None:
    """Sort rows x [rows, length] into `output`, or write there the places that their elements come from."""
    rows, length = x.shape
    is_cpu = x.device.kind == "cpu"
    bits, items = (8, 1) if is_cpu else (4, 256)
    each = _GPU_BLOCK
    if is_cpu:
        wanted = max(
            1, min(2 * x.device.compute_units, length // _CPU_BLOCK), length >> 30
        )  # counts are ints
        each = -(-length // wanted)
    blocks = -(-length // each)
    defines = _defines(x.dtype, places)
    histogram, scatter = (built(x.device, "sort.cl", name, defines) for name in ("histogram", "scatter"))
    counts = Array.new((rows, blocks * 2**bits, 1), dtypes.int32, x.device)
    before = Array.new((rows, blocks * 2**bits + 1, 1), dtypes.int64, x.device)
    turns = _in_turns(x.dtype.itemsize * 8 // bits, output)
    keys = _in_turns(len(turns), Array.new(x.shape, x.dtype, x.device)) if places else turns
    origin = output
    size = (blocks * items, rows)
    for number, (sorted_keys, target) in enumerate(zip(keys, turns, strict=True)):
        head = (length, each, number * bits, _turn(x.dtype, descending), x.buffer, x.offset)
        histogram(size, *head, counts.buffer, local_size=(items, 1))
        scan("cumulative_sum", counts, before, True)
        more = (int(number == 0), origin.buffer, target.buffer) if places else ()
        scatter(size, *head, before.buffer, sorted_keys.buffer, *more, local_size=(items, 1))
        x, origin = sorted_keys, target


def _in_turns(count: int, last: Array) -> list[Array]:
    """`count` arrays to write to, one after the other, of which the last one is `last`: two taking turns."""
    other = Array.new(last.shape, last.dtype, last.device) if count > 1 else last
    return [last if (count - number) % 2 else other for number in range(count)]


def _sort_rows(x: Array, descending: bool, places: bool) -> Array:
    output = Array.new(x.shape, dtypes.int64 if places else x.dtype, x.device)
    if x.shape[1] <= _RANKED[x.device.kind == "cpu"]:
        _rank(x, output, places, descending)
    else:
        _radix(x, output, places, descending)
    return output


def _through_rows(x: Array, axis: int, sort: Callable[[Array], Array]) -> Array:
    """Sort along any axis with a function that sorts the rows of a contiguous matrix, none of them empty."""
    order = (*(each for each in range(x.ndim) if each != axis), axis)
    turned = permute_dims(x, order)
    rows = contiguous(turned).reshape((-1, x.shape[axis]))
    return permute_dims(sort(rows).reshape(turned.shape), sorted(range(x.ndim), key=lambda each: order[each]))


def _sort_opencl(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    if x.size == 0:
        return copy(x)
    if is_reachable(x):
        return _through_rows(x, axis, lambda rows: _sort_on_host(rows, descending, stable))
    if x.device.kind == "cpu":
        return through_host(_sort)(x, axis=axis, descending=descending, stable=stable)
    return _through_rows(x, axis, lambda rows: _sort_rows(rows, descending, places=False))


def _argsort_opencl(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    if x.size == 0:
        return Array.new(x.shape, dtypes.int64, x.device)
    return _through_rows(x, axis, lambda rows: _sort_rows(rows, descending, places=True))


def _sort_on_host(x: Array, descending: bool, stable: bool) -> Array:
    """NumPy's sort in the device's own memory: on a CPU nothing of ours is quicker."""
    output = Array.new(x.shape, x.dtype, x.device)
    target, source = host_view(output), host_view(x)
    assert target is not None
    assert source is not None

    def sort() -> None:
        x.device.synchronize()
        _sort_into(target, source, descending, stable)

    x.device.queue.run(sort, [x.buffer, output.buffer])
    return output


_SORT = primitive("sort", numpy=_sort, opencl=_sort_opencl)
_ARGSORT = primitive("argsort", numpy=_argsort, opencl=_argsort_opencl)


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The elements in order along an axis, NaN counting as largest.

    `stable` keeps −0 and +0 in the order they had. On a CPU, NumPy sorts in the device's own memory:
    nothing of ours is quicker than its vector instructions.
    """
    return _SORT(x, axis=_sorted_axis("sort", x, axis), descending=descending, stable=stable)


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The places (int64) along an axis whose elements are in order, NaN counting as largest.

    Equal elements keep their order, in a descending one too, even without `stable`.
    """
    return _ARGSORT(x, axis=_sorted_axis("argsort", x, axis), descending=descending, stable=stable)


def _sorted_axis(where: str, x: Array, axis: int) -> int:
    return one_axis(where, axis, x.shape)
