"""Launching kernels/matmul_any.cl: c = a · b for stacks of matrices of any real dtype and layout."""

from typing import Any

from tensor import dtypes
from tensor.device import Device
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.gemm import Matrices, Product, ceil_div
from tensor.kernel import built

_BLOCK, _SIDE = 64, 16  # of the kernel for GPUs
_VECTOR_BYTES = 32


def launch(
    device: Device, sizes: Product, a: Matrices, b: Matrices, c: Any, c_offset: int, *, dtype: DType
) -> None:
    """c[count, M, N] = a · b in `dtype`, row-major from `c_offset` on; no size is zero."""
    total = _sum_dtype(dtype)
    name, width = OPENCL_NAMES[total], _VECTOR_BYTES // total.itemsize
    defines: dict[str, str | int] = {
        "T": OPENCL_NAMES[dtype],
        "SUM": name,
        "SUMS": f"{name}{width}",
        "WIDTH": width,
    }
    kernel = built(device, "matmul_any.cl", "matmul_any", defines)
    if device.kind == "cpu":
        rows = _rows_each(device, sizes, 2 * width)
        groups = (ceil_div(sizes.N, 2 * width), ceil_div(sizes.M, rows), sizes.count)
        local_size = (1, 1, 1)
    else:
        rows = _BLOCK
        groups = (ceil_div(sizes.N, _BLOCK) * _SIDE, ceil_div(sizes.M, _BLOCK) * _SIDE, sizes.count)
        local_size = (_SIDE, _SIDE, 1)
    sides = (*a.arguments(), *b.arguments())
    kernel(groups, *sides, c, c_offset, sizes.M, sizes.N, sizes.K, rows, local_size=local_size)


def _sum_dtype(dtype: DType) -> DType:
    """What products are added up in: integers in unsigned ones of 32 or 64 bits, whose last bits are those
    of `dtype`."""
    if dtype.kind == "f":
        return dtype
    return dtypes.uint64 if dtype.itemsize == 8 else dtypes.uint32


def _rows_each(device: Device, sizes: Product, columns: int) -> int:
    """The rows that one group makes: many, since each group packs its columns, if all cores have work."""
    rows, panels = 256, ceil_div(sizes.N, columns) * sizes.count
    while rows > 16 and panels * ceil_div(sizes.M, rows) < 4 * device.compute_units:
        rows //= 2
    return rows
