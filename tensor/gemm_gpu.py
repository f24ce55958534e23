"""Launching kernels/gemm_gpu.cl: c = a · b on GPUs, for stacks of matrices of any layout."""

from typing import Any

from tensor import gpu_tile
from tensor.device import Device
from tensor.gemm import Matrices, Product, scratch
from tensor.gpu_tile import Plan
from tensor.kernel import built

INTS = 2**31  # offsets inside a tile are ints below it
MOST_GROUPS = 65_535  # along the second axis of the range, on NVIDIA


def launch(device: Device, sizes: Product, a: Matrices, b: Matrices, c: Any, c_offset: int) -> None:
    """c[count, M, N] = a · b, row-major from `c_offset` on; no size is zero."""
    at_once = min(sizes.count, MOST_GROUPS)
    plan = gpu_tile.plan(device.compute_units, sizes.M, sizes.N, sizes.K, at_once)
    if plan.parts * at_once > MOST_GROUPS:
        at_once = max(1, MOST_GROUPS // plan.parts)
    for first in range(0, sizes.count, at_once):
        product = Product(min(at_once, sizes.count - first), sizes.M, sizes.N, sizes.K)
        to = c_offset + first * sizes.M * sizes.N
        _launch(device, product, a.from_stack(first), b.from_stack(first), c, to, plan)


def _launch(
    device: Device,
    sizes: Product,
    a: Matrices,
    b: Matrices,
    c: Any,
    c_offset: int,
    plan: Plan,
) -> None:
    defines = {**plan.tile.defines(), **_form(device, plan, sizes, a, b)}
    size = sizes.count * sizes.M * sizes.N
    parts = scratch(device, plan.parts * size) if plan.parts > 1 else None
    built(device, "gemm_gpu.cl", "gemm", defines)(
        (plan.groups(sizes.M, sizes.N) * plan.tile.items, sizes.count * plan.parts),
        *(*a.arguments(), *b.arguments()),
        *((c, c_offset) if parts is None else (parts.buffer, 0)),
        *(sizes.M, sizes.N, sizes.K, sizes.count, plan.depth),
        local_size=(plan.tile.items, 1),
    )
    if parts is not None:
        gemm_sum = built(device, "gemm_gpu.cl", "gemm_sum", defines)
        gemm_sum((size,), parts.buffer, c, c_offset, plan.parts, size)


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
