"""Launching kernels/winograd_cpu.cl: 3×3 convolution with stride 1 by 4 products where there were 9."""

from tensor.array import Array
from tensor.cpu_tile import Tile, tile_for
from tensor.creation import zeros
from tensor.gemm import ceil_div, even_block, scratch
from tensor.geometry import Geometry
from tensor.kernel import built

PLACES = 16
# Transformed at once by winograd_gather: whole register tiles, MOST_TILES there at most; half for weights.
TILES_PER_BLOCK = 96
GROUPS_PER_UNIT = 8
FEWEST_PIXELS = 128  # below, transforming the weights takes what the products save
FEWEST_CHANNELS = 16  # below, transforming images and results does; also of outputs
LARGEST_CHANNELS = 192  # of one group that sums gradients of weights
LARGEST_OUTPUTS = 256
FEWEST_TILES = 256  # of one part: fewer cost more for adding the parts than for their products


def suits(sizes: Geometry) -> bool:
    """Whether these kernels have the convolution, and gain by it."""
    return (
        (sizes.KH, sizes.KW, sizes.stride) == (3, 3, (1, 1))
        and max(sizes.padding) <= 2  # more than that the gradient of the images could not have
        and sizes.C % 8 == sizes.O % 8 == 0
        and min(sizes.C, sizes.O) >= FEWEST_CHANNELS
        and sizes.pixels >= FEWEST_PIXELS
    )


def forward(sizes: Geometry, x: Array, w: Array, y: Array) -> None:
    """y = conv2d(x, w); all contiguous and not empty."""
    source, result = (sizes.H, sizes.W, sizes.C), (sizes.P, sizes.Q, sizes.O)
    _gather(sizes, x, source, w, y, result, sizes.padding, {})


def backward_data(sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
    """dx = the gradient of the images; all contiguous and not empty."""
    source, result = (sizes.P, sizes.Q, sizes.O), (sizes.H, sizes.W, sizes.C)
    padding = (2 - sizes.padding[0], 2 - sizes.padding[1])
    _gather(sizes, dy, source, w, dx, result, padding, {"BACKWARD": 1})


def _tiles(images: int, height: int, width: int) -> int:
    return images * ceil_div(height, 2) * ceil_div(width, 2)


def _gather(
    sizes: Geometry,
    x: Array,
    source: tuple[int, int, int],
    w: Array,
    y: Array,
    result: tuple[int, int, int],
    padding: tuple[int, int],
    direction: dict[str, str | int],
) -> None:
    device, channels, outputs = x.device, source[2], result[2]
    tile = tile_for(device, outputs)
    panels, panel = ceil_div(outputs, tile.columns), PLACES * channels * tile.columns
    packed = scratch(device, (panels + 1) * panel)
    built(device, "winograd_cpu.cl", "winograd_weights", {**tile.defines, **direction})(
        (panels + 1, ceil_div(channels, 64)),
        *(w.buffer, w.offset, packed.buffer, sizes.O, sizes.C),
        local_size=(1, 1),
    )
    tiles = _tiles(sizes.N, *result[:2])
    block = even_block(tiles, TILES_PER_BLOCK, tile.rows)
    blocks, wanted = ceil_div(tiles, block), GROUPS_PER_UNIT * device.compute_units
    tiles_per_group = ceil_div(blocks, wanted) * block
    groups = ceil_div(tiles, tiles_per_group)
    outputs_per_group = even_block(outputs, max(64, outputs * groups // wanted), tile.columns)
    both = (groups, ceil_div(outputs, outputs_per_group))
    room = scratch(device, both[0] * both[1] * PLACES * block * (channels + tile.columns))
    built(device, "winograd_cpu.cl", "winograd_gather", tile.defines)(
        both,
        *(x.buffer, x.offset, packed.buffer, panels * panel, y.buffer, y.offset, room.buffer),
        *(tiles, tiles_per_group, block, outputs_per_group, *source, *result, *padding),
        local_size=(1, 1),
    )


def _weight_blocks(sizes: Geometry, tile: Tile, wanted: int) -> tuple[int, int]:
    """Channels and outputs of one group, so that there are as many blocks as wanted, if they stay large."""
    channels, outputs = LARGEST_CHANNELS, LARGEST_OUTPUTS
    while ceil_div(sizes.C, channels) * ceil_div(sizes.O, outputs) < wanted and channels * outputs > 48 * 64:
        channels, outputs = (channels // 2, outputs) if channels >= outputs else (channels, outputs // 2)
    # whole vectors and whole register tiles
    return even_block(sizes.C, channels, 24), even_block(sizes.O, outputs, tile.columns)


def backward_weights(sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
    """dw = the gradient of the weights; all contiguous and not empty."""
    device, tiles, tile = x.device, _tiles(sizes.N, sizes.P, sizes.Q), tile_for(x.device, sizes.O)
    wanted, most_parts = 4 * device.compute_units, max(1, tiles // FEWEST_TILES)
    channels, outputs = _weight_blocks(sizes, tile, ceil_div(wanted, most_parts))
    blocks = (ceil_div(sizes.O, outputs), ceil_div(sizes.C, channels))
    tiles_per_part = ceil_div(tiles, min(most_parts, ceil_div(wanted, blocks[0] * blocks[1])))
    parts, block = ceil_div(tiles, tiles_per_part), even_block(tiles_per_part, TILES_PER_BLOCK // 2, 1)
    padded = ceil_div(sizes.O, tile.columns) * tile.columns
    sums = scratch(device, parts * PLACES * sizes.C * padded)
    room = PLACES * block * (channels + outputs) + tile.rows
    patches = scratch(device, parts * blocks[0] * blocks[1] * room)
    outside = zeros((channels,), device=device)
    built(device, "winograd_cpu.cl", "winograd_weight_parts", tile.defines)(
        (*blocks, parts),
        *(x.buffer, x.offset, dy.buffer, dy.offset, outside.buffer, sums.buffer, patches.buffer),
        *(tiles, tiles_per_part, block, channels, outputs),
        *(sizes.H, sizes.W, sizes.C, sizes.P, sizes.Q, sizes.O, *sizes.padding),
        local_size=(1, 1, 1),
    )
    built(device, "winograd_cpu.cl", "winograd_weight_sum", tile.defines)(
        (ceil_div(sizes.O, 8), ceil_div(sizes.C, 64)),
        *(sums.buffer, dw.buffer, dw.offset, parts, sizes.C, sizes.O, padded),
        local_size=(1, 1),
    )
