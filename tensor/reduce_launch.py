"""Launching kernels/reduction_*.cl: which axes are kept, which reduced, and into how many chunks the work is
cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from tensor import dtypes
from tensor.array import Array
from tensor.device import Device
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.errors import ShapeError
from tensor.kernel import built
from tensor.layout import (
    MAX_AXES,
    WALKS,
    Shape,
    collapse,
    is_wide,
    pack_axes,
    power_of_two,
)
from tensor.preset import Preset

_CPU_WIDTH = 1024  # outputs side by side in the kernel `columns`: WIDTH there
_CPU_WORK = 16384  # elements below which another work-item costs more than it saves
_GPU_ITEMS = 256  # in a group
_GPU_GROUPS_PER_UNIT = 8

Defines = dict[str, str | int]


@dataclass(frozen=True)
class Part:
    """The kept or the reduced axes, joined where they lie together."""

    sizes: Shape
    strides: Shape

    @property
    def count(self) -> int:
        return prod(self.sizes)

    def arguments(self, wide: bool) -> tuple[object, ...]:
        return pack_axes(self.sizes, wide), pack_axes(self.strides, wide), len(self.sizes), self.count


@dataclass(frozen=True)
class ReducePlan:
    """Kernel, sizes and numbers of a reduction; `chunks` more than one asks for a second launch over them."""

    kernel: str
    defines: tuple[tuple[str, str | int], ...]
    chunks: int
    global_size: Shape
    local_size: Shape
    numbers: tuple[object, ...]


def part(shape: Shape, strides: Shape, axes: Sequence[int]) -> Part:
    """The part of an array that these axes make up."""
    sizes, (steps,) = collapse(tuple(shape[a] for a in axes), (tuple(strides[a] for a in axes),))
    if len(sizes) > MAX_AXES:
        raise ShapeError(f"A reduction over strides {strides} has too many axes; use x.copy() first.")
    return Part(tuple(sizes), tuple(steps))


def split_parts(shape: Shape, strides: Shape, axis: Shape, in_order: bool = False) -> tuple[Part, Part]:
    """The kept and the reduced part; the order of the reduced axes is kept only if it matters."""
    kept = tuple(a for a in range(len(shape)) if a not in axis)
    reduced = axis if in_order else sorted(axis, key=lambda a: -abs(strides[a]))
    return part(shape, strides, kept), part(shape, strides, reduced)


def _plan(device: Device, kept: Part, reduced: Part, prefix: str) -> ReducePlan:
    """The plan for kernels that are named with this prefix."""
    wide = is_wide(kept.sizes, kept.strides) or is_wide(reduced.sizes, reduced.strides)
    numbers = (*kept.arguments(wide), *reduced.arguments(wide))
    side_by_side = kept.strides[-1] == 1 and kept.sizes[-1] > 1 and reduced.strides[-1] != 1
    cut = _cpu_plan if device.kind == "cpu" else _gpu_plan
    return cut(device.compute_units, kept, reduced, prefix, side_by_side, WALKS[wide], numbers)


def _cpu_plan(
    units: int, kept: Part, reduced: Part, prefix: str, side_by_side: bool, defines: Any, numbers: Any
) -> ReducePlan:
    if side_by_side:
        each = min(kept.sizes[-1], _CPU_WIDTH)
        items = -(-kept.sizes[-1] // each) * prod(kept.sizes[:-1])
    else:
        each = max(1, _CPU_WORK // max(reduced.count, 1))
        items = -(-kept.count // each)
    work = reduced.count * (each if side_by_side else 1)
    wanted = min(-(-4 * units // items), -(-work // _CPU_WORK)) if items < 4 * units else 1
    chunk, chunks = _cut(reduced.count, wanted)
    name = prefix + ("columns" if side_by_side else "rows")
    return ReducePlan(name, defines, chunks, (items, chunks), (1, 1), (chunk, each, *numbers))


def _gpu_plan(
    units: int, kept: Part, reduced: Part, prefix: str, side_by_side: bool, defines: Any, numbers: Any
) -> ReducePlan:
    # Neighbouring work-items should read neighbouring elements: along the kept or along the reduced axes.
    if side_by_side:
        wide = min(32, power_of_two(kept.sizes[-1]))
        high = _GPU_ITEMS // wide
    else:
        high = min(_GPU_ITEMS, power_of_two(-(-reduced.sizes[-1] // 4)))
        wide = _GPU_ITEMS // high
    groups, most = -(-kept.count // wide), _GPU_GROUPS_PER_UNIT * units
    wanted = min(-(-most // groups), -(-reduced.count // (16 * high))) if groups < most else 1
    chunk, chunks = _cut(reduced.count, wanted)
    local = (wide, high) if side_by_side else (high, wide)
    sizes = (groups * local[0], chunks * local[1])
    defines = (*defines, ("ALONG", int(not side_by_side)), ("GROUP", _GPU_ITEMS))
    return ReducePlan(f"{prefix}groups", defines, chunks, sizes, local, (chunk, *numbers))


def _cut(count: int, wanted: int) -> tuple[int, int]:
    """Length and number of chunks: about `wanted`, none of them empty (one, if there is nothing to cut).

    Chunks begin at multiples of 16 elements, so that one that is aligned for vectors makes all so."""
    chunk = max(1, -(-count // max(wanted, 1)))
    chunk = -(-chunk // 16) * 16 if wanted > 1 else chunk
    return chunk, max(1, -(-count // chunk))


def _file(device: Device) -> str:
    return "reduction_cpu.cl" if device.kind == "cpu" else "reduction_gpu.cl"


def reduce(
    x: Array,
    axis: Shape,
    output: Array,
    combine: str,
    identity: str,
    divide_by: float = 0,
    centre: Array | None = None,
) -> None:
    """output = COMBINE over the axes of x; `divide_by` divides the result (0: no division).

    With `centre`, contiguous and one element for each of the output, of the squared distances from it.
    """
    if output.size:
        launches = _reduction(
            output.device,
            x.shape,
            x.strides,
            x.dtype,
            axis,
            output.dtype,
            combine,
            identity,
            divide_by,
            centre is not None,
        )
        source = (x,) if centre is None else (x, centre)
        for i, (chunks, launch) in enumerate(launches):
            last = i == len(launches) - 1
            target = output if last else Array.new((chunks, output.size), output.dtype, output.device)
            launch(target, *source)
            source = (target,)


@lru_cache(maxsize=4096)
def _reduction(
    device: Device,
    shape: Shape,
    strides: Shape,
    source: DType,
    axis: Shape,
    target: DType,
    combine: str,
    identity: str,
    divide_by: float,
    centred: bool,
) -> list[tuple[int, Preset]]:
    """The launches of a reduction, each with the number of chunks that it leaves."""
    plan = _plan(device, *split_parts(shape, strides, axis), "")
    divides = plan.chunks == 1 and divide_by != 0
    defines: Defines = {
        "T_IN": OPENCL_NAMES[source],
        "T_ACC": OPENCL_NAMES[target],
        "COMBINE(p,q)": combine,
        "IDENTITY": identity,
        "FINISH": "/ divisor" if divides else "",
        "CENTRED": int(centred),
        **dict(plan.defines),
    }
    kernel = built(device, _file(device), plan.kernel, defines)
    first = Preset(kernel, plan.global_size, plan.local_size, (*plan.numbers, divide_by))
    if plan.chunks == 1:
        return [(1, first)]
    kept = prod(n for a, n in enumerate(shape) if a not in axis)
    rest = _reduction(
        device, (plan.chunks, kept), (kept, 1), target, (0,), target, combine, identity, divide_by, False
    )
    return [(plan.chunks, first), *rest]


# Whether p is chosen over q. NaN is.
BETTER = {
    "max": "((p) > (q) || ((p) != (p) && (q) == (q)))",
    "min": "((p) < (q) || ((p) != (p) && (q) == (q)))",
}


def choose(x: Array, axis: Shape, output: Array, which: str) -> None:
    """output (int64) = index within the reduced axes of the first element that is the "max" or the "min"."""
    if output.size:
        first, second, chunks = _choice(output.device, x.shape, x.strides, x.dtype, axis, which)
        if second is None:
            first(output, x)
        else:
            chosen = Array.new((chunks, output.size), dtypes.int64, output.device)
            first(chosen, x)
            second(output, x, chosen)


@lru_cache(maxsize=4096)
def _choice(
    device: Device, shape: Shape, strides: Shape, dtype: DType, axis: Shape, which: str
) -> tuple[Preset, Preset | None, int]:
    """The launch for each chunk, the one that chooses among chunks if there are several, and how many."""
    kept, reduced = split_parts(shape, strides, axis, in_order=True)
    plan = _plan(device, kept, reduced, "arg_")
    defines: Defines = {
        "T_IN": OPENCL_NAMES[dtype],
        "BETTER(p,q)": BETTER[which],
        "CENTRED": 0,
        **dict(plan.defines),
    }
    kernel = built(device, _file(device), plan.kernel, defines)
    first = Preset(kernel, plan.global_size, plan.local_size, plan.numbers)
    if plan.chunks == 1:
        return first, None, 1
    kernel = built(device, _file(device), "arg_chunks", defines)
    if device.kind == "cpu":
        each = max(1, _CPU_WORK // plan.chunks)
        numbers = (plan.chunks, each, *plan.numbers[2:])  # without `chunk` and its own `each`
        return first, Preset(kernel, (-(-kept.count // each),), (1,), numbers), plan.chunks
    items = -(-kept.count // _GPU_ITEMS) * _GPU_ITEMS
    return first, Preset(kernel, (items,), (_GPU_ITEMS,), (plan.chunks, *plan.numbers[1:])), plan.chunks
