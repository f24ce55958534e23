"""Launching kernels/reduction_*.cl: which axes are kept, which reduced, and into how many chunks the work is
cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

from tensor import dtypes
from tensor.array import Array, Layout, layout_like
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
from tensor.preset import Preset, Producer

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
        return *pack_axes(self.sizes, wide), *pack_axes(self.strides, wide), len(self.sizes), self.count


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


@dataclass(frozen=True, eq=False)  # one object for each, by which launches are found
class Reduction:
    """What is done to the elements: COMBINE and its IDENTITY in OpenCL C, and the dtype of the result.

    `divide_by` divides the result (0: no division). `centred`: squared distances from a second array, which
    has one element for each of the result, instead of the elements.
    """

    combine: str
    identity: str
    dtype: DType
    divide_by: float = 0
    centred: bool = False


@lru_cache(maxsize=8192)
def reducers(x: Layout, axis: Shape, keepdims: bool, what: Reduction) -> tuple[Producer, ...]:
    """The launches of a reduction of an array of layout x, each for the result of the one before."""
    output = layout_like(x, reduced_shape(x.shape, axis, keepdims), what.dtype)
    if 0 in output.shape:
        return (Producer(output, None),)
    plan = _plan(x.device, *split_parts(x.shape, x.strides, axis), "")
    defines: Defines = {
        "T_IN": OPENCL_NAMES[x.dtype],
        "T_ACC": OPENCL_NAMES[what.dtype],
        "COMBINE(p,q)": what.combine,
        "IDENTITY": what.identity,
        "FINISH": "/ divisor" if plan.chunks == 1 and what.divide_by else "",
        "CENTRED": int(what.centred),
        **dict(plan.defines),
    }
    kernel = built(x.device, _file(x.device), plan.kernel, defines)
    first = Preset(kernel, plan.global_size, plan.local_size, (*plan.numbers, what.divide_by))
    if plan.chunks == 1:
        return (Producer(output, first),)
    # The chunks' results lie one after another, each in the shape of the output.
    chunks = layout_like(x, (plan.chunks, *output.shape), what.dtype)
    rest = reducers(chunks, (0,), False, replace(what, centred=False) if what.centred else what)
    return (Producer(chunks, first), *rest)


def reduced_shape(shape: Shape, axis: Shape, keepdims: bool) -> Shape:
    """The shape that is left when `axis` is reduced."""
    return tuple(1 if a in axis else n for a, n in enumerate(shape) if keepdims or a not in axis)


# Whether p is chosen over q. NaN is.
BETTER = {
    "max": "((p) > (q) || ((p) != (p) && (q) == (q)))",
    "min": "((p) < (q) || ((p) != (p) && (q) == (q)))",
}


def choose(x: Array, axis: Shape, keepdims: bool, which: str) -> Array:
    """The index (int64) within the reduced axes of the first element that is the "max" or the "min"."""
    first, second = _choosers(x.layout, axis, keepdims, which)
    chosen = first(x)
    return chosen if second is None else second(x, chosen)


@lru_cache(maxsize=8192)
def _choosers(x: Layout, axis: Shape, keepdims: bool, which: str) -> tuple[Producer, Producer | None]:
    """The launch for each chunk, and the one that chooses among chunks if there are several."""
    device, output = x.device, layout_like(x, reduced_shape(x.shape, axis, keepdims), dtypes.int64)
    if 0 in output.shape:
        return Producer(output, None), None
    kept, reduced = split_parts(x.shape, x.strides, axis, in_order=True)
    plan = _plan(device, kept, reduced, "arg_")
    defines: Defines = {
        "T_IN": OPENCL_NAMES[x.dtype],
        "BETTER(p,q)": BETTER[which],
        "CENTRED": 0,
        **dict(plan.defines),
    }
    kernel = built(device, _file(device), plan.kernel, defines)
    first = Preset(kernel, plan.global_size, plan.local_size, plan.numbers)
    if plan.chunks == 1:
        return Producer(output, first), None
    chunks = Producer(layout_like(x, (plan.chunks, *output.shape), dtypes.int64), first)
    kernel = built(device, _file(device), "arg_chunks", defines)
    if device.kind == "cpu":
        each = max(1, _CPU_WORK // plan.chunks)
        numbers = (plan.chunks, each, *plan.numbers[2:])  # without `chunk` and its own `each`
        return chunks, Producer(output, Preset(kernel, (-(-kept.count // each),), (1,), numbers))
    items = -(-kept.count // _GPU_ITEMS) * _GPU_ITEMS
    second = Preset(kernel, (items,), (_GPU_ITEMS,), (plan.chunks, *plan.numbers[1:]))
    return chunks, Producer(output, second)
