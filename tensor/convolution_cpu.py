"""Launching kernels/conv_cpu.cl, or Winograd's form where that suits.

Weights are packed by gemm_pack_b, images are read where they lie.
"""

from dataclasses import dataclass

from tensor import winograd_cpu
from tensor.array import Array
from tensor.cpu_tile import THIN_TILE, TILE, Tile, tile_for
from tensor.device import Device
from tensor.gemm import ceil_div, even_block, scratch
from tensor.geometry import Geometry
from tensor.kernel import built

MOST_PIXELS = 96  # of one group: 8 to 24 tiles, no more than MOST_TILES of conv_cpu.cl
FIRST_CACHE_FLOATS = 5120  # of the images and dy that one pass over the pixels touches (docs/log.md)
LARGEST_OUTPUTS = 128  # of one group that sums gradients of weights
SUMS_OF_GROUP = 65536  # that it keeps in the second cache while it goes through the pixels
FEWEST_PIXELS = 64  # of a part, whose sums are written and read once more; and of one pass over them


def _tile(device: Device, columns: int) -> Tile:
    """Of AVX2's the one with 24 columns too, where that wastes fewer of their lanes."""
    return tile_for(device, columns, (TILE, THIN_TILE))


@dataclass(frozen=True)
class Tiles:
    """How conv_gather cuts pixels into tiles, and tiles into groups."""

    by_image: bool
    count: int
    per_group: int

    @property
    def groups(self) -> tuple[int]:
        """The NDRange."""
        return (ceil_div(self.count, self.per_group),)


def _tiles(images: int, pixels: int, rows: int, may_go_by_image: bool, units: int) -> Tiles:
    """Tiles of one pixel of several images if few of their `rows` stay empty, else of neighbour pixels."""
    by_image = may_go_by_image and ceil_div(images, rows) * rows <= 1.15 * images
    count = ceil_div(images, rows) * pixels if by_image else ceil_div(images * pixels, rows)
    per_group = MOST_PIXELS // rows
    while per_group > 4 and ceil_div(count, per_group) < 4 * units:
        per_group //= 2
    return Tiles(by_image, count, per_group)


def forward(sizes: Geometry, x: Array, w: Array, y: Array) -> None:
    """y = conv2d(x, w); all contiguous and not empty."""
    if winograd_cpu.suits(sizes):
        winograd_cpu.forward(sizes, x, w, y)
        return
    device, tile, depth = x.device, _tile(x.device, sizes.O), sizes.weights
    width = tile.columns
    panels = ceil_div(sizes.O, width)
    packed = scratch(device, (panels + 1) * width * depth)
    pack = built(device, "gemm_cpu.cl", "gemm_pack_b", tile.defines)
    pack((panels + 1, 1), w.buffer, w.offset, 0, 1, depth, sizes.O, depth, packed.buffer, local_size=(1, 1))
    tiles = _tiles(sizes.N, sizes.P * sizes.Q, tile.rows, False, device.compute_units)
    built(device, "conv_cpu.cl", "conv_gather", tile.defines)(
        tiles.groups,
        *(x.buffer, x.offset, packed.buffer, panels * width * depth, y.buffer, y.offset),
        *(sizes.N, int(tiles.by_image), tiles.count, tiles.per_group, depth * width, sizes.C * width),
        *(
            sizes.H,
            sizes.W,
            sizes.C,
            sizes.P,
            sizes.Q,
            sizes.O,
            sizes.KH,
            sizes.KW,
            *sizes.stride,
            *sizes.padding,
        ),
        local_size=(1,),
    )


def backward_data(sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
    """dx = the gradient of the images; all contiguous and not empty."""
    if winograd_cpu.suits(sizes):
        winograd_cpu.backward_data(sizes, dy, w, dx)
        return
    device, tile, depth = dy.device, _tile(dy.device, sizes.C), sizes.O
    taps, width = sizes.KH * sizes.KW, tile.columns
    panels = ceil_div(sizes.C, width)
    packed = scratch(device, taps * (panels + 1) * width * depth)
    pack = built(device, "gemm_cpu.cl", "gemm_pack_b", tile.defines)
    strides = (sizes.C, sizes.weights, 1)  # of taps, outputs, channels
    pack((panels + 1, taps), w.buffer, w.offset, *strides, sizes.C, depth, packed.buffer, local_size=(1, 1))
    tiles = _tiles(sizes.N, sizes.H * sizes.W, tile.rows, True, device.compute_units)
    built(device, "conv_cpu.cl", "conv_gather", {**tile.defines, "BACKWARD": 1})(
        tiles.groups,
        *(dy.buffer, dy.offset, packed.buffer, panels * width * depth, dx.buffer, dx.offset),
        *(
            sizes.N,
            int(tiles.by_image),
            tiles.count,
            tiles.per_group,
            depth * width,
            (panels + 1) * depth * width,
        ),
        *(
            sizes.P,
            sizes.Q,
            sizes.O,
            sizes.H,
            sizes.W,
            sizes.C,
            sizes.KH,
            sizes.KW,
            *sizes.stride,
            *sizes.padding,
        ),
        local_size=(1,),
    )


def backward_weights(sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
    """dw = the gradient of the weights; all contiguous and not empty."""
    if winograd_cpu.suits(sizes):
        winograd_cpu.backward_weights(sizes, x, dy, dw)
        return
    device = x.device
    tile, lines = _tile(device, sizes.O), sizes.N * sizes.P
    padded, height, width = _padded(sizes, x, tile)
    columns = ceil_div(sizes.O, tile.columns) * tile.columns
    outputs_per_group = even_block(sizes.O, LARGEST_OUTPUTS, tile.columns)
    weights_per_group = even_block(sizes.weights, SUMS_OF_GROUP // outputs_per_group, tile.rows)
    blocks = ceil_div(sizes.O, outputs_per_group) * ceil_div(sizes.weights, weights_per_group)
    fewest_lines = ceil_div(FEWEST_PIXELS, sizes.Q)
    lines_per_part = max(fewest_lines, ceil_div(lines, ceil_div(4 * device.compute_units, blocks)))
    parts = ceil_div(lines, lines_per_part)
    line_floats = sizes.stride[0] * width * sizes.C + sizes.Q * tile.columns
    lines_per_pass = min(lines_per_part, max(fewest_lines, FIRST_CACHE_FLOATS // line_floats))
    sums = scratch(device, parts * sizes.weights * columns)
    panels = scratch(device, parts * blocks * lines_per_pass * sizes.Q * tile.columns)
    built(device, "conv_cpu.cl", "conv_weight_parts", tile.defines)(
        (ceil_div(sizes.O, outputs_per_group), ceil_div(sizes.weights, weights_per_group), parts),
        *(padded.buffer, padded.offset, dy.buffer, dy.offset, sums.buffer, panels.buffer),
        *(
            lines,
            lines_per_part,
            lines_per_pass,
            sizes.weights,
            weights_per_group,
            sizes.O,
            outputs_per_group,
        ),
        *(height, width, sizes.C, sizes.P, sizes.Q, sizes.KW, *sizes.stride),
        local_size=(1, 1, 1),
    )
    built(device, "conv_cpu.cl", "conv_weight_sum", tile.defines)(
        (ceil_div(sizes.O, 8), ceil_div(sizes.weights, 64)),
        *(sums.buffer, dw.buffer, dw.offset, parts, sizes.weights, sizes.O, columns),
        local_size=(1, 1),
    )


def _padded(sizes: Geometry, x: Array, tile: Tile) -> tuple[Array, int, int]:
    """The images with their border of zeros, their height and their width."""
    pad_h, pad_w = sizes.padding
    height, width = sizes.H + 2 * pad_h, sizes.W + 2 * pad_w
    if not pad_h and not pad_w:
        return x, height, width
    padded = scratch(x.device, sizes.N * height * width * sizes.C)
    built(x.device, "conv_cpu.cl", "conv_pad", tile.defines)(
        (height, sizes.N),
        *(x.buffer, x.offset, padded.buffer, sizes.H, sizes.W * sizes.C, pad_h, pad_w * sizes.C),
        local_size=(1, 1),
    )
    return padded, height, width
