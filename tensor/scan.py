"""Running sums and products along one axis."""

from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.axes import one_axis
from tensor.conversion import astype
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.kernel import built
from tensor.primitive import Primitive, primitive
from tensor.views import contiguous

_COMBINE = {"cumulative_sum": ("((p) + (q))", "0"), "cumulative_prod": ("((p) * (q))", "1")}
_WIDTH = 64  # lines side by side in the kernel `blocks`
_CPU_CHUNK = 32768  # elements below which two launches more cost more than they save
_GROUP = 256


@dataclass(frozen=True)
class ScanPlan:
    """The kernel, its sizes, and how the axis is cut; more than one chunk asks for a scan of their totals."""

    kernel: str
    items: int  # of the first axis of the launch
    local_size: Shape
    chunk: int
    chunks: int
    each: int


@lru_cache(maxsize=4096)
def _plan(is_cpu: bool, units: int, outer: int, length: int, inner: int) -> ScanPlan:
    if is_cpu:
        width, lines = min(inner, _WIDTH), outer * -(-inner // _WIDTH)
        each = max(1, _CPU_CHUNK // (width * length))
        items = -(-lines // each)
        return ScanPlan("blocks", items, (1, 1), *_cut(length, 4 * units, items, _CPU_CHUNK // width), each)
    lines = outer * inner
    if inner >= 32 or length < _GROUP:
        items = -(-lines // 64) * 64
        return ScanPlan("items", items, (64, 1), *_cut(length, 512 * units, items, 32), 1)
    return ScanPlan("groups", lines * _GROUP, (_GROUP, 1), *_cut(length, 8 * units, lines, 4096), 1)


def _cut(length: int, wanted: int, lines: int, shortest: int) -> tuple[int, int]:
    """Length and number of chunks, so that `wanted` pieces of work arise but none is shorter than
    `shortest`."""
    chunks = max(1, min(wanted // lines, length // shortest))
    chunk = -(-length // chunks)
    return chunk, -(-length // chunk)


def scan(name: str, x: Array, output: Array, initial: bool) -> None:
    """output [outer, length (+ 1), inner] = the running sum or product of contiguous x [outer, length,
    inner]."""
    outer, length, inner = x.shape
    device = x.device
    plan = _plan(device.kind == "cpu", device.compute_units, outer, length, inner)
    if plan.chunks == 1:
        _launch(name, plan, x, output, initial)
        return
    totals = Array.new((outer, plan.chunks, inner), output.dtype, device)
    carries = Array.new((outer, plan.chunks + 1, inner), output.dtype, device)
    _launch(name, plan, x, totals, totals_only=True)
    scan(name, totals, carries, True)
    _launch(name, plan, x, output, initial, carries)


def _launch(
    name: str,
    plan: ScanPlan,
    x: Array,
    output: Array,
    initial: bool = False,
    carries: Array | None = None,
    totals_only: bool = False,
) -> None:
    combine, identity = _COMBINE[name]
    defines: dict[str, str | int] = {
        "T_IN": OPENCL_NAMES[x.dtype],
        "T_ACC": OPENCL_NAMES[output.dtype],
        "COMBINE(p, q)": combine,
        "IDENTITY": identity,
        "TOTALS": int(totals_only),
    }
    kernel = built(x.device, "scan.cl", plan.kernel, defines)
    before = output if carries is None else carries
    arguments = (*x.shape, plan.chunk, plan.each, x.buffer, x.offset, output.buffer, int(initial))
    size = (plan.items, plan.chunks)
    kernel(size, *arguments, before.buffer, int(carries is not None), local_size=plan.local_size)


def scanned_dtype(dtype: DType) -> DType:
    """Integers and bool accumulate in int64, unsigned ones in uint64; other dtypes keep theirs."""
    if dtype.kind == "u":
        return dtypes.uint64
    return dtypes.int64 if dtype.kind in "bi" else dtype


def _run(name: str, x: Array, axis: int, dtype: DType, include_initial: bool) -> Array:
    shape = (*x.shape[:axis], x.shape[axis] + include_initial, *x.shape[axis + 1 :])
    output = Array.new(shape, dtype, x.device)
    if x.size == 0:
        output[...] = int(_COMBINE[name][1])
        return output
    sizes = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    scan(name, contiguous(x).reshape(sizes), output, include_initial)
    return output


_CUMULATIVE_SUM = primitive(
    "cumulative_sum", numpy=numpy.cumulative_sum, opencl=partial(_run, "cumulative_sum")
)
_CUMULATIVE_PROD = primitive(
    "cumulative_prod", numpy=numpy.cumulative_prod, opencl=partial(_run, "cumulative_prod")
)


def _cumulative(apply: Primitive, x: Array, axis: int | None, dtype: Any, include_initial: bool) -> Array:
    place = one_axis(apply.name, axis, x.shape)
    target = scanned_dtype(x.dtype) if dtype is None else dtypes.as_dtype(dtype)
    values = x if dtype is None else astype(x, target, copy=False)
    return apply(values, axis=place, dtype=target, include_initial=include_initial)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Sums of the elements up to each place along an axis, which only a vector may leave out.

    Integers and bool are summed in int64 or uint64, others in their own dtype, unless `dtype` says otherwise.
    With `include_initial` the axis is one longer and begins with 0. Same bits for the same shape and device.
    """
    return _cumulative(_CUMULATIVE_SUM, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Products of the elements up to each place along an axis; as `cumulative_sum`, beginning with 1."""
    return _cumulative(_CUMULATIVE_PROD, x, axis, dtype, include_initial)
