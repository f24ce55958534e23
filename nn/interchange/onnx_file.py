"""What an ONNX file says: nodes, arrays and shapes, checked before anything is made of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.errors import NetworkError, SaveError
from nn.interchange.onnx_library import onnx_library

_OLDEST = 7  # since when operators broadcast as NumPy does

Shape = tuple[int | None, ...]  # None: not known, or any


class OnnxFile:
    """A graph of one input and one output; `makers` are the nodes by the blobs that they make.

    Raises `SaveError` for a file that is missing or damaged, `NetworkError` for a graph of another form.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        graph, self.opset = _loaded(path)
        self._given = {each.name: each for each in graph.initializer}
        self._arrays: dict[str, NDArray[Any]] = {}
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.shapes = dict(_shapes(graph))
        inputs = [each.name for each in graph.input if each.name not in self._given]
        outputs = [each.name for each in graph.output]
        if self.opset < _OLDEST:
            raise NetworkError(f"{path} is of opset {self.opset}; expected at least {_OLDEST}, of 2018.")
        if len(inputs) != 1 or len(outputs) != 1:
            raise NetworkError(f"{path} takes {inputs} and gives {outputs}; expected one of each.")
        self.input, self.output = inputs[0], outputs[0]

    def array(self, name: str) -> NDArray[Any] | None:
        """The array of this name, if it is one that comes with the file or is computed from such."""
        if name not in self._arrays:
            found = self._found(name)
            if found is None:
                return None
            self._arrays[name] = found
        return self._arrays[name]

    def _found(self, name: str) -> NDArray[Any] | None:
        if name in self._given:
            return self._values(self._given[name], name)
        node = self.makers.get(name)
        if node is None or node.op_type not in _FOLDED:
            return None
        if node.op_type == "Constant":
            value = next((each for each in node.attribute if each.name == "value"), None)
            return self._values(value.t, name) if value else numpy.asarray(attributes(node).popitem()[1])
        inputs = [self.array(each) for each in node.input]
        if not inputs or any(each is None for each in inputs):
            return None
        if sum(each.size for each in inputs if each is not None) > _LARGEST_FOLDED and len(inputs) > 1:
            return None
        try:
            return numpy.asarray(_FOLDED[node.op_type](attributes(node), *inputs))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise SaveError(f"{self.path} is damaged: {name!r} cannot be computed: {error}.") from error

    def _values(self, proto: Any, name: str) -> NDArray[Any]:
        try:
            return numpy.asarray(onnx_library().numpy_helper.to_array(proto))
        except (ValueError, TypeError, OSError) as error:
            raise SaveError(
                f"{self.path} is damaged: its array {name!r} is not what it says: {error}."
            ) from error


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python's values."""
    helper = onnx_library().helper
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def axes_of(file: OnnxFile, node: Any) -> list[int]:
    """The axes of a ReduceMean or a Squeeze: an attribute, and an input since opset 18 or 13."""
    array = file.array(node.input[1]) if len(node.input) > 1 else None
    return [int(axis) for axis in (attributes(node).get("axes", ()) if array is None else array.ravel())]


def _loaded(path: Path) -> tuple[Any, int]:
    """The graph with the shapes of all blobs, and its opset."""
    onnx = onnx_library()
    if not path.is_file():
        raise SaveError(f"There is no file {path}.")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        if model.functions:
            import onnx.inliner

            model = onnx.inliner.inline_local_functions(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # protobuf, the checker and the inference each have their own
        raise SaveError(f"{path} is not a sound ONNX file: {str(error).strip()}") from error
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    return model.graph, opset


def _shapes(graph: Any) -> Iterator[tuple[str, Shape]]:
    for each in (*graph.input, *graph.value_info, *graph.output):
        if each.type.tensor_type.HasField("shape"):
            sizes = each.type.tensor_type.shape.dim
            yield each.name, tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)


# What is computed from arrays alone, as exporters leave it

_LARGEST_FOLDED = 1 << 20  # elements of what is joined: shapes are


def _axes(given: dict[str, Any], more: tuple[NDArray[Any], ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in (more[0] if more else given["axes"]))


def _cast(given: dict[str, Any], x: NDArray[Any]) -> NDArray[Any]:
    return x.astype(onnx_library().helper.tensor_dtype_to_np_dtype(given["to"]))


_FOLDED: dict[str, Any] = {
    "Constant": None,
    "Identity": lambda given, x: x,
    "Cast": _cast,
    "Transpose": lambda given, x: x.transpose(given.get("perm")),
    "Unsqueeze": lambda given, x, *more: numpy.expand_dims(x, _axes(given, more)),
    "Squeeze": lambda given, x, *more: numpy.squeeze(x, _axes(given, more)),
    "Concat": lambda given, *each: numpy.concatenate(each, given["axis"]),
}
