"""Layers that vary images while a network trains, and bring them to the range that it wants.

They stand at a network's input, so that it carries its augmentation with it: into a definition, and to the
peers of a mesh, which need not know of it. What a sample meets is a function of (seed, step, sample, layer),
as Dropout's mask is: say which they are by `network.randomness.set_step(step, samples)`. In evaluation
nothing is random, and crops come from the middle. Only through Normalize does a gradient go back.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy

import tensor
from nn.derivatives import derivative
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers.boxes import Drawing, Size, cut_boxes, draw_boxes, draw_four
from nn.layers.convolution import pair
from tensor import Array, Device
from tensor.dtypes import DType
from tensor.memory import outside_scopes
from tensor.philox import fold_key

_GREY = (0.299, 0.587, 0.114)  # of red, green and blue, by ITU-R BT.601
_BYTES = 256  # what images are divided by that the 2016 system was trained on as bytes


class _Augmentation(Layer):
    """What these layers have in common: the key of their draws."""

    def _keyed(self, x: Array) -> tuple[Array, Array, int]:
        """Step, samples and key of the batch x."""
        samples = self.randomness.samples_of(x.shape[0], self.title)
        return self.randomness.step, samples, fold_key((self.randomness.seed, zlib.crc32(self.path.encode())))

    def _check_images(self, x: Array, channels: str = "C") -> None:
        if x.ndim != 4 or 0 in x.shape[1:]:
            raise self.shape_error(f"[N, H, W, {channels}]", x.shape)
        if tensor.dtypes.computed(x.dtype) != tensor.float32:
            raise tensor.errors.DTypeError(f"{self.title}: expected float32, got {x.dtype.name}; use astype.")


class _Cut(_Augmentation):
    """A piece of each image, in training one that is drawn."""

    def drawing(self, x: Array) -> Drawing:
        """How pieces of images x are drawn."""
        raise NotImplementedError

    def _check_size(self, x: Array, size: Size, padding: int = 0) -> None:
        least = [max(each - 2 * padding, 1) for each in size]
        if x.shape[1] < least[0] or x.shape[2] < least[1]:
            raise self.shape_error(f"[N, ≥{least[0]}, ≥{least[1]}, C]", x.shape)

    def forward(self, x: Array) -> Array:
        self._check_images(x)
        source = x.shape[1], x.shape[2]
        drawing = self.drawing(x)
        if self.training and drawing.is_random:
            step, samples, key = self._keyed(x)
            return cut_boxes(x, draw_boxes(step, samples, key, source, drawing), drawing.size)
        middle = drawing.middle(source)
        if drawing.size == source and middle == (0, 0, 1, 1):
            return x
        return cut_boxes(x, tensor.asarray([middle], dtype=tensor.float32, device=x.device), drawing.size)


class RandomCrop(_Cut):
    """A piece of `size` pixels from anywhere in each image with `padding` zeros around it.

    x: float32 [N, H, W, C]; y: [N, *size, C]. In evaluation the piece in the middle. `size` is one number, or
    (height, width).
    """

    def __init__(self, size: int | Sequence[int], padding: int = 0) -> None:
        self.size, self.padding = pair(size), padding
        if min(self.size) < 1 or padding < 0:
            raise NetworkError(f"RandomCrop expected a size of at least 1 and padding ≥ 0; got {self!r}.")

    def drawing(self, x: Array) -> Drawing:
        self._check_size(x, self.size, self.padding)
        return Drawing(self.size, self.padding)


class RandomHorizontalFlip(_Cut):
    """Each image, or with `probability` its mirror image, left for right; in evaluation x. x, y: float32 [N,
    H, W, C].
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability
        if not 0 <= probability <= 1:
            raise NetworkError(f"RandomHorizontalFlip expected 0 ≤ probability ≤ 1, got {probability}.")

    def drawing(self, x: Array) -> Drawing:
        return Drawing((x.shape[1], x.shape[2]), flip=self.probability, anywhere=False)


class RandomResizedCrop(_Cut):
    """A piece of each image of a drawn size and shape, interpolated to `size` pixels.

    x: float32 [N, H, W, C]; y: [N, *size, C]. The piece has a part of the image's area from `area`
    (least, most), uniform, and a ratio of width to height from `ratio`, uniform in its logarithm, as far as
    the image is wide and high enough. Bilinear between the nearest four pixels, however large the piece. In
    evaluation the largest piece in the middle that has the ratio of `size`. Source: C. Szegedy and others:
    "Going Deeper with Convolutions", 2014.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        area: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = pair(size)
        if min(self.size) < 1 or not (0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= ratio[1]):
            raise NetworkError(
                "RandomResizedCrop expected a size of at least 1, an area (least, most) within (0, 1] and a "
                f"ratio (least, most) above 0; got {self!r}."
            )
        self._drawing = Drawing(self.size, area=(area[0], area[1]), ratio=(ratio[0], ratio[1]))

    def drawing(self, x: Array) -> Drawing:
        return self._drawing


class ColorJitter(_Augmentation):
    """Brightness, contrast and saturation of each image times factors from [1 − strength, 1 + strength].

    In this order, and each time cut off to [0, 1], which is also where x is expected: before Normalize.
    Contrast is the distance to the mean grey of the image, saturation that to each pixel's own grey, of which
    images of one channel have none. In evaluation y = x. x, y: float32 [N, H, W, 3] or [N, H, W, 1].
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.strengths = (brightness, contrast, saturation)
        if not all(strength >= 0 for strength in self.strengths):
            raise NetworkError(f"ColorJitter expected strengths of at least 0, got {self!r}.")

    def forward(self, x: Array) -> Array:
        self._check_images(x, "1 or 3")
        if x.shape[3] not in (1, 3):
            raise self.shape_error("[N, H, W, 1 or 3]", x.shape)
        if not self.training or not any(self.strengths):
            return x
        return _jittered(x, draw_four(*self._keyed(x)), strengths=self.strengths)


def _jitter(library: Any, x: Any, draws: Any, strengths: Sequence[float]) -> Any:
    """In NumPy, or in `tensor`."""

    def factor(number: int) -> Any:
        least, most = max(1 - strengths[number], 0.0), 1 + strengths[number]
        return least + draws[:, number].reshape((len(draws), 1, 1, 1)) * (most - least)

    if strengths[0]:
        x = library.clip(x * factor(0), 0, 1)
    if strengths[1]:
        mean = library.mean(_grey(x), axis=(1, 2, 3), keepdims=True)
        x = library.clip(mean + (x - mean) * factor(1), 0, 1)
    if strengths[2] and x.shape[3] == 3:
        grey = _grey(x)
        x = library.clip(grey + (x - grey) * factor(2), 0, 1)
    return x


def _grey(x: Any) -> Any:
    if x.shape[3] == 1:
        return x
    red, green, blue = (x[:, :, :, channel : channel + 1] * part for channel, part in enumerate(_GREY))
    return red + green + blue


def _jitter_numpy(x: Any, draws: Any, *, strengths: Sequence[float]) -> Any:
    return _jitter(numpy, x, draws, strengths)


@tensor.fuse
def _jitter_opencl(x: Array, draws: Array, *, strengths: Sequence[float]) -> Array:
    return _jitter(tensor, x, draws, strengths)  # type: ignore[no-any-return]  # an array, from arrays


_jittered = tensor.primitive("color_jitter", numpy=_jitter_numpy, opencl=_jitter_opencl)


class Normalize(Layer):
    """y = (x − mean) / std, in training and in evaluation. x, y: float32 [..., C].

    `mean` and `std` are one number each, or one for each channel.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        means, stds = (numpy.atleast_1d(numpy.asarray(each, numpy.float64)) for each in (mean, std))
        if means.ndim > 1 or stds.ndim > 1 or (len(means) - len(stds)) * (min(len(means), len(stds)) > 1):
            raise NetworkError(f"Normalize expected one mean and std, or one for each channel; got {self!r}.")
        if not (stds > 0).all():
            raise NetworkError(f"Normalize expected a std above 0; got {self!r}.")
        self._line = _Line(1 / stds, -means / stds)

    def forward(self, x: Array) -> Array:
        return self._line(self, x)


class DataAugmentation(_Cut):
    """The 2016 system's: a piece of `out_shape` pixels, mirrored at times, and of that (x − mean) · scale.

    There x were bytes, which `mean` and `scale` still refer to: of x that is bytes / 256, as MNIST is fed, it
    makes y = (256 · x − mean) · scale. With `random_crop` the piece is from anywhere, else from the middle;
    with `random_flip` one of two is mirrored; in evaluation it is from the middle, as it stands. Without
    `out_shape` it is the whole image. `mean` is one number, or one for each channel (in 2016 an image, which
    came with the run). x: float32 [N, H, W, C]; y: [N, *out_shape, C].
    """

    def __init__(
        self,
        out_shape: Sequence[int] | None = None,
        scale: float = 1 / _BYTES,
        random_crop: bool = False,
        random_flip: bool = False,
        mean: float | Sequence[float] = 0.0,
    ) -> None:
        self.out_shape = None if out_shape is None else pair(out_shape)
        if self.out_shape is not None and min(self.out_shape) < 1:
            raise NetworkError(f"DataAugmentation expected an out_shape of at least 1, got {out_shape}.")
        self.random_crop, self.random_flip = random_crop, random_flip
        self.scale, self.mean = scale, numpy.atleast_1d(numpy.asarray(mean, numpy.float64))
        self._line = _Line([_BYTES * scale], self.mean * -scale)

    def drawing(self, x: Array) -> Drawing:
        size = self.out_shape or (x.shape[1], x.shape[2])
        self._check_size(x, size)
        return Drawing(size, flip=0.5 if self.random_flip else 0.0, anywhere=self.random_crop)

    def forward(self, x: Array) -> Array:
        return self._line(self, super().forward(x))


class _Line:
    """y = x · scale + shift, each a number for every channel or one for all, in one launch."""

    def __init__(self, scale: Any, shift: Any) -> None:
        self._numbers = numpy.asarray(scale, numpy.float64), numpy.asarray(shift, numpy.float64)
        self._changes = bool((self._numbers[0] != 1).any() or (self._numbers[1] != 0).any())
        self._on: dict[tuple[Device, DType], tuple[Array, Array]] = {}

    def __call__(self, layer: Layer, x: Array) -> Array:
        channels = max(map(len, self._numbers))
        if x.ndim < 1 or channels not in (1, x.shape[-1]):
            raise layer.shape_error(f"[..., {channels}]", x.shape)
        return _scaled(x, *self._there(x)) if self._changes else x

    def _there(self, x: Array) -> tuple[Array, Array]:
        """The numbers for x: on its device, in its dtype, uploaded once, and for recordings too."""
        device, dtype = x.device, tensor.dtypes.floating(tensor.dtypes.computed(x.dtype))
        if (device, dtype) not in self._on:
            with outside_scopes(), tensor.not_recording_calls(), device.queue.not_recording():
                scale, shift = (tensor.asarray(each.astype(dtype), device=device) for each in self._numbers)
            self._on[device, dtype] = scale, shift
        return self._on[device, dtype]


@tensor.fuse
def _scaled_opencl(x: Array, scale: Array, shift: Array) -> Array:
    return x * scale + shift


_scaled = tensor.primitive("scaled", numpy=lambda x, scale, shift: x * scale + shift, opencl=_scaled_opencl)


@derivative("scaled", reads="scale")
def _scaled_backward(gradient: Array, y: Array, x: Array, scale: Array, shift: Array) -> Array:
    return gradient * scale
