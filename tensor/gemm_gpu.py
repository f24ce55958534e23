"""Launching kernels/gemm_gpu.cl: c = a · b on GPUs, for stacks of matrices of any layout."""

from collections.abc import Sequence

from tensor import gpu_tile
from tensor.array import Array
from tensor.device import Device
from tensor.gemm import Matrices, Product, scratch
from tensor.gpu_tile import Plan
from tensor.kernel import built
from tensor.preset import Exchanged, InTurn, Launch, Preset
from tensor.reduce_launch import weighted_sum

INTS = 2**31  # offsets inside a tile are ints below it
MOST_GROUPS = 65_535  # along the second axis of the range, on NVIDIA
TILES = (*gpu_tile.TILES, *gpu_tile.SLICED)


def prepare(device: Device, sizes: Product, a: Matrices, b: Matrices) -> Launch:
    """What computes c[count, M, N] = a · b, row-major; no size is zero.

    Called with the arrays c, a and b. Their memory is not needed yet, but their offsets are as far from
    multiples of four as those of the arrays will be.
    """
    by_vector = _by_vector(device, sizes, a, b)
    if by_vector is not None:
        return by_vector
    at_once = min(sizes.count, MOST_GROUPS)
    tiles = TILES if gpu_tile.asynchronous(device) else gpu_tile.TILES
    plan = gpu_tile.plan(device.compute_units, sizes.M, sizes.N, sizes.K, at_once, tiles)
    if plan.parts * at_once > MOST_GROUPS:
        at_once = max(1, MOST_GROUPS // plan.parts)
    steps = []
    for first in range(0, sizes.count, at_once):
        product = Product(min(at_once, sizes.count - first), sizes.M, sizes.N, sizes.K)
        offsets = (first * sizes.M * sizes.N, first * a.stack, first * b.stack)
        steps.append((_prepared(device, product, a, b, plan), offsets))
    return steps[0][0] if len(steps) == 1 else InTurn(steps)


def _by_vector(device: Device, sizes: Product, a: Matrices, b: Matrices) -> Launch | None:
    """A matrix by a vector is a reduction, bound by memory; None if it is not that, or not in one launch."""
    if device.kind == "cpu" or sizes.count > 1 or min(sizes.M, sizes.N) > 1:
        return None
    if sizes.N == 1:
        return weighted_sum(device, (sizes.M, a.rows), (sizes.K, a.columns), b.rows)
    launch = weighted_sum(device, (sizes.N, b.columns), (sizes.K, b.rows), a.columns)
    return None if launch is None else Exchanged(launch)


def _prepared(device: Device, sizes: Product, a: Matrices, b: Matrices, plan: Plan) -> Launch:
    defines = {**plan.tile.defines(), **_form(device, plan, sizes, a, b)}
    product = Preset(
        built(device, "gemm_gpu.cl", "gemm", defines),
        (plan.groups(sizes.M, sizes.N) * plan.tile.items, sizes.count * plan.parts),
        (plan.tile.items, 1),
        (*a.strides, *b.strides, sizes.M, sizes.N, sizes.K, sizes.count, plan.depth),
    )
    if plan.parts == 1:
        return product
    gemm_sum = built(device, "gemm_gpu.cl", "gemm_sum", defines)
    return _InParts(
        device,
        product,
        Preset(gemm_sum, (sizes.size,), None, (plan.parts, sizes.size)),
        plan.parts * sizes.size,
    )


class _InParts:
    """A product whose sum over k is cut in parts, and the launch that adds them."""

    def __init__(self, device: Device, product: Preset, adding: Preset, size: int) -> None:
        self._device, self._product, self._adding, self._size = device, product, adding, size

    def __call__(self, *arrays: Array) -> None:
        c, a, b = arrays
        parts = scratch(self._device, self._size)
        self._product(parts, a, b)
        self._adding(c, parts)

    def enqueue(self, arrays: Sequence[Array]) -> None:
        self(*arrays)


def _form(device: Device, plan: Plan, sizes: Product, a: Matrices, b: Matrices) -> dict[str, str | int]:
    moves = gpu_tile.asynchronous(device)
    form: dict[str, str | int] = {"ASYNC": moves}
    for side, matrices, across, along, size in (
        ("LEFT", a, a.rows, a.columns, sizes.M),
        ("RIGHT", b, b.columns, b.rows, sizes.N),
    ):
        along_k = abs(along) < abs(across) or along == across == 1
        aligned = not any(each % 4 for each in (matrices.offset, matrices.stack, along, size))
        wide = moves and across == 1 and not along_k and aligned
        form |= {f"{side}_ALONG_K": int(along_k), f"{side}_WIDTH": 4 if wide else 1}
    if max(abs(a.rows) * plan.tile.rows, abs(b.columns) * plan.tile.columns) >= INTS:
        form["WIDE"] = 1
    return form
