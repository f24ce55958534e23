"""Launching kernels/reduction_*.cl: which axes are kept, which reduced, and into how many chunks the work is
cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Layout, layout_like, layout_of
from tensor.device import Device, OpenCLDevice
from tensor.dtypes import OPENCL_NAMES, DType
from tensor.errors import ShapeError
from tensor.kernel import DeviceKernel, built
from tensor.layout import (
    MAX_AXES,
    WALKS,
    Shape,
    collapse,
    is_wide,
    pack_axes,
    power_of_two,
)
from tensor.nvidia import compute_capability
from tensor.preset import Launch, Preset, Producer
from tensor.primitive import Prepared

_CPU_WIDTH = 8192  # outputs side by side in the kernel `columns`: WIDTH there
_CPU_WORK = 16384  # elements below which another work-item costs more than it saves
_GPU_ITEMS = 256  # in a group
# For each unit, of rows and of columns: fewer leave memory waiting, more do not fit and come second.
_GPU_ITEMS_PER_UNIT = {"": (1024, 1024), "arg_": (1280, 1024), "var_": (1024, 512)}
_COUNTERS = 4096  # blocks of outputs that can be finished by their last group
_GPU_NEIGHBOURS = 32  # items that read along the kept axes: memory likes long pieces

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
    """Kernel, sizes and numbers of a reduction; more than one of `chunks` asks for a second launch over them,
    unless the kernel `finishes`."""

    kernel: str
    defines: tuple[tuple[str, str | int], ...]
    chunks: int
    global_size: Shape
    local_size: Shape
    numbers: tuple[object, ...]
    finishes: bool = False  # the one launch reduces its chunks as well


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
    plan = cut(device.compute_units, kept, reduced, prefix, side_by_side, WALKS[wide], numbers)
    if device.kind == "cpu":
        return plan
    blocks = plan.global_size[0] // plan.local_size[0]
    finishes = plan.chunks > 1 and blocks <= _COUNTERS and _groups_see_writes(device)
    return replace(plan, defines=(*plan.defines, ("LAST_FINISHES", int(finishes))), finishes=finishes)


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
    steps = (*kept.sizes[-1:], *kept.strides[:-1], *reduced.strides)
    lanes = 4 if side_by_side and not any(each % 4 for each in steps) else 1
    outputs = -(-kept.count // lanes)
    per_unit = _GPU_ITEMS_PER_UNIT[prefix][side_by_side]
    run = reduced.sizes[-1]
    # Enough items to fill the device, each with several loads; fewer would leave memory waiting.
    high = _floor_power(min(_GPU_ITEMS, units * per_unit // outputs))
    if side_by_side:
        high = min(high, _GPU_ITEMS // min(_GPU_NEIGHBOURS, power_of_two(outputs)), _floor_power(run // 4))
    else:
        high = min(max(high, 8), _floor_power(run // 16))  # of a row at least 128 bytes at once
    wide = _GPU_ITEMS // high
    groups, most = -(-outputs // wide), units * per_unit // _GPU_ITEMS
    wanted = min(most // groups, -(-reduced.count // (16 * high))) if groups < most else 1
    chunk, chunks = _cut(reduced.count, wanted, 16 * high)
    local = (wide, high) if side_by_side else (high, wide)
    sizes = (groups * local[0], chunks * local[1])
    own = {
        "ALONG": int(not side_by_side),
        "LANES": lanes,
        "GROUP": _GPU_ITEMS,
        "KEPT_NDIM": len(kept.sizes),
        "REDUCED_NDIM": len(reduced.sizes),
    }
    return ReducePlan(f"{prefix}groups", (*defines, *own.items()), chunks, sizes, local, (chunk, *numbers))


def _groups_see_writes(device: Device) -> bool:
    """Whether a fence shows what a group has written to groups that look later. OpenCL 1.2 does not promise
    it; NVIDIA's instruction set does."""
    raw: Any = getattr(device, "raw", None)
    return compute_capability(raw) > (0, 0)


@lru_cache(maxsize=64)
def _counters(device: Device) -> Any:
    """A zero for each block of outputs, in which groups count who comes last; launches leave zeros behind."""
    import pyopencl

    assert isinstance(device, OpenCLDevice)
    flags = pyopencl.mem_flags.READ_WRITE | pyopencl.mem_flags.COPY_HOST_PTR
    return pyopencl.Buffer(device.context, flags, hostbuf=numpy.zeros(_COUNTERS, numpy.uint32))


class _LastFinishes:
    """A launch whose groups leave their chunks' results to the last one of them."""

    def __init__(self, preset: Preset, chunks: Layout) -> None:
        self._preset, self._chunks = preset, chunks

    def __call__(self, *arrays: Array) -> None:
        self._preset(*arrays, self._parts())

    def enqueue(self, arrays: Sequence[Array]) -> None:
        self._preset.enqueue((*arrays, self._parts()))

    def _parts(self) -> Array:
        return Array.new(self._chunks.shape, self._chunks.dtype, self._chunks.device)


def _launch(kernel: DeviceKernel, plan: ReducePlan, chunks: Layout, *numbers: object) -> Launch:
    """The launch over all chunks, whose results have the layout `chunks`."""
    sizes = plan.global_size, plan.local_size
    if not plan.finishes:
        return Preset(kernel, *sizes, (*plan.numbers, *numbers))
    return _LastFinishes(Preset(kernel, *sizes, (_counters(chunks.device), *plan.numbers, *numbers)), chunks)


def _floor_power(most: int) -> int:
    """The largest power of two that is not above `most`, at least 1."""
    return 1 << max(most, 1).bit_length() - 1


def _cut(count: int, wanted: int, whole: int = 16) -> tuple[int, int]:
    """Length and number of chunks: about `wanted`, none of them empty (one, if there is nothing to cut).

    Chunks begin at multiples of 16 elements, so that one that is aligned for vectors makes all so, and long
    ones at multiples of `whole`."""
    chunk = max(1, -(-count // max(wanted, 1)))
    if wanted > 1:
        multiple = whole if chunk >= 2 * whole else 16
        chunk = -(-chunk // multiple) * multiple
    return chunk, max(1, -(-count // chunk))


def _file(device: Device) -> str:
    return "reduction_cpu.cl" if device.kind == "cpu" else "reduction_gpu.cl"


@dataclass(frozen=True, eq=False)  # one object for each, by which launches are found
class Reduction:
    """What is done to the elements: COMBINE and its IDENTITY in OpenCL C, and the dtype of the result.

    `divide_by` divides the result (0: no division).
    """

    combine: str
    identity: str
    dtype: DType
    divide_by: float = 0


@lru_cache(maxsize=8192)
def reducer(x: Layout, axis: Shape, keepdims: bool, what: Reduction) -> Prepared:
    """The reduction of an array of layout x: one launch, or several, each for what the one before made."""
    output = layout_like(x, reduced_shape(x.shape, axis, keepdims), what.dtype)
    if 0 in output.shape:
        return Producer(output, None)
    plan = _plan(x.device, *split_parts(x.shape, x.strides, axis), "")
    defines: Defines = {
        "T_IN": OPENCL_NAMES[x.dtype],
        "T_ACC": OPENCL_NAMES[what.dtype],
        "COMBINE(p,q)": what.combine,
        "IDENTITY": what.identity,
        "FINISH": "/ divisor" if (plan.chunks == 1 or plan.finishes) and what.divide_by else "",
        **dict(plan.defines),
    }
    # The chunks' results lie one after another, each in the shape of the output.
    chunks = layout_like(x, (plan.chunks, *output.shape), what.dtype)
    kernel = built(x.device, _file(x.device), plan.kernel, defines)
    first = _launch(kernel, plan, chunks, what.divide_by)
    if plan.chunks == 1 or plan.finishes:
        return Producer(output, first)
    rest = reducer(chunks, (0,), False, what)
    of_chunks = Producer(chunks, first)
    return lambda *arrays: rest(of_chunks(*arrays))


@lru_cache(maxsize=8192)
def spread(x: Layout, axis: Shape, keepdims: bool, dtype: DType, divisor: float) -> Prepared:
    """The squared distances from the mean over axes, added up and divided.

    Each chunk leaves its mean and its sum of squares; a second launch, if it has to, merges them.
    """
    device, output = x.device, layout_like(x, reduced_shape(x.shape, axis, keepdims), dtype)
    if 0 in output.shape:
        return Producer(output, None)
    kept, reduced = split_parts(x.shape, x.strides, axis)
    plan = _plan(device, kept, reduced, "var_")
    defines: Defines = {"T_IN": OPENCL_NAMES[x.dtype], "T_ACC": OPENCL_NAMES[dtype], **dict(plan.defines)}
    file = "variance_cpu.cl" if device.kind == "cpu" else "variance_gpu.cl"
    of_chunks = layout_like(x, (2, plan.chunks, *output.shape), dtype)
    first = _launch(built(device, file, plan.kernel, defines), plan, of_chunks, divisor)
    if plan.chunks == 1 or plan.finishes:
        return Producer(output, first)
    each, items, group = _chunk_items(device, kept.count, plan.chunks)
    numbers = (plan.chunks, plan.numbers[0], each, kept.count, reduced.count, divisor)
    merged = Producer(output, Preset(built(device, file, "var_chunks", defines), items, group, numbers))
    parts = Producer(of_chunks, first)
    return lambda values: merged(parts(values))


def _chunk_items(device: Device, outputs: int, chunks: int) -> tuple[int, Shape, Shape]:
    """For a launch over what chunks have left: outputs of a work-item, global and local size."""
    if device.kind != "cpu":
        return 1, (-(-outputs // _GPU_ITEMS) * _GPU_ITEMS,), (_GPU_ITEMS,)
    each = max(1, _CPU_WORK // chunks)
    return each, (-(-outputs // each),), (1,)


def weighted_sum(
    device: Device, kept: tuple[int, int], reduced: tuple[int, int], weight_step: int
) -> Launch | None:
    """What sums products x[o, i] · w[i] over i, called with a vector out[o], x and w, all float32.

    `kept` and `reduced` are size and stride in x of o and of i; weights are `weight_step` apart. For GPUs;
    None if one launch does not suffice.
    """
    outputs, summed = (Part((size,), (stride,)) for size, stride in (kept, reduced))
    plan = _plan(device, outputs, summed, "")
    if plan.chunks > 1 and not plan.finishes:
        return None
    defines: Defines = {
        "T_IN": "float",
        "T_ACC": "float",
        "COMBINE(p,q)": "((p) + (q))",
        "IDENTITY": "0",
        "FINISH": "",
        "WEIGHTED": 1,
        **dict(plan.defines),
    }
    kernel = built(device, _file(device), plan.kernel, defines)
    chunks = layout_of(device, (plan.chunks, kept[0]), (kept[0], 1), dtypes.float32)
    return _launch(kernel, plan, chunks, 1.0, weight_step)


def reduced_shape(shape: Shape, axis: Shape, keepdims: bool) -> Shape:
    """The shape that is left when `axis` is reduced."""
    return tuple(1 if a in axis else n for a, n in enumerate(shape) if keepdims or a not in axis)


# Whether p is chosen over q. NaN is.
BETTER = {
    "max": "(!((p) <= (q)) && (q) == (q))",
    "min": "(!((p) >= (q)) && (q) == (q))",
}


@lru_cache(maxsize=8192)
def chooser(x: Layout, axis: Shape, keepdims: bool, which: str) -> Prepared:
    """The index (int64) within the reduced axes of the first element that is the "max" or the "min".

    If there are chunks, a second launch chooses among theirs.
    """
    device, output = x.device, layout_like(x, reduced_shape(x.shape, axis, keepdims), dtypes.int64)
    if 0 in output.shape:
        return Producer(output, None)
    kept, reduced = split_parts(x.shape, x.strides, axis, in_order=True)
    plan = _plan(device, kept, reduced, "arg_")
    defines: Defines = {
        "T_IN": OPENCL_NAMES[x.dtype],
        "BETTER(p,q)": BETTER[which],
        **dict(plan.defines),
    }
    chunks_layout = layout_like(x, (plan.chunks, *output.shape), dtypes.int64)
    kernel = built(device, _file(device), plan.kernel, defines)
    # Where the last group chooses, it wants the elements as well as their places.
    first = _launch(kernel, plan, layout_like(x, (2, *chunks_layout.shape), dtypes.int64))
    if plan.chunks == 1 or plan.finishes:
        return Producer(output, first)
    of_chunks = Producer(chunks_layout, first)
    kernel = built(device, _file(device), "arg_chunks", defines)
    each, items, group = _chunk_items(device, kept.count, plan.chunks)
    parts = plan.numbers[2 if device.kind == "cpu" else 1 :]  # without `chunk` and its own `each`
    numbers = (plan.chunks, each, *parts)
    among_chunks = Producer(output, Preset(kernel, items, group, numbers))
    return lambda values: among_chunks(values, of_chunks(values))
