"""Launching kernels/conv_gpu.cl: each direction is a matrix product, its operands gathered on the way."""

from typing import Any

from tensor import gpu_tile
from tensor.array import Array
from tensor.gemm import scratch
from tensor.geometry import Geometry
from tensor.kernel import built

INTS = 2**31  # offsets of elements are ints below it
# Few channels, and weights of few outputs, would leave most of a tile of 64 columns empty.
NARROW = gpu_tile.GpuTile(128, 32, 2, 1, 6, 0.65)
LITTLE = gpu_tile.GpuTile(32, 32, 1, 1, 12, 0.5)
TILES = (*gpu_tile.TILES, NARROW, LITTLE)
LARGEST_KERNEL = 32  # rows or columns: what a mask of 64 bits can tell


def forward(sizes: Geometry, x: Array, w: Array, y: Array) -> None:
    """y = conv2d(x, w); all contiguous and not empty."""
    inside = (sizes.H, sizes.W, sizes.P, sizes.Q, *_kernel(sizes), sizes.C, sizes.O)
    _launch(sizes, x, w, y, (sizes.pixels, sizes.O, sizes.weights), inside, {})


def backward_data(sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
    """dx = the gradient of the images; all contiguous and not empty."""
    inside = (sizes.P, sizes.Q, sizes.H, sizes.W, *_kernel(sizes), sizes.O, sizes.C)
    product = (sizes.N * sizes.H * sizes.W, sizes.C, sizes.KH * sizes.KW * sizes.O)
    _launch(sizes, dy, w, dx, product, inside, {"BACKWARD_DATA": 1})


def backward_weights(sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
    """dw = the gradient of the weights; all contiguous and not empty."""
    inside = (sizes.H, sizes.W, sizes.P, sizes.Q, *_kernel(sizes), sizes.C, sizes.O)
    _launch(sizes, x, dy, dw, (sizes.O, sizes.weights, sizes.pixels), inside, {"BACKWARD_WEIGHTS": 1})


def _kernel(sizes: Geometry) -> tuple[int, ...]:
    return sizes.KH, sizes.KW, *sizes.stride, *sizes.padding


def _launch(
    sizes: Geometry,
    image: Array,
    other: Array,
    result: Array,
    product: tuple[int, int, int],
    inside: tuple[int, ...],
    direction: dict[str, str | int],
) -> None:
    device, (rows, columns, depth), size = image.device, product, result.size
    plan = gpu_tile.plan(device.compute_units, rows, columns, depth, tiles=TILES)
    sums: Any = result if plan.parts == 1 else scratch(device, plan.parts * size)
    defines = {
        **plan.tile.defines(),
        "ASYNC": gpu_tile.asynchronous(device),
        **direction,
        **_form(sizes, image, other),
    }
    built(device, "conv_gpu.cl", "conv", defines)(
        (plan.groups(rows, columns) * plan.tile.items, plan.parts),
        *(image.buffer, image.offset, other.buffer, other.offset, sums.buffer, sums.offset),
        *(rows, columns, depth, plan.depth, *inside),
        local_size=(plan.tile.items, 1),
    )
    if plan.parts > 1:
        conv_sum = built(device, "conv_gpu.cl", "conv_sum", defines)
        conv_sum((size,), sums.buffer, result.buffer, result.offset, plan.parts, size)


def _form(sizes: Geometry, image: Array, other: Array) -> dict[str, str | int]:
    moves = gpu_tile.asynchronous(image.device)
    aligned = not any(each % 4 for each in (sizes.C, sizes.O, image.offset, other.offset))
    form: dict[str, str | int] = {
        "ASYNC": moves,
        "VECTOR": int(moves and aligned),
        "FEW_CHANNELS": int(image.shape[3] < gpu_tile.STEP),
    }
    if max(sizes.KH, sizes.KW) > LARGEST_KERNEL // 2:
        form["LARGE_KERNEL"] = 1
    if image.size + sizes.W * sizes.C * (sizes.KH + sizes.padding[0]) >= INTS:
        form["WIDE"] = 1
    return form
