"""Which operators of ONNX, and which patterns of them, become which of our layers.

A reader takes a `Call` and gives the value that comes out, after adding its layer. Those of patterns come
first; what a pattern must have beyond its form is in its `fits`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from nn.errors import NetworkError
from nn.interchange import onnx_patterns as patterns
from nn.interchange.onnx_file import OnnxFile, attributes, axes_of
from nn.interchange.onnx_patterns import Match, Tree
from nn.interchange.onnx_reading import Call, Form, Value
from nn.interchange.onnx_shapes import SHAPES
from nn.interchange.onnx_windows import WINDOWS, padded_pool
from nn.layer import Layer
from nn.layers import (
    GELU,
    Add,
    BatchNorm,
    Dropout,
    Embedding,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Normalize,
    PositionalEmbedding,
    ReLU,
    ReLU6,
    RMSNorm,
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
        if any((each.shape, each.form) != (values[0].shape, values[0].form) for each in values):
            raise call.error(f"it adds {[list(each.shape) for each in values]}; expected one shape")
        return call.layer(Add(), *values)
    array = next(array for key in call.found.blobs if (array := call.optional(key)) is not None)
    places = (
        array.reshape(array.shape[-2:])
        if array.ndim > 1 and array.size == math.prod(array.shape[-2:])
        else array
    )
    if len(call.found.blobs) != 2 or places.ndim != 2 or places.shape != call.shape:
        raise call.error(f"it adds an array {list(array.shape)}; expected one for each place of [N, T, C]")
    return call.layer(PositionalEmbedding(*places.shape), values[0], weight=places)


# Normalisation


def _batch_norm(call: Call) -> Value:
    value = call.value()
    if value.form is Form.FLAT or (value.form is Form.SAME and len(value.shape) != 1):
        value = call.plain() if len(value.shape) == 1 else call.image()
    names = ("weight", "bias", "running_mean", "running_var")
    arrays: dict[str, Any] = {name: call.array(str(place)) for place, name in enumerate(names, 1)}
    given = call.attributes
    layer = BatchNorm(arrays["weight"].size, given.get("epsilon", 1e-5), 1 - given.get("momentum", 0.9))
    return call.layer(layer, value, **arrays)


def _layer_norm(call: Call) -> Value:
    value, weight = call.plain(), call.array("1")
    axis = call.attributes.get("axis", -1)
    axes = -axis if axis < 0 else len(value.shape) + 1 - axis
    shape = call.known(value.shape)[len(value.shape) - axes :]
    bias = call.optional("2")
    arrays: dict[str, Any] = {
        "weight": weight.reshape(shape),
        "bias": numpy.zeros(shape) if bias is None else bias.reshape(shape),
    }
    return call.layer(LayerNorm(shape, call.attributes.get("epsilon", 1e-5)), value, **arrays)


def _composed_layer_norm(call: Call) -> Value:
    weight, bias = call.array("#weight"), call.array("#bias")
    eps = float(call.array("#eps").item())
    return call.layer(LayerNorm(weight.size, eps), call.plain("x"), weight=weight.ravel(), bias=bias.ravel())


def _rms_norm(call: Call) -> Value:
    weight = call.array("#weight").ravel()
    return call.layer(RMSNorm(weight.size, float(call.array("#eps").item())), call.plain("x"), weight=weight)


def _rms_normalization(call: Call) -> Value:
    weight = call.array("1")
    if call.attributes.get("axis", -1) not in (-1, len(call.value().shape)) or weight.ndim != 1:
        raise call.error("it normalises over more than the last axis")
    return call.layer(RMSNorm(weight.size, call.attributes.get("epsilon", 1e-5)), call.plain(), weight=weight)


def _over_last_axis(file: OnnxFile, found: Match) -> bool:
    """Whether all means of a pattern are over the last axis, which stays."""
    last, eps = len(file.shapes.get(found.blobs["x"], ())) - 1, file.array(found.blobs["#eps"])
    means = [node for label, node in found.nodes.items() if label in ("mean", "variance")]
    return (eps is not None and eps.size == 1) and all(
        axes_of(file, node) in ([-1], [last]) and attributes(node).get("keepdims", 1) == 1 for node in means
    )


def _composed_group_norm(call: Call) -> Value:
    groups = call.array("#ones").size
    eps = attributes(call.found.nodes["normal"]).get("epsilon", 1e-5)
    return _grouped(call, "x", groups, eps, call.array("#weight").ravel(), call.array("#bias").ravel())


def _splits_channels(file: OnnxFile, found: Match) -> bool:
    groups = file.array(found.blobs["#ones"])
    zeros = file.array(found.blobs["#zeros"])
    split = file.shapes.get(found.nodes["normal"].input[0], ())
    assert groups is not None
    assert zeros is not None
    return bool((groups == 1).all() and not zeros.any() and split[1:2] == (groups.size,))


def _group_normalization(call: Call) -> Value:
    weight = call.array("1")
    if weight.size != call.shape[0]:
        raise call.error("its scale is one for each group; expected one for each channel, as since opset 21")
    given = call.attributes
    return _grouped(call, "0", given["num_groups"], given.get("epsilon", 1e-5), weight, call.array("2"))


def _grouped(call: Call, key: str, groups: int, eps: float, weight: Any, bias: Any) -> Value:
    value = call.value(key)
    if value.form is not Form.CHANNELS_LAST and len(value.shape) != 1:
        raise call.error("it takes what has no channels")
    return call.layer(GroupNorm(groups, weight.size, eps), value, weight=weight, bias=bias)


def _normalize(call: Call) -> Value:
    scale, shift = call.array("#scale"), call.array("#shift")
    return call.layer(
        Normalize((-shift / scale).ravel().tolist(), (1 / scale).ravel().tolist()), call.value("x")
    )


def _one_for_each_channel(file: OnnxFile, found: Match) -> bool:
    rank = len(file.shapes.get(found.blobs["x"], ()))
    scale, shift = (file.array(found.blobs[key]) for key in ("#scale", "#shift"))
    assert scale is not None
    assert shift is not None
    places = rank - 2 if rank == 4 else 0  # axes after the channels in the file
    shapes = {array.shape[array.ndim - places :] for array in (scale, shift) if array.size > 1}
    lengths = {array.size for array in (scale, shift)}
    return bool((scale > 0).all()) and shapes <= {(1,) * places} and len(lengths - {1}) <= 1


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
    heads = int(call.array("#split")[3])
    return call.layer(SelfAttention(heads, causal="#mask" in call.found.blobs), call.plain("x"))


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
    (patterns.RMS_NORM, _rms_norm, _over_last_axis),
    (patterns.LAYER_NORM, _composed_layer_norm, _over_last_axis),
    (patterns.GROUP_NORM, _composed_group_norm, _splits_channels),
    (patterns.SELF_ATTENTION, _self_attention, _is_attention),
    (patterns.PADDED_POOL, padded_pool, _always),
    (patterns.AFFINE, _normalize, _one_for_each_channel),
)

_OPERATORS: dict[str, Read] = {
    "Add": _add,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Dropout": _dropout,
    "Gather": _gather,
    "Gelu": lambda call: call.layer(GELU(call.attributes.get("approximate", "none")), call.value()),
    "Gemm": _gemm,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "RMSNormalization": _rms_normalization,
    "Relu": _elementwise(ReLU),
    "Sigmoid": _elementwise(Sigmoid),
    "Sum": _add,
    "Tanh": _elementwise(Tanh),
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
