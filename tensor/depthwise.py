"""Launching kernels/depthwise.cl: convolution where each channel has a kernel of its own."""

from math import gcd

from tensor.array import Array
from tensor.gemm import ceil_div, scratch
from tensor.geometry import Geometry
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH, GPU_GROUP, item_sizes
from tensor.reduction import sum as sum_
from tensor.views import assign, contiguous, permute_dims

_ITEMS_PER_UNIT = 2048  # that keep a GPU's unit busy


def forward(sizes: Geometry, x: Array, w: Array, y: Array) -> None:
    """y = conv2d(x, w); all contiguous and not empty."""
    shape = (sizes.H, sizes.W, sizes.C, sizes.P, sizes.Q)
    _gather(sizes, x, w, y, (*shape, *_window(sizes), 1, 1), {})


def backward_data(sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
    """dx = the gradient of the images; all contiguous and not empty."""
    shape = (sizes.P, sizes.Q, sizes.C, sizes.H, sizes.W)
    steps = (s // gcd(s, d) for s, d in zip(sizes.stride, sizes.dilation, strict=True))
    _gather(sizes, dy, w, dx, (*shape, *_window(sizes), *steps), {"BACKWARD": 1})


def backward_weights(sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
    """dw = the gradient of the weights; all contiguous and not empty."""
    device, lines, taps = x.device, sizes.N * sizes.P, sizes.KH * sizes.KW
    form = _form(sizes, x.size, x, dy)
    items = taps * sizes.C // int(form["LANES"])
    wanted = 4 if device.kind == "cpu" else ceil_div(_ITEMS_PER_UNIT, items)
    lines_per_part = ceil_div(lines, wanted * device.compute_units)
    parts = ceil_div(lines, lines_per_part)
    sums = scratch(device, parts * taps * sizes.C)
    group = min(GPU_GROUP, items)
    by_tap = ((ceil_div(items, group) * group, parts), (group, 1))
    global_size, local_size = ((parts,), (1,)) if device.kind == "cpu" else by_tap
    shape = (sizes.H, sizes.W, sizes.C, sizes.P, sizes.Q)
    built(device, "depthwise.cl", "depthwise_weights", form)(
        global_size,
        *(x.buffer, x.offset, dy.buffer, dy.offset, sums.buffer, lines, lines_per_part),
        *(*shape, *_window(sizes), 1, 1),
        local_size=local_size,
    )
    total = sum_(sums.reshape((parts, taps, sizes.C)), axis=0)
    assign(dw.reshape((sizes.C, taps)), permute_dims(total, (1, 0)))


def _window(sizes: Geometry) -> tuple[int, ...]:
    return sizes.KH, sizes.KW, *sizes.stride, *sizes.padding, *sizes.dilation


def _form(sizes: Geometry, count: int, *arrays: Array) -> dict[str, str | int]:
    aligned = not any(each % 4 for each in (sizes.C, *(array.offset for array in arrays)))
    wide = count + 2**26 >= 2**31  # an item may step once beyond the end
    return {"LANES": 4 if aligned else 1, "INDEX": "long" if wide else "int"}


def _gather(
    sizes: Geometry,
    source: Array,
    w: Array,
    result: Array,
    numbers: tuple[int, ...],
    direction: dict[str, str | int],
) -> None:
    device, pixels, taps = source.device, result.size // sizes.C, sizes.KH * sizes.KW
    weights = contiguous(permute_dims(w.reshape((sizes.C, taps)), (1, 0)))
    each = max(1, CPU_ELEMENTS_EACH // (sizes.C * taps))
    form = _form(sizes, result.size, source, result) | direction
    on_gpu = item_sizes(device.compute_units, result.size // int(form["LANES"]))
    global_size, local_size = ((ceil_div(pixels, each),), (1,)) if device.kind == "cpu" else on_gpu
    built(device, "depthwise.cl", "depthwise", form)(
        global_size,
        *(source.buffer, source.offset, weights.buffer, result.buffer, pixels, each),
        *numbers,
        local_size=local_size,
    )
