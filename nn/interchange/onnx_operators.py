"""Which operators of ONNX, and which patterns of them, become which of our layers.

A reader takes a `Call` and gives the value that comes out, after adding its layer. Those of patterns come
first; what a pattern must have beyond its form is in its `fits`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy

from nn.errors import NetworkError
from nn.interchange import onnx_patterns as patterns
from nn.interchange.onnx_file import OnnxFile, attributes
from nn.interchange.onnx_normalisation import (
    NORMALISATIONS,
    composed_group_norm,
    composed_layer_norm,
    composed_rms_norm,
    normalize,
    over_last_axis,
    splits_channels,
)
from nn.interchange.onnx_patterns import Match, Tree
from nn.interchange.onnx_reading import Call, Form, Value
from nn.interchange.onnx_shapes import SHAPES
from nn.interchange.onnx_windows import WINDOWS, is_padded_pool, padded_pool
from nn.layer import Layer
from nn.layers import (
    GELU,
    Add,
    Dropout,
    Embedding,
    LeakyReLU,
    Linear,
    PositionalEmbedding,
    ReLU,
    ReLU6,
    SelfAttention,
    Sigmoid,
    SiLU,
    Tanh,
)

Read = Callable[[Call], Value]
Fits = Callable[[OnnxFile, Match], bool]


def _elementwise(layer_class: type[Layer]) -> Read:
    return lambda call: call.layer(layer_class(), call.values()[0])


# Linear layers and tables


def _rows(call: Call, key: str, weight: Any, bias: Any) -> Value:
    """A Linear over the last axis, or over the image that a Flatten before it would have made rows of."""
    value, out = call.value(key), weight.shape[0]
    if value.form is Form.FLAT:
        channels, height, width = call.known(value.image)
        turned = weight.reshape(out, channels, height, width).transpose(0, 2, 3, 1).reshape(out, -1)
        layer = Linear((height, width, channels), out, bias is not None)
        return call.layer(layer, value, form=Form.SAME, weight=turned, bias=bias)
    layer = Linear(weight.shape[1], out, bias is not None)
    return call.layer(layer, call.plain(key), weight=weight, bias=bias)


def _matrix(call: Call, key: str) -> Any:
    weight = call.array(key)
    if weight.ndim != 2:
        raise call.error(f"its weight is {list(weight.shape)}; expected two axes")
    return weight


def _gemm(call: Call) -> Value:
    given = call.attributes
    weight, bias = _matrix(call, "1"), call.optional("2")
    if given.get("transA", 0):
        raise call.error("it transposes its input")
    weight = (weight if given.get("transB", 0) else weight.T) * numpy.float32(given.get("alpha", 1.0))
    if bias is not None:
        bias = numpy.broadcast_to(bias, (1, weight.shape[0]))[0] * numpy.float32(given.get("beta", 1.0))
    return _rows(call, "0", weight, bias)


def _matmul(call: Call) -> Value:
    return _rows(call, "0", _matrix(call, "1").T, None)


def _linear(call: Call) -> Value:
    return _rows(call, "x", _matrix(call, "#weight").T, call.array("#bias"))


def _is_bias(file: OnnxFile, found: Match) -> bool:
    weight, bias = file.array(found.blobs["#weight"]), file.array(found.blobs["#bias"])
    return weight is not None and bias is not None and bias.shape == weight.shape[1:]


def _gather(call: Call) -> Value:
    weight = _matrix(call, "0")
    if call.attributes.get("axis", 0) != 0:
        raise call.error("it looks up along another axis than the first")
    return call.layer(Embedding(*weight.shape), call.plain("1"), weight=weight)


def _add(call: Call) -> Value:
    """Several blobs of one shape; or one and a vector for each place, which is learnt."""
    values = call.values()
    if len(values) == len(call.found.blobs):
        if any(replace(each, blob=values[0].blob) != values[0] for each in values):
            raise call.error(f"it adds {[list(each.shape) for each in values]}; expected one shape")
        return call.layer(Add(), *values)
    array = next(array for key in call.found.blobs if (array := call.optional(key)) is not None)
    places = (
        array.reshape(array.shape[-2:])
        if array.ndim > 1 and array.size == math.prod(array.shape[-2:])
        else array
    )
    fits = len(call.found.blobs) == 2 and places.ndim == 2 and places.shape == call.shape
    if not fits or values[0].form is not Form.SAME:
        raise call.error(f"it adds an array {list(array.shape)}; expected one for each place of [N, T, C]")
    return call.layer(PositionalEmbedding(*places.shape), values[0], weight=places)


# Activations


def _leaky_relu(call: Call) -> Value:
    return call.layer(LeakyReLU(call.attributes.get("alpha", 0.01)), call.value())


def _clip(call: Call) -> Value:
    """Clip(0, 6) and Clip(0, ∞): the bounds are attributes up to opset 10."""
    given = [call.optional(key) for key in ("1", "2")]
    least, most = (
        call.attributes.get(name) if array is None else float(array.item())
        for name, array in zip(("min", "max"), given, strict=True)
    )
    if least == 0 and most == 6:
        return call.layer(ReLU6(), call.value())
    if least == 0 and (most is None or most >= numpy.finfo(numpy.float32).max):
        return call.layer(ReLU(), call.value())
    raise call.error(f"it clips to {least} and {most}; expected 0 and 6")


def _dropout(call: Call) -> Value:
    array = call.optional("1")
    ratio = call.attributes.get("ratio", 0.5) if array is None else float(array.item())
    return call.layer(Dropout(ratio), call.value())


def _self_attention(call: Call) -> Value:
    heads, value = int(call.array("#split")[3]), call.plain("x")
    length, size = call.known(value.shape)
    if call.shape != (length, size // 3):
        raise call.error(f"it makes {list(call.shape)} of {[length, size]}")
    return call.layer(SelfAttention(heads, causal="#mask" in call.found.blobs), value)


def _is_attention(file: OnnxFile, found: Match) -> bool:
    """As `nn.export_onnx` writes it: five axes to three parts, the scale 1 / √d, and a mask that sees what
    was."""
    split, scale = file.array(found.blobs["#split"]), file.array(found.blobs["#scale"])
    perms = [attributes(found.nodes[name]).get("perm") for name in ("parts", "keys", "heads")]
    if perms != [[2, 0, 3, 1, 4], [0, 1, 3, 2], [0, 2, 1, 3]] or split is None or scale is None:
        return False
    if split.size != 5 or scale.size != 1:
        return False
    length, width = int(split[1]), int(split[4])
    if min(length, width) < 1:
        return False
    softmax = attributes(found.nodes["softmax"]).get("axis", -1)
    mask = file.array(found.blobs["#mask"]) if "#mask" in found.blobs else None
    seen = mask is None or (
        mask.shape == (length, length)
        and (numpy.tril(mask) == 0).all()
        and (mask[numpy.triu_indices(length, 1)] < -1e9).all()
    )
    return bool(split[2] == 3 and softmax in (-1, 3) and seen and numpy.isclose(scale.item(), width**-0.5))


# Tables


def _always(file: OnnxFile, found: Match) -> bool:
    return True


_PATTERNS: tuple[tuple[Sequence[Tree], Read, Fits], ...] = (
    (patterns.LINEAR, _linear, _is_bias),
    (patterns.SILU, _elementwise(SiLU), _always),
    (patterns.GELU_BY_ERF, lambda call: call.layer(GELU(), call.value("x")), _always),
    (patterns.GELU_BY_TANH, lambda call: call.layer(GELU("tanh"), call.value("x")), _always),
    (patterns.RMS_NORM, composed_rms_norm, over_last_axis),
    (patterns.LAYER_NORM, composed_layer_norm, over_last_axis),
    (patterns.GROUP_NORM, composed_group_norm, splits_channels),
    (patterns.SELF_ATTENTION, _self_attention, _is_attention),
    (patterns.PADDED_POOL, padded_pool, is_padded_pool),
    (patterns.AFFINE, normalize, _always),
)

_OPERATORS: dict[str, Read] = {
    "Add": _add,
    "Clip": _clip,
    "Dropout": _dropout,
    "Gather": _gather,
    "Gelu": lambda call: call.layer(GELU(call.attributes.get("approximate", "none")), call.value()),
    "Gemm": _gemm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "Relu": _elementwise(ReLU),
    "Sigmoid": _elementwise(Sigmoid),
    "Sum": _add,
    "Tanh": _elementwise(Tanh),
    **NORMALISATIONS,
    **WINDOWS,
    **SHAPES,
}


def found_at(blob: str, file: OnnxFile) -> tuple[Read, Match]:
    """How the blob is read, and what of. Raises `NetworkError` for an operator that is not known."""
    node = file.makers.get(blob)
    if node is None:
        raise NetworkError(f"{file.path}: nothing makes the blob {blob!r}.")
    for trees, read, fits in _PATTERNS:
        for tree in trees:
            found = patterns.match(tree, blob, file)
            if found is not None and fits(file, found):
                return read, found
    name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    if name not in _OPERATORS or node.output[0] != blob:
        which = "" if node.output[0] == blob else " in its second output"
        raise NetworkError(
            f"{file.path}: the node {node.name or blob!r} is a {name}{which}, for which there is no layer "
            f"here. Known are: {', '.join(sorted(_OPERATORS))}."
        )
    inputs = node.input[:1] if name == "Reshape" and file.array(node.input[1]) is None else node.input
    return _OPERATORS[name], Match({str(place): each for place, each in enumerate(inputs) if each})
