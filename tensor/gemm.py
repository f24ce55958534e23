"""The operands of a product c = a · b of stacks of matrices of any layout; launching kernels/gemm_cpu.cl."""

from dataclasses import dataclass
from typing import Any

from tensor import dtypes
from tensor.array import Array
from tensor.cpu_tile import Tile, tile_for
from tensor.device import Device
from tensor.kernel import built
from tensor.preset import Preset

SMALL = 512**3  # up to here one launch that packs as it goes is as fast as three (docs/log.md)


@dataclass(frozen=True)
class Matrices:
    """A stack of matrices in one buffer; all strides and the offset count elements."""

    buffer: Any
    offset: int
    stack: int
    rows: int
    columns: int

    def arguments(self) -> tuple[Any, int, int, int, int]:
        """As every kernel here takes an operand."""
        return self.buffer, self.offset, self.stack, self.rows, self.columns

    @property
    def strides(self) -> tuple[int, int, int]:
        """Elements from one matrix to the next, from row to row, from column to column."""
        return self.stack, self.rows, self.columns


@dataclass(frozen=True)
class Product:
    """The sizes of `count` products [M, K] · [K, N]."""

    count: int
    M: int
    N: int
    K: int

    @property
    def size(self) -> int:
        """Elements of all results."""
        return self.count * self.M * self.N


def is_small(sizes: Product) -> bool:
    """Whether one launch is as fast as three."""
    return sizes.M * sizes.N * sizes.K <= SMALL or sizes.M <= 96


def ceil_div(value: int, step: int) -> int:
    """How many steps cover `value`."""
    return -(-value // step)


def even_block(size: int, largest: int, multiple: int) -> int:
    """The multiple of `multiple` that cuts `size` into as few blocks as `largest` does, all nearly equal."""
    blocks = ceil_div(size, largest)
    return ceil_div(ceil_div(size, blocks), multiple) * multiple


def scratch(device: Device, size: int) -> Array:
    """Uninitialised float32 memory for the next launches; the pool has it back when they are enqueued."""
    return Array.new((size,), dtypes.float32, device)


def prepare_small(
    device: Device, sizes: Product, a: Matrices, b: Matrices, tile: Tile | None = None
) -> Preset:
    """One launch, which packs as it goes. Called with the arrays c, a and b.

    The tile is the one for the device and the sizes, unless it is given.
    """
    tile = tile or tile_for(device, sizes.N)
    panels, rows = ceil_div(sizes.N, tile.columns), 384  # each block of rows packs B anew
    while rows > 12 and panels * ceil_div(sizes.M, rows) * sizes.count < 4 * device.compute_units:
        rows //= 2
    rows = even_block(sizes.M, rows, tile.rows)
    return Preset(
        built(device, "gemm_cpu.cl", "gemm_small", tile.defines),
        (panels, ceil_div(sizes.M, rows), sizes.count),
        (1, 1, 1),
        (*a.strides, *b.strides, sizes.M, sizes.N, sizes.K, rows),
    )


def launch_packed(
    device: Device,
    sizes: Product,
    a: Matrices,
    b: Matrices,
    c: Any,
    c_offset: int,
    tile: Tile | None = None,
) -> None:
    """c[count, M, N] = a · b, row-major from `c_offset` on, in three launches; no size is zero.

    The tile is the one for the device and the sizes, unless it is given.
    """
    M, N, K = sizes.M, sizes.N, sizes.K
    tile = tile or tile_for(device, sizes.N)
    row_panels, column_panels = ceil_div(M, tile.rows), ceil_div(N, tile.columns)
    packed_a = scratch(device, sizes.count * row_panels * tile.rows * K)
    packed_b = scratch(device, sizes.count * column_panels * tile.columns * K)
    kernels = ("gemm_pack_a", "gemm_pack_b", "gemm_blocks")
    pack_a, pack_b, blocks = (built(device, "gemm_cpu.cl", name, tile.defines) for name in kernels)
    pack_a((row_panels, sizes.count), *a.arguments(), M, K, packed_a.buffer, local_size=(1, 1))
    pack_b((column_panels, sizes.count), *b.arguments(), N, K, packed_b.buffer, local_size=(1, 1))
    rows, columns, depth = packed_blocks(sizes, device.compute_units, tile)
    groups = (ceil_div(N, columns), ceil_div(M, rows), sizes.count)
    blocks(
        groups,
        packed_a.buffer,
        packed_b.buffer,
        c,
        c_offset,
        M,
        N,
        K,
        rows,
        columns,
        depth,
        local_size=(1, 1, 1),
    )


def packed_blocks(sizes: Product, units: int, tile: Tile) -> tuple[int, int, int]:
    """mc, nc, kc: mc × kc of A fit the second cache, a panel of B the first, and all units have work."""
    rows, columns, depth = 192, 256, even_block(sizes.K, 384, 1)
    while rows * columns > 48 * 64:
        if ceil_div(sizes.M, rows) * ceil_div(sizes.N, columns) * sizes.count >= 4 * units:
            break
        rows, columns = (rows // 2, columns) if rows * 2 > columns else (rows, columns // 2)
    return even_block(sizes.M, rows, tile.rows), even_block(sizes.N, columns, tile.columns), depth
