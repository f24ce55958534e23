"""Shapes and strides: broadcasting, joining axes that lie together, and how a kernel walks over them.

Everything here is a pure function of small tuples and cached, so that an eager operation pays for it once
per shape.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from struct import pack

from tensor.errors import ShapeError

Shape = tuple[int, ...]

MAX_AXES = 8  # that cannot be joined; what an int8 argument holds
CPU_ELEMENTS_EACH = 8192  # per work-item: about 2 µs of work against 0.1 µs to begin a work-group
GPU_GROUP = 256
GPU_GROUPS_PER_UNIT = 16


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
    """How an elementwise kernel walks: which of the two kernels, its sizes, the arguments that are not
    buffers."""

    contiguous: bool
    index: str
    global_size: Shape
    local_size: Shape
    head: tuple[object, ...]  # arguments before the operands
    layouts: tuple[object, ...]  # one per operand, the output first: a step or packed strides


@lru_cache(maxsize=4096)
def elementwise_plan(units: int, shape: Shape, *operands: Shape) -> Plan:
    """The plan for strides `operands` (the output's first) over a common shape; `units` is 0 on a CPU."""
    sizes, strides = collapse(shape, operands)
    if len(sizes) == 1 and strides[0][0] in (0, 1) and all(each[0] in (0, 1) for each in strides):
        return _contiguous_plan(units, sizes[0], tuple(each[0] for each in strides))
    return _strided_plan(units, sizes, strides)


def _contiguous_plan(units: int, count: int, steps: Shape) -> Plan:
    global_size, local_size = item_sizes(units, count)
    return Plan(True, "ulong", global_size, local_size, (count, CPU_ELEMENTS_EACH), steps)


def item_sizes(units: int, count: int) -> tuple[Shape, Shape]:
    """Sizes of a launch over `count` independent elements: striding on a GPU, blocks on a CPU."""
    if units == 0:
        return (-(-count // CPU_ELEMENTS_EACH),), (1,)
    groups = min(-(-count // GPU_GROUP), units * GPU_GROUPS_PER_UNIT)
    return (groups * GPU_GROUP,), (GPU_GROUP,)


def _strided_plan(units: int, sizes: list[int], strides: list[list[int]]) -> Plan:
    if len(sizes) > MAX_AXES:
        raise ShapeError(
            f"A layout with {len(sizes)} axes that cannot be joined ({tuple(sizes)}); at most {MAX_AXES} "
            "can be walked. Use x.copy() on the operands first."
        )
    rows, columns = prod(sizes[:-1]), sizes[-1]
    each_column = min(columns, CPU_ELEMENTS_EACH)
    each_row = max(1, CPU_ELEMENTS_EACH // each_column)
    if units == 0:
        global_size: Shape = (-(-columns // each_column), -(-rows // each_row))
        local_size: Shape = (1, 1)
    else:
        global_size, local_size = item_sizes(units, rows * columns)
    # 64-bit division is several times slower on GPUs, so it is used only where the count needs it.
    index = "uint" if rows * columns < 2**31 else "ulong"
    head = (pack_axes(sizes), len(sizes), rows, each_row, each_column)
    return Plan(False, index, global_size, local_size, head, tuple(pack_axes(each) for each in strides))


def pack_axes(values: list[int] | Shape) -> bytes:
    """Up to eight integers as the bytes of an OpenCL int8 argument."""
    return pack("8i", *values, *(0,) * (MAX_AXES - len(values)))
