"""How kernels walk over what a key picks: the axes in front, the entries of the table, the axes behind."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from tensor.array import Array, Shape
from tensor.device import Device
from tensor.layout import CPU_ELEMENTS_EACH, collapse, item_sizes
from tensor.places import Packed, pack_longs


def other_axes(ndim: int, axes: Shape) -> Shape:
    """The axes that are not picked."""
    return tuple(axis for axis in range(ndim) if axis not in axes)


def split(x: Array, axes: Shape, at: int) -> tuple[tuple[Shape, Shape], tuple[Shape, Shape]]:
    """Sizes and strides of the axes that are not picked, in front of `at` and behind."""
    others = other_axes(x.ndim, axes)
    sizes, strides = tuple(x.shape[a] for a in others), tuple(x.strides[a] for a in others)
    return (sizes[:at], strides[:at]), (sizes[at:], strides[at:])


@dataclass(frozen=True)
class Walk:
    """The joined sizes, which of them is the table's, and the strides of each side, packed for a kernel."""

    sizes: Shape
    table_axis: int
    strides: tuple[Packed, ...]

    @cached_property
    def index(self) -> str:
        """The OpenCL type that counts the elements."""
        return "uint" if prod(self.sizes) < 2**31 else "ulong"

    @cached_property
    def _blocks(self) -> tuple[int, int, int, int]:
        """Rows and columns, and of each how many a work-item of a CPU takes."""
        rows, columns = prod(self.sizes[:-1]), self.sizes[-1]
        each_column = min(columns, CPU_ELEMENTS_EACH)
        return rows, columns, max(1, CPU_ELEMENTS_EACH // each_column), each_column

    @cached_property
    def head(self) -> tuple[object, ...]:
        """The first arguments of the kernels gather and scatter."""
        rows, _, each_row, each_column = self._blocks
        return (*pack_longs(self.sizes), len(self.sizes), self.table_axis, rows, each_row, each_column)

    def launch_sizes(self, device: Device) -> tuple[Shape, Shape]:
        """Global and local size: blocks of rows and columns on a CPU, any on a GPU."""
        if device.kind != "cpu":
            return item_sizes(device.compute_units, prod(self.sizes))
        rows, columns, each_row, each_column = self._blocks
        return (-(-columns // each_column), -(-rows // each_row)), (1, 1)


@lru_cache(maxsize=4096)
def walk(
    before: Shape, count: int, after: Shape, *sides: tuple[Shape, int, Shape], has_fast_axis: bool = False
) -> Walk:
    """Over axes of sizes `before`, then the table's `count` entries, then axes of sizes `after`.

    Each side has its strides along those three; that along a table is given as 0. With `has_fast_axis` the
    last axis is not the table's, if it be one of size 1.
    """
    first, first_steps = _joined(before, [side[0] for side in sides])
    last, last_steps = _joined(after, [side[2] for side in sides])
    if has_fast_axis and not last:
        last, last_steps = [1], [[1] for _ in sides]
    strides = (
        pack_longs([*front, side[1], *back])
        for front, side, back in zip(first_steps, sides, last_steps, strict=True)
    )
    return Walk((*first, count, *last), len(first), tuple(strides))


def _joined(sizes: Shape, strides: list[Shape]) -> tuple[list[int], list[list[int]]]:
    """As `collapse`, but possibly no axes at all."""
    return ([], [[] for _ in strides]) if prod(sizes) == 1 else collapse(sizes, tuple(strides))


def picked_walk(
    x: Array, values: Array, axes: Shape, at: int, along: int, count: int, has_fast_axis: bool = False
) -> Walk:
    """Over what `axes` of x are picked, and values in the shape of that, `along` the step of one entry."""
    before, after = split(x, axes, at)
    behind = values.ndim - len(after[0])
    sides = (before[1], 0, after[1]), (values.strides[:at], along, values.strides[behind:])
    return walk(before[0], count, after[0], *sides, has_fast_axis=has_fast_axis)
