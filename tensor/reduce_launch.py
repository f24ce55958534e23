"""Launching kernels/reduction.cl: which axes are kept, which reduced, and into how many chunks the work is
cut."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from tensor import dtypes
from tensor.array import Array
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.errors import ShapeError
from tensor.kernel import DeviceKernel, built, local_memory
from tensor.layout import MAX_AXES, Shape, collapse, pack_axes

_WIDTH = 64  # outputs side by side in the kernel `columns`
_CPU_CHUNK = 16384  # reduced elements below which a second launch costs more than it saves
_GPU_ITEMS = 256


@dataclass(frozen=True)
class Part:
    """The kept or the reduced axes, joined where they lie together."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.sizes)

    @property
    def arguments(self) -> tuple[object, ...]:
        return pack_axes(self.sizes), pack_axes(self.strides), len(self.sizes), self.count


@dataclass(frozen=True)
class ReducePlan:
    """Kernel, sizes and arguments of a reduction; `chunks` more than one asks for a second launch over
    them."""

    kernel: str
    kept: Part
    reduced: Part
    chunks: int
    global_size: Shape
    local_size: Shape
    numbers: tuple[int, ...]  # the arguments between the parts and x
    arguments: tuple[object, ...]


def part(shape: Shape, strides: Shape, axes: Shape) -> Part:
    """The part of an array that these axes make up."""
    sizes, (steps,) = collapse(tuple(shape[a] for a in axes), (tuple(strides[a] for a in axes),))
    if len(sizes) > MAX_AXES:
        raise ShapeError(f"A reduction over strides {strides} has too many axes; use x.copy() first.")
    return Part(tuple(sizes), tuple(steps))


@lru_cache(maxsize=4096)
def split_parts(shape: Shape, strides: Shape, axis: Shape) -> tuple[Part, Part]:
    """The kept and the reduced part."""
    kept = tuple(a for a in range(len(shape)) if a not in axis)
    return part(shape, strides, kept), part(shape, strides, axis)


@lru_cache(maxsize=4096)
def _plan(is_cpu: bool, units: int, kept: Part, reduced: Part) -> ReducePlan:
    return _cpu_plan(units, kept, reduced) if is_cpu else _gpu_plan(units, kept, reduced)


def _cpu_plan(units: int, kept: Part, reduced: Part) -> ReducePlan:
    side_by_side = kept.strides[-1] == 1 and kept.sizes[-1] >= 4 and reduced.strides[-1] != 1
    if side_by_side:
        kernel, each = "columns", 1
        items = -(-kept.sizes[-1] // _WIDTH) * prod(kept.sizes[:-1])
    else:
        kernel, each = "rows", max(1, _CPU_CHUNK // max(reduced.count, 1))
        items = -(-kept.count // each)
    work = reduced.count * (min(kept.sizes[-1], _WIDTH) if side_by_side else 1)
    wanted = min(-(-4 * units // items), -(-work // _CPU_CHUNK)) if items < 4 * units else 1
    chunk, chunks = _cut(reduced.count, wanted)
    arguments = (*kept.arguments, *reduced.arguments)
    return ReducePlan(kernel, kept, reduced, chunks, (items, chunks), (1, 1), (chunk, each), arguments)


def _gpu_plan(units: int, kept: Part, reduced: Part) -> ReducePlan:
    # Neighbouring work-items should read neighbouring elements: along the kept or along the reduced axes.
    wide = 32 if kept.strides[-1] == 1 and kept.sizes[-1] >= 8 and reduced.strides[-1] != 1 else 1
    high = 1
    while high * wide < _GPU_ITEMS and high < reduced.count:
        high *= 2
    groups = -(-kept.count // wide)
    wanted = min(-(-4 * units // groups), -(-reduced.count // (8 * high))) if groups < 4 * units else 1
    chunk, chunks = _cut(reduced.count, wanted)
    sizes = (groups * wide, chunks * high)
    arguments = (*kept.arguments, *reduced.arguments)
    return ReducePlan("groups", kept, reduced, chunks, sizes, (wide, high), (chunk,), arguments)


def _cut(count: int, wanted: int) -> tuple[int, int]:
    """Length and number of chunks: about `wanted`, none of them empty (one, if there is nothing to cut)."""
    chunk = max(1, -(-count // max(wanted, 1)))
    return chunk, max(1, -(-count // chunk))


def reduce(x: Array, axis: Shape, output: Array, combine: str, identity: str, divide_by: int = 0) -> None:
    """output = COMBINE over the axes of x; `divide_by` divides the result (0: no division)."""
    if output.size == 0:
        return
    device = output.device
    kept, reduced = split_parts(x.shape, x.strides, axis)
    plan = _plan(device.kind == "cpu", device.compute_units, kept, reduced)
    if plan.chunks == 1:
        _launch(plan, x, output, combine, identity, divide_by)
        return
    partial = Array.new((plan.chunks, kept.count), output.dtype, device)
    _launch(plan, x, partial, combine, identity, 0)
    reduce(partial, (0,), output, combine, identity, divide_by)


def _launch(plan: ReducePlan, x: Array, output: Array, combine: str, identity: str, divide_by: int) -> None:
    kernel = _reduce_kernel(output, plan.kernel, combine, identity, x.dtype, output.dtype, divide_by != 0)
    extra: tuple[Any, ...] = ()
    if plan.kernel == "groups":
        extra = (local_memory(prod(plan.local_size) * output.dtype.itemsize),)
    arguments = (*plan.arguments, *plan.numbers, x.buffer, x.offset, output.buffer, float(divide_by), *extra)
    kernel(plan.global_size, *arguments, local_size=plan.local_size)


_kernels: dict[Any, DeviceKernel] = {}


def _reduce_kernel(
    output: Array, name: str, combine: str, identity: str, source: DType, target: DType, divides: bool
) -> DeviceKernel:
    key = (output.device, name, combine, identity, source, target, divides)
    found = _kernels.get(key)
    if found is None:
        defines = {
            "T_IN": OPENCL_NAMES[source],
            "T_ACC": OPENCL_NAMES[target],
            "COMBINE(p,q)": combine,
            "IDENTITY": identity,
            "FINISH": "/ divisor" if divides else "",
        }
        found = _kernels[key] = built(output.device, "reduction.cl", name, defines)
    return found


def argmax(x: Array, axis: Shape, output: Array) -> None:
    """output (int64) = index of the first largest element within the reduced axes."""
    if output.size == 0:
        return
    device = output.device
    kept, reduced = split_parts(x.shape, x.strides, axis)
    kernel = built(device, "reduction.cl", "argmax", {"T_IN": OPENCL_NAMES[x.dtype]})
    arguments = [*kept.arguments, *reduced.arguments, x.buffer, x.offset, output.buffer]
    if device.kind == "cpu":
        kernel((kept.count,), *arguments, local_size=(1,))
        return
    items = 1
    while items < _GPU_ITEMS and items < reduced.count:
        items *= 2
    local = (local_memory(items * x.dtype.itemsize), local_memory(items * dtypes.int32.itemsize))
    kernel((kept.count * items,), *arguments, *local, local_size=(items,))
