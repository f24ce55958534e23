"""The operands of a product c = a · b of stacks of matrices of any layout; launching kernels/gemm_cpu.cl."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.device import Device, OpenCLDevice
from tensor.kernel import built
from tensor.preset import Preset

TILE_ROWS, TILE_COLUMNS = 6, 16  # cpu_tile.h with two vectors a row
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


def prepare_small(device: Device, sizes: Product, a: Matrices, b: Matrices) -> Preset:
    """One launch, which packs as it goes. Called with the arrays c, a and b."""
    panels, rows = ceil_div(sizes.N, TILE_COLUMNS), 384  # each block of rows packs B anew
    while rows > 12 and panels * ceil_div(sizes.M, rows) * sizes.count < 4 * device.compute_units:
        rows //= 2
    rows = even_block(sizes.M, rows, TILE_ROWS)
    return Preset(
        built(device, "gemm_cpu.cl", "gemm_small"),
        (panels, ceil_div(sizes.M, rows), sizes.count),
        (1, 1, 1),
        (*a.strides, *b.strides, sizes.M, sizes.N, sizes.K, rows),
    )


@dataclass(frozen=True)
class PackedTile:
    """The tile of cpu_tile.h that packed products use: two vectors of `lanes` a row."""

    rows: int
    columns: int
    lanes: int


TILE, WIDE_TILE = PackedTile(TILE_ROWS, TILE_COLUMNS, 8), PackedTile(12, 32, 16)


@lru_cache(maxsize=64)
def packed_tile(device: Device) -> PackedTile:
    """The one for the vectors that a device's compiler uses: WIDE_TILE for those of AVX-512."""
    if not isinstance(device, OpenCLDevice) or device.raw.native_vector_width_float < WIDE_TILE.lanes:
        return TILE
    import pyopencl

    answer = numpy.zeros(1, numpy.int32)
    buffer = pyopencl.Buffer(device.context, pyopencl.mem_flags.READ_WRITE, answer.nbytes)
    ready = built(device, "avx512.cl", "has_avx512").bound([buffer])
    # Past our queue, since it may be recording.
    pyopencl.enqueue_nd_range_kernel(device.queue.raw, ready, (1,), (1,))
    pyopencl.enqueue_copy(device.queue.raw, answer, buffer, is_blocking=True)
    return WIDE_TILE if answer[0] else TILE


def launch_packed(
    device: Device,
    sizes: Product,
    a: Matrices,
    b: Matrices,
    c: Any,
    c_offset: int,
    tile: PackedTile | None = None,
) -> None:
    """c[count, M, N] = a · b, row-major from `c_offset` on, in three launches; no size is zero.

    The tile is the one for the device's vectors, unless it is given.
    """
    M, N, K = sizes.M, sizes.N, sizes.K
    tile = tile or packed_tile(device)
    row_panels, column_panels = ceil_div(M, tile.rows), ceil_div(N, tile.columns)
    packed_a = scratch(device, sizes.count * row_panels * tile.rows * K)
    packed_b = scratch(device, sizes.count * column_panels * tile.columns * K)
    defines = {"TILE_LANES": tile.lanes} if tile is WIDE_TILE else {}  # else the program of gemm_small
    pack_a, pack_b, blocks = (
        built(device, "gemm_cpu.cl", name, defines) for name in ("gemm_pack_a", "gemm_pack_b", "gemm_blocks")
    )
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


def packed_blocks(sizes: Product, units: int, tile: PackedTile) -> tuple[int, int, int]:
    """mc, nc, kc: mc × kc of A fit the second cache, a panel of B the first, and all units have work."""
    rows, columns, depth = 192, 256, even_block(sizes.K, 384, 1)
    while rows * columns > 48 * 64:
        if ceil_div(sizes.M, rows) * ceil_div(sizes.N, columns) * sizes.count >= 4 * units:
            break
        rows, columns = (rows // 2, columns) if rows * 2 > columns else (rows, columns // 2)
    return even_block(sizes.M, rows, tile.rows), even_block(sizes.N, columns, tile.columns), depth
