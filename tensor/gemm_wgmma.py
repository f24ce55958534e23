"""Launching kernels/gemm_wgmma.cl: the matrix product in tf32 on the tensor cores of NVIDIA's Hopper."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from tensor.array import Array
from tensor.device import Device
from tensor.gemm import Matrices, Product, ceil_div, scratch
from tensor.gemm_gpu import MOST_GROUPS
from tensor.kernel import built
from tensor.preset import Launch, Preset

LEAST_SIZE = 96  # of M and N: below it most of a tile would be empty
LEAST_WORK = 256**3  # multiply-adds below which the plain kernel is as fast (docs/log.md)
LARGEST_STRIDE = 2**22  # elements: offsets inside a tile are ints
PACK_ROWS, PACK_K, PACK_ITEMS = 128, 32, (32, 8)  # what a group of `pack` moves, and with how many


@dataclass(frozen=True)
class Tile:
    """What a work-group computes: `warpgroups` · 64 rows × `columns`, with so many tiles in local memory."""

    warpgroups: int
    columns: int
    stages: int
    rate: float  # of the largest tile's

    @property
    def rows(self) -> int:
        """Rows of the result."""
        return 64 * self.warpgroups

    @property
    def items(self) -> int:
        """Work-items of a group."""
        return 128 * self.warpgroups

    def groups(self, sizes: Product) -> int:
        """Groups that one product of the stack takes."""
        return ceil_div(sizes.M, self.rows) * ceil_div(sizes.N, self.columns)

    def time(self, sizes: Product, units: int) -> float:
        """Of all products, in multiply-adds of one unit at its best; k is the same for all tiles."""
        return ceil_div(self.groups(sizes) * sizes.count, units) * self.rows * self.columns / self.rate


# The first one is the fastest where it leaves no units idle.
TILES = (
    Tile(2, 256, 4, 1.0),
    Tile(3, 192, 4, 0.94),
    Tile(2, 192, 5, 0.9),
    Tile(2, 128, 6, 0.75),
    Tile(1, 128, 6, 0.55),
)


def suits(sizes: Product, a: Matrices, b: Matrices) -> bool:
    """Whether this kernel can compute the product, and faster than the one for float32."""
    strides = (a.rows, a.columns, b.rows, b.columns)
    return (
        min(sizes.M, sizes.N) >= LEAST_SIZE
        and sizes.M * sizes.N * sizes.K >= LEAST_WORK
        and all(0 <= each <= LARGEST_STRIDE for each in strides)
        and sizes.count <= MOST_GROUPS
    )


def prepare(device: Device, sizes: Product, a: Matrices, b: Matrices, tile: Tile | None = None) -> Launch:
    """What computes c[count, M, N] = a · b, row-major, called with c, a and b; the sizes suit.

    Offsets in `a` and `b` are as far from multiples of four as those of the arrays will be. The right side
    must lie along k; a product whose left side does instead is computed transposed. The tile is the one that
    should be quickest, unless it is given.
    """
    left, right = Side(a, a.rows, a.columns, sizes.M), Side(b, b.columns, b.rows, sizes.N)
    transposed = left.lies_along(sizes.K) and not right.lies_along(sizes.K)
    if transposed:
        left, right = right, left
    product = Product(sizes.count, left.size, right.size, sizes.K)
    right_packing = None if right.lies_along(sizes.K) else Packing(device, right, product)
    packs_left = not left.lies_along(sizes.K) and not left.lies_across()
    left_packing = Packing(device, left, product) if packs_left else None
    left = left if left_packing is None else left_packing.packed
    right = right if right_packing is None else right_packing.packed
    if tile is None:
        tile = min(TILES, key=lambda each: each.time(product, device.compute_units))
    defines = {
        **_defines(tile),
        "LEFT_ALONG_K": int(left.along == 1),
        **({"TRANSPOSED": 1} if transposed else {}),
    }
    launch = Preset(
        built(device, "gemm_wgmma.cl", "gemm", defines),
        (tile.groups(product) * tile.items, sizes.count),
        (tile.items, 1),
        (
            *(left.matrices.stack, left.across, left.along),
            *(right.matrices.stack, right.along, right.across),
            *(product.M, product.N, product.K),
        ),
    )
    if not transposed and left_packing is None and right_packing is None:
        return launch
    return _Turned(launch, transposed, (left_packing, right_packing))


class _Turned:
    """A product whose sides are exchanged or packed first."""

    def __init__(
        self, product: Preset, transposed: bool, packings: "tuple[Packing | None, Packing | None]"
    ) -> None:
        self._product, self._transposed, self._packings = product, transposed, packings

    def __call__(self, *arrays: Array) -> None:
        c, *sides = arrays
        sides = sides[::-1] if self._transposed else sides
        packed = [
            side if packing is None else packing(side)
            for side, packing in zip(sides, self._packings, strict=True)
        ]
        self._product(c, *packed)

    def enqueue(self, arrays: Sequence[Array]) -> None:
        self(*arrays)


@dataclass(frozen=True)
class Side:
    """One operand: `size` rows (or columns), `across` elements apart, and k, `along` elements apart."""

    matrices: Matrices
    across: int
    along: int
    size: int

    def lies_along(self, depth: int) -> bool:
        """Whether four neighbours along k can be moved at once."""
        return self.along == 1 and self._aligned(self.across, depth)

    def lies_across(self) -> bool:
        """Whether four neighbours of one k can be moved at once."""
        return self.across == 1 and self._aligned(self.along, self.size)

    def _aligned(self, *others: int) -> bool:
        return not any(each % 4 for each in (self.matrices.offset, self.matrices.stack, *others))


class Packing:
    """Makes of an operand the same one rounded to tf32, k innermost and aligned to 16 bytes: `packed`."""

    def __init__(self, device: Device, side: Side, sizes: Product) -> None:
        matrices, pitch = side.matrices, ceil_div(sizes.K, 4) * 4
        count = sizes.count if matrices.stack else 1
        stack = side.size * pitch if count > 1 else 0
        self.packed = Side(Matrices(None, 0, stack, pitch, 1), pitch, 1, side.size)
        self._device, self._size = device, count * side.size * pitch
        self._launch = Preset(
            built(device, "gemm_wgmma.cl", "pack", {}),
            (
                ceil_div(side.size, PACK_ROWS) * PACK_ITEMS[0],
                ceil_div(pitch, PACK_K) * PACK_ITEMS[1],
                count,
            ),
            (*PACK_ITEMS, 1),
            (matrices.stack, side.across, side.along, side.size, sizes.K, pitch),
        )

    def __call__(self, side: Array) -> Array:
        packed = scratch(self._device, self._size)
        self._launch(packed, side)
        return packed


@cache
def _defines(tile: Tile) -> dict[str, str | int]:
    return {
        "WARPGROUPS": tile.warpgroups,
        "BN": tile.columns,
        "STAGES": tile.stages,
        "MULTIPLY(d, a, i, b)": _multiply(tile.columns),
    }


def _multiply(columns: int) -> str:
    """The statement for d[64, columns] += a[64, 8] · b[8, columns]: a in a[i] and on, b described."""
    count = columns // 2
    sums = ", ".join(f"%{i}" for i in range(count))
    outputs = ", ".join(f'"+f"((d)[{i}])' for i in range(count))
    left = ", ".join(f"%{count + i}" for i in range(4))
    inputs = ", ".join(f'"r"((a)[(i) + {i}])' for i in range(4))
    instruction = (
        f"//@@ wgmma.mma_async.sync.aligned.m64n{columns}k8.f32.tf32.tf32 "
        f"{{{sums}}}, {{{left}}}, %{count + 4}, 1, 1, 1;"
    )
    return f'asm volatile("{instruction}" : {outputs} : {inputs}, "l"(b) : "memory")'
