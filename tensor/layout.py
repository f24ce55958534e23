"""Shapes and strides: broadcasting, joining axes that lie together, and how a kernel walks over them.

Everything here is a pure function of small tuples and cached, so that an eager operation pays for it once
per shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import prod
from struct import pack

from tensor.errors import ShapeError

Shape = tuple[int, ...]

MAX_AXES = 8  # that cannot be joined; what an int8 argument holds
CPU_ELEMENTS_EACH = 8192  # per work-item: about 2 µs of work against 0.1 µs to begin a work-group
GPU_GROUP = 256
GPU_GROUPS_PER_UNIT = 32
TILE = 32  # rows and columns that a transposition takes at a time; as in kernels/elementwise_cpu.cl
GPU_TILE_ITEMS = 256
NARROW_ROW = 1024  # elements below which 31 that are not computed side by side would show
SMALLEST_TILE = 8  # fewer are not worth one


@lru_cache(maxsize=4096)
def broadcast_shape(where: str, *shapes: Shape) -> Shape:
    """The common shape by the rules of NumPy; raises ShapeError that names the operation and the shapes."""
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        others = {size for size in sizes if size != 1}
        if len(others) > 1:
            raise ShapeError(
                f"{where}: shapes {' and '.join(map(str, shapes))} cannot be broadcast together."
            )
        result.append(others.pop() if others else 1)
    return tuple(result)


@lru_cache(maxsize=4096)
def broadcast_strides(shape: Shape, strides: Shape, target: Shape) -> Shape:
    """Strides that make an array of `shape` look like one of the `target` shape: 0 along repeated axes."""
    missing = len(target) - len(shape)
    repeated = (0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
    return (0,) * missing + tuple(repeated)


@lru_cache(maxsize=4096)
def are_apart(shape: Shape, strides: Shape) -> bool:
    """Whether no two elements lie in one place; False also for some that interleave."""
    reach = 0  # how far the axes with smaller steps go
    for step, size in sorted(
        (abs(step), size) for step, size in zip(strides, shape, strict=True) if size > 1
    ):
        if step <= reach:
            return False
        reach += step * (size - 1)
    return True


def collapse(shape: Shape, operands: tuple[Shape, ...]) -> tuple[list[int], list[list[int]]]:
    """Join neighbouring axes that every operand walks as one, and drop axes of size 1; at least one axis
    remains."""
    sizes: list[int] = []
    joined: list[list[int]] = [[] for _ in operands]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        steps = [strides[axis] for strides in operands]
        if sizes and all(rows[-1] == step * size for rows, step in zip(joined, steps, strict=True)):
            sizes[-1] *= size
            for rows, step in zip(joined, steps, strict=True):
                rows[-1] = step
        else:
            sizes.append(size)
            for rows, step in zip(joined, steps, strict=True):
                rows.append(step)
    if not sizes:
        return [1], [[0] for _ in operands]
    return sizes, joined


@dataclass(frozen=True)
class Plan:
    """How an elementwise kernel walks: which kernel, what it is built with, its sizes, and all arguments but
    the memory."""

    kernel: str
    defines: tuple[tuple[str, str | int], ...]
    global_size: Shape
    local_size: Shape
    numbers: tuple[object, ...]


@lru_cache(maxsize=4096)
def elementwise_plan(units: int, lanes: int, shape: Shape, *operands: Shape) -> Plan:
    """The plan for strides `operands` (the output's first) over a common shape.

    `units` is 0 on a CPU; `lanes` elements make one load on a GPU.
    """
    sizes, strides = collapse(*_in_order_of(operands[0], shape, operands))
    if (
        len(sizes) == 1
        and all(each[0] in (0, 1) for each in strides)
        and (strides[0][0] == 1 or sizes == [1])
    ):
        return _contiguous_plan(units, lanes, sizes[0], tuple(each[0] for each in strides))
    if len(sizes) > MAX_AXES:
        raise ShapeError(
            f"A layout with {len(sizes)} axes that cannot be joined ({tuple(sizes)}); at most {MAX_AXES} "
            "can be walked. Use x.copy() on the operands first."
        )
    turned = _turned_axis(sizes, strides)
    if turned is not None:
        for each in (sizes, *strides):
            each.insert(len(sizes) - 2, each.pop(turned))
        return _tiled_plan(units, lanes, sizes, strides)
    return _strided_plan(units, lanes, sizes, strides)


def _in_order_of(
    strides: Shape, shape: Shape, operands: tuple[Shape, ...]
) -> tuple[Shape, tuple[Shape, ...]]:
    """The same elements with their axes in descending order of `strides`: which comes first does not
    matter."""
    order = sorted(range(len(shape)), key=lambda axis: -abs(strides[axis]))
    return tuple(shape[a] for a in order), tuple(tuple(each[a] for a in order) for each in operands)


def _turned_axis(sizes: list[int], strides: list[list[int]]) -> int | None:
    """The axis along which some input is dense, if that is not the last one, along which the output is."""
    if strides[0][-1] != 1 or sizes[-1] < SMALLEST_TILE:
        return None
    for each in strides[1:]:
        if each[-1] not in (0, 1) and 1 in each and sizes[each.index(1)] >= SMALLEST_TILE:
            return each.index(1)
    return None


def _contiguous_plan(units: int, lanes: int, count: int, steps: Shape) -> Plan:
    numbers = (count, CPU_ELEMENTS_EACH) if units == 0 else (count,)
    sizes = item_sizes(units, count if units == 0 else -(-count // lanes))
    return Plan("contiguous", (("LANES", lanes), *WALKS[False]), *sizes, (*numbers, *steps[1:]))


def item_sizes(units: int, count: int) -> tuple[Shape, Shape]:
    """Sizes of a launch over `count` independent elements: striding on a GPU, blocks on a CPU."""
    if units == 0:
        return (-(-count // CPU_ELEMENTS_EACH),), (1,)
    groups = min(-(-count // GPU_GROUP), units * GPU_GROUPS_PER_UNIT)
    return (groups * GPU_GROUP,), (GPU_GROUP,)


def _strided_plan(units: int, lanes: int, sizes: list[int], strides: list[list[int]]) -> Plan:
    rows, columns = prod(sizes[:-1]), sizes[-1]
    axes = [pack_axes(each, is_wide(sizes, *strides)) for each in (sizes, *strides)]
    defines = _defines(lanes, sizes, strides)
    if units == 0:
        each_column = min(columns, CPU_ELEMENTS_EACH)
        each_row = max(1, CPU_ELEMENTS_EACH // each_column)
        blocks = (-(-columns // each_column), -(-rows // each_row))
        numbers = (*axes[0], len(sizes), rows, each_row, each_column, *chain(*axes[1:]))
        narrow = (("NARROW", 1),) if columns < NARROW_ROW else ()
        return Plan("strided", (*defines, *narrow), blocks, (1, 1), numbers)
    width = min(GPU_GROUP, power_of_two(-(-columns // lanes)))
    height = GPU_GROUP // width
    across = min(-(-columns // (lanes * width)), units * GPU_GROUPS_PER_UNIT)
    # Several rows an item at once, if their operands fit in registers and enough groups are left.
    at_once = 4 if len(strides) <= 4 else 1
    enough, most = (-(-each * units // across) for each in (4, GPU_GROUPS_PER_UNIT))
    down = min(-(-rows // height), max(-(-rows // (height * at_once)), enough), most)
    sizes_ = (across * width, down * height), (width, height)
    defines = (*defines, ("NDIM", len(sizes)), ("ROWS", at_once))
    return Plan("strided", defines, *sizes_, (*axes[0], rows, *chain(*axes[1:])))


def _tiled_plan(units: int, lanes: int, sizes: list[int], strides: list[list[int]]) -> Plan:
    *outer, rows, columns = sizes
    axes = [pack_axes(each, is_wide(sizes, *strides)) for each in (sizes, *strides)]
    defines = _defines(lanes, sizes, strides)
    if units == 0:
        # Of float32 half a page of each line that is turned, and whole cache lines of the output.
        each_row, each_column = 16 * TILE, TILE
        blocks = (-(-columns // each_column), -(-rows // each_row), prod(outer))
        numbers = (*axes[0], len(sizes), each_row, each_column, *chain(*axes[1:]))
        return Plan("tiled", defines, blocks, (1, 1, 1), numbers)
    turned = [each[-1] != 1 and each[-2] == 1 for each in strides[1:]]
    # Larger tiles are longer pieces of memory; those of all turned inputs have to fit in local memory.
    tile = 2 * TILE if lanes == 4 and sum(turned) == 1 and min(rows, columns) > TILE else TILE
    groups, deep = -(-columns // tile) * -(-rows // tile) * prod(outer), GPU_TILE_ITEMS // tile
    names = ((f"TURNED_{letter}", int(each)) for letter, each in zip("ABCDEFGH", turned, strict=False))
    defines = (*defines, ("NDIM", len(sizes)), ("TILE", tile), *names)
    return Plan("tiled", defines, (groups * tile, deep), (tile, deep), tuple(chain(*axes)))


# 64-bit division is several times slower on GPUs, and strides of longs take twice the registers: both are
# used only where the numbers need them.
WALKS: dict[bool, tuple[tuple[str, str | int], ...]] = {
    False: (("WIDE", 0), ("INDEX", "uint")),
    True: (("WIDE", 1), ("INDEX", "ulong")),
}


def _defines(lanes: int, sizes: list[int], strides: list[list[int]]) -> tuple[tuple[str, str | int], ...]:
    return (("LANES", lanes), *WALKS[is_wide(sizes, *strides)])


def is_wide(sizes: Sequence[int], *strides: Sequence[int]) -> bool:
    """Whether a count, a size or a stride needs more than 32 bits."""
    return prod(sizes) >= 2**31 or any(abs(step) >= 2**31 for each in strides for step in each)


def power_of_two(least: int) -> int:
    """The smallest power of two that is not below `least`."""
    return 1 << max(least - 1, 0).bit_length()


def pack_axes(values: Sequence[int], wide: bool = False) -> tuple[bytes, ...]:
    """Up to eight integers as the bytes of an OpenCL int8 argument, or of two of long4."""
    padded = (*values, *(0,) * (MAX_AXES - len(values)))
    return (pack("4q", *padded[:4]), pack("4q", *padded[4:])) if wide else (pack("8i", *padded),)
