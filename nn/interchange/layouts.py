"""How other programs lay out what a layer learns: channels before rows and columns, where ours come last.

PyTorch and ONNX keep images as [N, C, H, W]. So the weight of a convolution is theirs with its axes in
another order, and so are the columns of a linear layer that takes an image, since each of them belongs to one
pixel of one channel.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.layer import Layer
from nn.layers import Conv2d, ConvTranspose2d, LayerNorm, Linear

Shape = tuple[int, ...]
Images = Mapping[str, Shape]  # by a Linear's path: the image [H, W, C] that is flattened before it


@dataclass(frozen=True)
class Layout:
    """Ours, seen as an array of shape `view`, has its axes in the `order` of theirs, which has the shape
    `theirs`."""

    ours: Shape
    view: Shape
    order: Shape
    theirs: Shape

    def outwards(self, array: NDArray[Any]) -> NDArray[Any]:
        """Our array as others have it."""
        return numpy.ascontiguousarray(array.reshape(self.view).transpose(self.order)).reshape(self.theirs)

    def inwards(self, array: NDArray[Any]) -> NDArray[Any]:
        """Another program's array, of the shape `theirs`, as ours."""
        turned = array.reshape([self.view[axis] for axis in self.order])
        return turned.transpose(numpy.argsort(self.order)).reshape(self.ours)

    def as_convolution(self) -> "Layout":
        """That of a linear layer's weight as others have it who apply it as a convolution over the whole
        image."""
        if len(self.ours) != 2:
            return self
        image = [self.view[axis] for axis in self.order[1:]] if len(self.view) == 4 else [self.ours[1], 1, 1]
        return replace(self, theirs=(self.ours[0], *image))


def unchanged(shape: Shape) -> Layout:
    """That of an array which is the same everywhere."""
    return Layout(shape, (prod(shape),), (0,), shape)


def layouts(network: Layer, images: Images | None = None) -> Iterator[tuple[str, Layout]]:
    """The name and the layout of every parameter and buffer of `network`."""
    for name, layer, attribute, plan in network._named_plans():
        path = name.removesuffix(attribute).removesuffix(".")
        yield name, layout(layer, attribute, plan.shape, (images or {}).get(path))


def layout(layer: Layer, attribute: str, shape: Shape, image: Shape | None = None) -> Layout:
    """The layout of one parameter; `image` is what is flattened before a Linear, where that does not say so
    itself."""
    if isinstance(layer, Conv2d | ConvTranspose2d) and attribute == "weight":
        first, height, width, last = shape
        return Layout(shape, shape, (0, 3, 1, 2), (first, last, height, width))
    if isinstance(layer, Linear) and attribute == "weight":
        taken = image or layer.in_shape
        if len(taken) == 3:
            return Layout(shape, (shape[0], *taken), (0, 3, 1, 2), shape)
    if isinstance(layer, LayerNorm) and len(shape) == 3:
        height, width, channels = shape
        return Layout(shape, shape, (2, 0, 1), (channels, height, width))
    return unchanged(shape)
