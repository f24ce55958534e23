"""Launching kernels/conv_gpu.cl: each direction is a matrix product, its operands gathered on the way."""

from tensor.array import Array
from tensor.device import Device
from tensor.gemm import SMALL_TILE, ceil_div, gpu_tile, scratch
from tensor.geometry import Geometry
from tensor.kernel import built


def _defines(device: Device, sizes: Geometry, channels: int) -> dict[str, int]:
    """Sizes that GPUs get as constants; CPUs run these kernels in tests only, and need no build per size."""
    if device.kind == "cpu":
        return {}
    return {
        "KERNEL_HEIGHT": sizes.KH,
        "KERNEL_WIDTH": sizes.KW,
        "STRIDE_H": sizes.stride[0],
        "STRIDE_W": sizes.stride[1],
        "CHANNELS": channels,
    }


def _kernel(sizes: Geometry) -> tuple[int, ...]:
    return sizes.KH, sizes.KW, *sizes.stride, *sizes.padding


def forward(sizes: Geometry, x: Array, w: Array, y: Array) -> None:
    """y = conv2d(x, w); all contiguous and not empty."""
    tile = gpu_tile(x.device, sizes.pixels, sizes.O, 1)
    built(x.device, "conv_gpu.cl", "conv", {**tile.defines(), **_defines(x.device, sizes, sizes.C)})(
        (ceil_div(sizes.O, tile.size) * tile.items, ceil_div(sizes.pixels, tile.size), 1),
        *(x.buffer, x.offset, w.buffer, w.offset, y.buffer, y.offset),
        *(sizes.pixels, sizes.O, sizes.weights, sizes.weights),
        *(sizes.H, sizes.W, sizes.P, sizes.Q, *_kernel(sizes), sizes.C, sizes.O),
        local_size=(tile.items, 1, 1),
    )


def backward_data(sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
    """dx = the gradient of the images; all contiguous and not empty."""
    pixels, depth = sizes.N * sizes.H * sizes.W, sizes.KH * sizes.KW * sizes.O
    tile = gpu_tile(dy.device, pixels, sizes.C, 1)
    defines = {**tile.defines(), **_defines(dy.device, sizes, sizes.O), "BACKWARD_DATA": 1}
    built(dy.device, "conv_gpu.cl", "conv", defines)(
        (ceil_div(sizes.C, tile.size) * tile.items, ceil_div(pixels, tile.size), 1),
        *(dy.buffer, dy.offset, w.buffer, w.offset, dx.buffer, dx.offset),
        *(pixels, sizes.C, depth, depth),
        *(sizes.P, sizes.Q, sizes.H, sizes.W, *_kernel(sizes), sizes.O, sizes.C),
        local_size=(tile.items, 1, 1),
    )


def backward_weights(sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
    """dw = the gradient of the weights; all contiguous and not empty."""
    device, tile = x.device, SMALL_TILE
    groups = ceil_div(sizes.weights, tile.size), ceil_div(sizes.O, tile.size)
    wanted = max(1, 4 * device.compute_units // (groups[0] * groups[1]))
    pixels_per_part = max(
        ceil_div(sizes.pixels, wanted), 256
    )  # fewer would cost more in adding parts than they gain
    parts = ceil_div(sizes.pixels, pixels_per_part)
    size = sizes.O * sizes.weights
    sums = dw if parts == 1 else scratch(device, parts * size)
    defines = {**tile.defines(), **_defines(x.device, sizes, sizes.C), "BACKWARD_WEIGHTS": 1}
    built(device, "conv_gpu.cl", "conv", defines)(
        (groups[0] * tile.items, groups[1], parts),
        *(x.buffer, x.offset, dy.buffer, dy.offset, sums.buffer, sums.offset),
        *(sizes.O, sizes.weights, sizes.pixels, pixels_per_part),
        *(sizes.H, sizes.W, sizes.P, sizes.Q, *_kernel(sizes), sizes.C, sizes.O),
        local_size=(tile.items, 1, 1),
    )
    if parts > 1:
        built(device, "conv_gpu.cl", "conv_sum", defines)(
            (size,), sums.buffer, dw.buffer, dw.offset, parts, size
        )
