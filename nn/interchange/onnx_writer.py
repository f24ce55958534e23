"""An ONNX graph that grows node by node.

What is an image here, [N, H, W, C], is [N, C, H, W] there. All other blobs have the same axes in both.
"""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.interchange.layouts import layout
from nn.interchange.onnx_library import onnx_library
from nn.layer import Layer

OPSET = 20  # the first with GELU; of 2023
_IR_VERSION = 9  # the one that came with it

Shape = tuple[int, ...]


class Writer:
    """Nodes and arrays of a graph; `name` is that of the layer which is being written."""

    def __init__(self) -> None:
        self.name = ""
        self._helper = onnx_library().helper
        self._nodes: list[Any] = []
        self._arrays: dict[str, NDArray[Any]] = {}

    def op(self, op_type: str, *inputs: str, last: bool = False, **attributes: Any) -> str:
        """Add a node, and give the name of what it makes; the `last` one of a layer has the layer's name."""
        name = self.name if last else f"{self.name}/{op_type}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def array(self, name: str, value: Any) -> str:
        """Add an array that comes with the graph, under the layer's name and `name`."""
        name = f"{self.name}.{name}"
        self._arrays[name] = numpy.ascontiguousarray(value).reshape(numpy.shape(value))
        return name

    def integers(self, name: str, *values: int) -> str:
        """An int64 array, such as axes and shapes are."""
        return self.array(name, numpy.array(values, numpy.int64))

    def number(self, name: str, value: float) -> str:
        """A float32 number."""
        return self.array(name, numpy.array(value, numpy.float32))

    def parameter(self, layer: Layer, attribute: str) -> str:
        """The parameter or buffer of a layer, in ONNX's layout, which is PyTorch's."""
        values = numpy.asarray(getattr(layer, attribute))
        return self.array(attribute, layout(layer, attribute, values.shape).outwards(values))

    def plain(self, blob: str, shape: Shape) -> str:
        """The blob with the axes that ours has; `shape` is ours, without the batch."""
        return self.op("Transpose", blob, perm=[0, 2, 3, 1]) if len(shape) == 3 else blob

    def finished(self, blob: str, shape: Shape) -> str:
        """The other way round, as the layer's last node."""
        return (
            self.op("Transpose", blob, last=True, perm=[0, 3, 1, 2]) if len(shape) == 3 else self.last(blob)
        )

    def last(self, blob: str) -> str:
        """Give the node that was added last the layer's name."""
        node = self._nodes[-1]
        assert node.output[0] == blob
        node.name = node.output[0] = self.name
        return self.name

    def model(self, input: tuple[str, Shape, bool], output: tuple[str, Shape]) -> Any:
        """The whole, as a ModelProto: (name, shape without the batch, integers?) in, (name, shape) out."""
        proto, name = onnx_library().TensorProto, input[0]
        dtype = proto.INT64 if input[2] else proto.FLOAT
        into = self._helper.make_tensor_value_info(name, dtype, ["N", *channels_first(input[1])])
        out = self._helper.make_tensor_value_info(output[0], proto.FLOAT, ["N", *channels_first(output[1])])
        arrays = [onnx_library().numpy_helper.from_array(each, key) for key, each in self._arrays.items()]
        graph = self._helper.make_graph(self._nodes, "network", [into], [out], arrays)
        opset = self._helper.make_opsetid("", OPSET)
        return self._helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="mesh"
        )


def channels_first(shape: Sequence[int]) -> Shape:
    """The shape of a sample there, of that here."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else tuple(shape)


def axis_there(axis: int, dimensions: int) -> int:
    """What an axis of ours, of a blob of so many dimensions with the batch, is there."""
    axis %= dimensions
    return (0, 2, 3, 1)[axis] if dimensions == 4 else axis


def axis_here(axis: int, dimensions: int) -> int:
    """What an axis of theirs is here."""
    axis %= dimensions
    return (0, 3, 1, 2)[axis] if dimensions == 4 else axis
