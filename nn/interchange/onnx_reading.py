"""Layers and weights as they are made from an ONNX file, and what a blob of the file is here.

Images are [N, C, H, W] in the file and [N, H, W, C] here, so `Form` says of each blob how ours has it.
"""

import itertools
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

from numpy.typing import NDArray

from nn.errors import NetworkError
from nn.graph import Node
from nn.interchange.onnx_file import OnnxFile, Shape, attributes
from nn.interchange.onnx_patterns import Match
from nn.layer import Layer
from nn.layers import Flatten, Reshape, ZeroPad2d

Arrays = dict[str, NDArray[Any]]


class Form(Enum):
    """How our array has what is a blob in the file."""

    SAME = "the same axes"
    CHANNELS_LAST = "[N, C, …] there, [N, …, C] here"
    FLAT = "[N, C · H · W] there, [N, H, W, C] here: no layer has flattened it yet"
    POOLED = "[N, C, 1, 1] there, [N, C] here"


@dataclass(frozen=True)
class Value:
    """A blob of the file: the name of ours, the shape in the file without the batch, and how ours has it."""

    blob: str
    shape: Shape
    form: Form
    image: Shape = ()  # of FLAT: (C, H, W)


class Reading:
    """Layers and weights, as they are made from a file."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        if not file.shapes.get(file.input):
            raise NetworkError(f"{file.path}: its input {file.input!r} has no axis for the samples.")
        shape = file.shapes[file.input][1:]
        form = Form.CHANNELS_LAST if len(shape) == 3 else Form.SAME
        self.values = {file.input: Value(file.input, shape, form)}
        self.nodes: list[Node] = []
        self.weights: Arrays = {}
        self._taken = {file.input}

    def add(self, layer: Layer, name: str, inputs: tuple[str, ...], arrays: Arrays) -> str:
        """Add a layer with its weights; the blob that it makes has the layer's name."""
        more = (f"{name}_{count}" for count in itertools.count(2))
        name = next(each for each in itertools.chain([name], more) if each not in self._taken)
        self._taken.add(name)
        self.nodes.append(Node(name, layer, inputs, name))
        self.weights |= {f"{name}.{key}": array for key, array in arrays.items()}
        return name


class Call:
    """One use of a layer in a file: what its blobs and its nodes are, by their names in a pattern or their
    places."""

    def __init__(self, reading: Reading, output: str, found: Match) -> None:
        self.reading, self.output, self.found = reading, output, found
        self.node = reading.file.makers[output]
        self.attributes = attributes(self.node)

    def array(self, key: str) -> NDArray[Any]:
        """An array that comes with the file."""
        array = self.optional(key)
        if array is None:
            raise self.error(f"its input {key.lstrip('#')} is computed; expected an array of the file")
        return array

    def optional(self, key: str) -> NDArray[Any] | None:
        """An array that comes with the file, or None if it is left out."""
        blob = self.found.blobs.get(key)
        return self.reading.file.array(blob) if blob else None

    def value(self, key: str = "0") -> Value:
        """A blob that is computed."""
        return self.reading.values[self.found.blobs[key]]

    def values(self) -> list[Value]:
        """All blobs that are computed, in order."""
        return [self.reading.values[blob] for blob in data_blobs(self.reading.file, self.found)]

    def image(self, key: str = "0") -> Value:
        """A blob that is an image, [N, C, H, W] in the file."""
        value = self.value(key)
        if value.form is Form.POOLED:
            blob = self._helper(Reshape((1, 1, *self.known(value.shape[:1]))), value.blob)
            return Value(blob, value.shape, Form.CHANNELS_LAST)
        if value.form is not Form.CHANNELS_LAST or len(value.shape) != 3:
            raise self.error(f"it takes {self._words(value)}; expected an image [N, C, H, W]")
        return value

    def plain(self, key: str = "0") -> Value:
        """A blob that has the same axes here."""
        value = self.value(key)
        if value.form is Form.FLAT and 1 in (value.image[0], prod(self.known(value.image[1:]))):
            return Value(self._helper(Flatten(), value.blob), value.shape, Form.SAME)
        if value.form is not Form.SAME:
            raise self.error(f"it takes {self._words(value)}, which would have to be transposed first")
        return value

    def channels(self, key: str = "0") -> Value:
        """A blob whose channels, the first axis of a sample in the file, are the last one here."""
        value = self.value(key)
        if value.form in (Form.CHANNELS_LAST, Form.POOLED):
            return value
        if len(value.shape) != 1:
            raise self.error(f"it takes {self._words(value)}; expected [N, C] or [N, C, …]")
        return self.plain(key)

    def padded(self, image: Value, before: list[int], after: list[int]) -> Value:
        """An image with zeros around it."""
        blob = self._helper(ZeroPad2d(before, after), image.blob)
        channels, *sides = self.known(image.shape)
        sizes = [size + first + last for size, first, last in zip(sides, before, after, strict=True)]
        return Value(blob, (channels, *sizes), image.form)

    def _helper(self, layer: Layer, blob: str) -> str:
        name = f"{blob}.{type(layer).__name__.lower()}"
        return self.reading.add(layer, name, (blob,), {})

    def _words(self, value: Value) -> str:
        return f"{list(value.shape)} ({value.form.value})"

    def known(self, shape: Shape) -> tuple[int, ...]:
        """A shape without unknown sizes."""
        if None in shape:
            raise self.error(f"the sizes {list(shape)} are not all known; export it with fixed ones")
        return tuple(size for size in shape if size is not None)

    @property
    def shape(self) -> Shape:
        """That of what it makes, in the file, without the batch."""
        if self.output not in self.reading.file.shapes:
            raise self.error("the shape of what it makes is not known")
        return self.reading.file.shapes[self.output][1:]

    def layer(
        self,
        layer: Layer,
        *inputs: Value,
        form: Form | None = None,
        shape: Shape | None = None,
        **arrays: Any,
    ) -> Value:
        """Add a layer; what it makes has the form of its first input, unless another is given."""
        weights = {name: array for name, array in arrays.items() if array is not None}
        blob = self.reading.add(layer, self._name(), tuple(each.blob for each in inputs), weights)
        made = self.shape if shape is None else shape
        return Value(blob, made, form or inputs[0].form, inputs[0].image)

    def _name(self) -> str:
        """As the weights are called, else as the node is."""
        for key, blob in self.found.blobs.items():
            stem, dot, last = blob.rpartition(".")
            if dot and last in ("weight", "bias") and self.optional(key) is not None:
                return stem
        name = self.node.name.strip("/").replace("/", ".")
        return name or f"{self.node.op_type.lower()}{len(self.reading.nodes)}"

    def error(self, what: str) -> NetworkError:
        """The error that this node cannot be read."""
        label = self.node.name or self.output
        return NetworkError(
            f"{self.reading.file.path}: the node {label!r} ({self.node.op_type}) cannot be read: {what}."
        )


def data_blobs(file: OnnxFile, found: Match) -> list[str]:
    """Those of a match's blobs that are computed, in order."""
    return [blob for blob in found.blobs.values() if blob and file.array(blob) is None]
