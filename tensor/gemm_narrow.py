"""Launching kernels/gemm_narrow.cl: c = a · b on CPUs where c has few columns or few rows."""

from dataclasses import dataclass

from tensor import cpu_vectors
from tensor.device import Device
from tensor.gemm import Matrices, Product, ceil_div
from tensor.kernel import built
from tensor.preset import Preset

# Up to how many columns or rows it pays (docs/log.md): of more, tiles of 16 waste less.
_MOST_ACROSS, _MOST_ALONG, _MOST_ALONG_TURNED = 12, 10, 12
_AT_ONCE = 8  # columns in a tile at most, as in the kernel
# Vectors of the wide side in a tile, for 1, 2, … columns, by their lanes: what 16 registers of AVX2 hold; for
# AVX-512 no more sums than have their lanes added up at once.
_ROWS = {cpu_vectors.LANES: (8, 6, 4, 3, 2, 2, 1, 1), cpu_vectors.WIDE_LANES: (8, 8, 5, 4, 3, 2, 2, 2)}
_WORK = 2**19  # multiplications that take as long as a second thread of PoCL takes to begin (docs/log.md)


@dataclass(frozen=True)
class _Sides:
    """The product as the kernel has it: out[length, few] = wide[length, depth] · narrow[depth, few]."""

    turned: bool  # whether the narrow matrix is the left one
    length: int
    few: int
    depth: int
    out: tuple[int, int]  # elements along the length, and along the few
    wide: tuple[int, int, int]  # … along the stack, the length, the depth
    narrow: tuple[int, int, int]  # … along the stack, the depth, the few


def _sides(sizes: Product, a: Matrices, b: Matrices) -> _Sides:
    M, N, K = sizes.M, sizes.N, sizes.K
    if N <= M:
        return _Sides(False, M, N, K, (N, 1), a.strides, b.strides)
    return _Sides(True, N, M, K, (1, N), (b.stack, b.columns, b.rows), (a.stack, a.columns, a.rows))


def prepare(device: Device, sizes: Product, a: Matrices, b: Matrices) -> Preset | None:
    """The launch, called with the arrays c, a and b; None where the general form is no slower."""
    lanes = cpu_vectors.lanes(device)
    return prepare_for(lanes, device, sizes, a, b) or (
        prepare_for(cpu_vectors.LANES, device, sizes, a, b) if lanes > cpu_vectors.LANES else None
    )


def prepare_for(lanes: int, device: Device, sizes: Product, a: Matrices, b: Matrices) -> Preset | None:
    """With vectors of so many lanes; None too where the product is too small for them."""
    sides = _sides(sizes, a, b)
    columns = ceil_div(sides.few, ceil_div(sides.few, _AT_ONCE))
    rows = _ROWS[lanes][columns - 1]
    if _pays_along(sides, lanes):
        name, tile = "narrow_along", rows
    elif sides.wide[1] == 1 and sides.length >= lanes * rows and sides.few <= _MOST_ACROSS:
        name, tile = "narrow_across", lanes * rows
    else:
        return None
    wanted = min(4 * device.compute_units, sizes.size * sizes.K // _WORK)
    blocks = max(1, min(ceil_div(wanted, sizes.count), ceil_div(sides.length, tile)))
    each = ceil_div(ceil_div(sides.length, tile), blocks) * tile
    defines = {"COLUMNS": columns, "ROWS": rows, "TURNED": int(sides.turned), **cpu_vectors.defines(lanes)}
    return Preset(
        built(device, "gemm_narrow.cl", name, defines),
        (ceil_div(sides.length, each), sizes.count),
        (1, 1),
        (
            sides.length * sides.few,
            *sides.out,
            *sides.wide,
            *sides.narrow,
            sides.length,
            sides.depth,
            sides.few,
            each,
        ),
    )


def _pays_along(sides: _Sides, lanes: int) -> bool:
    """Whether vectors along k pay: adding up their lanes has to be small beside the products."""
    most = _MOST_ALONG_TURNED if sides.turned else _MOST_ALONG
    return sides.wide[2] == 1 and sides.few <= most and sides.depth >= max(lanes, 4 * sides.few)
