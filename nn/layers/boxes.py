"""Images cut, mirrored and resized sample by sample, each after a box of its own; what lies in a box is read
by one kernel and leaves no temporaries.

A box is float32 [4]: the row and the column of the source at which the output's first row and column lie, and
the distance in the source from one row to the next and from one column to the next. That of columns is
negative where the image is mirrored.
"""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.launch import flat_sizes
from tensor import Array
from tensor.kernel import built
from tensor.philox import philox

Floats = NDArray[numpy.float32]
Size = tuple[int, int]

_CPU_BOXES_EACH = 64
_CPU_ROWS_EACH = 16
_UNIT = numpy.float32(2**-24)


@dataclass(frozen=True)
class Drawing:
    """How boxes are drawn: pieces of `size` whole pixels, from anywhere, up to `padding` beyond the border,
    or from the middle; or, with `area`, pieces of such parts of the image and such ratios of width to height,
    each from (least, most), which become `size`. `flip` is the probability that a piece is mirrored.
    """

    size: Size
    padding: int = 0
    flip: float = 0.0
    area: tuple[float, float] | None = None
    ratio: tuple[float, float] = (1.0, 1.0)
    anywhere: bool = True

    @property
    def is_random(self) -> bool:
        """Whether boxes differ from the one in the middle."""
        return self.anywhere or self.flip > 0

    @property
    def ranges(self) -> tuple[float, float, float, float]:
        """Least area and how much more, logarithm of the least ratio and how much more; no area: 0."""
        if self.area is None:
            return 0.0, 0.0, 0.0, 0.0
        least, most = self.ratio
        return self.area[0], self.area[1] - self.area[0], log(least), log(most / least)

    def middle(self, source: Size) -> tuple[float, float, float, float]:
        """The box in the middle: of whole pixels, or the largest piece of the ratio of `size`."""
        if self.area is None:
            top, left = ((side - size) // 2 for side, size in zip(source, self.size, strict=True))
            return top, left, 1.0, 1.0
        distance = min(side / size for side, size in zip(source, self.size, strict=True))
        down, right = (
            (side - distance * (size - 1) - 1) / 2 for side, size in zip(source, self.size, strict=True)
        )
        return down, right, distance, distance


def _draw_numpy(
    step: NDArray[numpy.int32],
    samples: NDArray[numpy.int32],
    *,
    key: int,
    source: Size,
    drawing: Drawing,
) -> Floats:
    u = _uniform(step, samples, 0, key)
    sides = [numpy.float32(side) for side in source]
    if drawing.area is None:
        down, right = (_whole_pixels(u[axis], sides[axis], drawing.size[axis], drawing) for axis in (0, 1))
    else:
        area, more_area, log_ratio, more_ratio = map(numpy.float32, drawing.ranges)
        pixels = sides[0] * sides[1] * (area + u[3] * more_area)
        ratio = numpy.exp(log_ratio + _uniform(step, samples, 1, key)[0] * more_ratio)
        lengths = numpy.sqrt(pixels / ratio), numpy.sqrt(pixels * ratio)
        down, right = (_resized(u[axis], sides[axis], lengths[axis], drawing.size[axis]) for axis in (0, 1))
    boxes = numpy.empty((len(samples), 4), numpy.float32)
    (boxes[:, 0], boxes[:, 2]), (boxes[:, 1], boxes[:, 3]) = down, right
    mirrored = u[2] < numpy.float32(drawing.flip)
    last = boxes[:, 1] + boxes[:, 3] * numpy.float32(drawing.size[1] - 1)
    boxes[:, 1] = numpy.where(mirrored, last, boxes[:, 1])
    boxes[:, 3] = numpy.where(mirrored, -boxes[:, 3], boxes[:, 3])
    return boxes


def _uniform(step: NDArray[Any], samples: NDArray[Any], block: int, key: int) -> list[Floats]:
    """Four draws from [0, 1) for each sample, with 24 bits."""
    words = numpy.broadcast_arrays(block, samples.view(numpy.uint32), step.view(numpy.uint32), 0)
    draws = philox([word.astype(numpy.uint64) for word in words], (key & 0xFFFFFFFF, key >> 32))
    return [(bits >> numpy.uint64(8)).astype(numpy.float32) * _UNIT for bits in draws]


def _whole_pixels(u: Floats, side: Any, size: int, drawing: Drawing) -> tuple[Any, Any]:
    padding, one = numpy.float32(drawing.padding), numpy.float32(1)
    room = side + padding + padding - numpy.float32(size)
    begin = numpy.minimum(numpy.floor(u * (room + one)), room) if drawing.anywhere else numpy.floor(room / 2)
    return begin - padding, one


def _resized(u: Floats, side: Any, length: Any, size: int) -> tuple[Any, Any]:
    """Pixel i of the output lies at (i + ½) · distance − ½ of the piece."""
    length, half = numpy.minimum(length, side), numpy.float32(0.5)
    distance = length / numpy.float32(size)
    return u * (side - length) + half * distance - half, distance


def _draw_opencl(step: Array, samples: Array, *, key: int, source: Size, drawing: Drawing) -> Array:
    count = samples.size
    boxes = tensor.empty((count, 4), dtype=tensor.float32, device=samples.device)
    if count:
        global_size, local_size = flat_sizes(samples.device, count, _CPU_BOXES_EACH)
        buffers = (step.buffer, samples.buffer, boxes.buffer)
        numbers = (*source, *drawing.size, drawing.padding, drawing.flip, *drawing.ranges, drawing.anywhere)
        kernel = built(samples.device, "augmentation.cl", "draw_boxes")
        kernel(
            global_size, count, _CPU_BOXES_EACH, *buffers, key, *map(float, numbers), local_size=local_size
        )
    return boxes


def _cut_numpy(x: Floats, boxes: Floats, *, size: Size) -> Floats:
    boxes = numpy.broadcast_to(boxes, (len(x), 4))
    one, half = numpy.float32(1), numpy.float32(0.5)
    places = []
    inside: Any = True
    for axis in range(2):
        at = boxes[:, axis, None] + numpy.arange(size[axis], dtype=numpy.float32) * boxes[:, 2 + axis, None]
        last = x.shape[1 + axis] - 1
        first = numpy.floor(at)
        index = first.astype(numpy.int64)
        shape = (len(x), -1, 1, 1) if axis == 0 else (len(x), 1, -1, 1)
        inside = inside & ((at >= -half) & (at <= last + half)).reshape(shape)
        before, after = numpy.clip(index, 0, last), numpy.clip(index + 1, 0, last)
        places.append((before.reshape(shape[:3]), after.reshape(shape[:3]), (at - first).reshape(shape)))
    (row0, row1, below), (column0, column1, beside) = places
    image = numpy.arange(len(x))[:, None, None]
    upper = x[image, row0, column0] * (one - beside) + x[image, row0, column1] * beside
    lower = x[image, row1, column0] * (one - beside) + x[image, row1, column1] * beside
    return numpy.where(inside, upper * (one - below) + lower * below, numpy.float32(0))


def _cut_opencl(x: Array, boxes: Array, *, size: Size) -> Array:
    x = x if x.is_contiguous else x.copy()
    images, height, width, channels = x.shape
    y = tensor.empty((images, *size, channels), dtype=tensor.float32, device=x.device)
    rows = images * size[0]
    if y.size:
        work = rows if x.device.kind == "cpu" else rows * size[1]
        global_size, local_size = flat_sizes(x.device, work, _CPU_ROWS_EACH)
        sources = (x.buffer, x.offset, boxes.buffer, boxes.offset, 0 if boxes.shape[0] == 1 else 4)
        sizes = (height, width, *size, channels)
        kernel = built(x.device, "augmentation.cl", "cut_boxes")
        kernel(global_size, rows, _CPU_ROWS_EACH, *sources, y.buffer, *sizes, local_size=local_size)
    return y


def _uniform_numpy(step: NDArray[numpy.int32], samples: NDArray[numpy.int32], *, key: int) -> Floats:
    return numpy.stack(_uniform(step, samples, 0, key), axis=1)


def _uniform_opencl(step: Array, samples: Array, *, key: int) -> Array:
    draws = tensor.empty((samples.size, 4), dtype=tensor.float32, device=samples.device)
    if samples.size:
        global_size, local_size = flat_sizes(samples.device, samples.size, _CPU_BOXES_EACH)
        buffers = (step.buffer, samples.buffer, draws.buffer)
        kernel = built(samples.device, "augmentation.cl", "draw_four")
        kernel(global_size, samples.size, _CPU_BOXES_EACH, *buffers, key, local_size=local_size)
    return draws


_draw_four = tensor.primitive("draw_four", numpy=_uniform_numpy, opencl=_uniform_opencl)
_draw_boxes = tensor.primitive("draw_boxes", numpy=_draw_numpy, opencl=_draw_opencl)
_cut_boxes = tensor.primitive("cut_boxes", numpy=_cut_numpy, opencl=_cut_opencl)


def draw_four(step: Array, samples: Array, key: int) -> Array:
    """Four numbers in [0, 1) for each sample, float32 [N, 4], keyed as the boxes are."""
    return _draw_four(step, samples, key=key)


def draw_boxes(step: Array, samples: Array, key: int, source: Size, drawing: Drawing) -> Array:
    """A box for each sample, float32 [N, 4], a function of key, step and the sample's number alone.

    step: int32 [1]; samples: int32 [N]; source: (height, width) of the images.
    """
    return _draw_boxes(step, samples, key=key, source=source, drawing=drawing)


def cut_boxes(x: Array, boxes: Array, size: Size) -> Array:
    """What lies in the boxes of images x (float32 [N, H, W, C]), as float32 [N, *size, C]: interpolated
    between pixels, 0 beyond the border. boxes: float32 [N, 4], or [1, 4] for all. No gradient goes back."""
    return _cut_boxes(x, boxes, size=size)
