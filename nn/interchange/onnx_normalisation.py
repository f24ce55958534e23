"""Reading ONNX's normalisations, and those that are composed of several operators."""

from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray

from nn.interchange.onnx_file import OnnxFile, attributes, axes_of
from nn.interchange.onnx_patterns import Match
from nn.interchange.onnx_reading import Call, Form, Value
from nn.layers import BatchNorm, GroupNorm, LayerNorm, Normalize, RMSNorm

_EPS = 1e-5  # ONNX's, where a node does not say


def _batch_norm(call: Call) -> Value:
    names = ("weight", "bias", "running_mean", "running_var")
    arrays: dict[str, Any] = {name: call.array(str(place)) for place, name in enumerate(names, 1)}
    given = call.attributes
    if given.get("training_mode", 0) or not given.get("spatial", 1):
        raise call.error("it normalises by the batch, or each pixel by itself; expected running statistics")
    layer = BatchNorm(arrays["weight"].size, given.get("epsilon", _EPS), 1 - given.get("momentum", 0.9))
    return call.layer(layer, call.channels(), **arrays)


def _layer_norm(call: Call) -> Value:
    value, weight, bias = call.plain(), call.array("1"), call.optional("2")
    axis = call.attributes.get("axis", -1)
    axes = -axis if axis < 0 else len(value.shape) + 1 - axis
    shape = call.known(value.shape)[len(value.shape) - axes :]
    arrays: dict[str, Any] = {
        "weight": weight.reshape(shape),
        "bias": numpy.zeros(shape) if bias is None else bias.reshape(shape),
    }
    return call.layer(LayerNorm(shape, call.attributes.get("epsilon", _EPS)), value, **arrays)


def _rms_normalization(call: Call) -> Value:
    weight = call.array("1")
    if call.attributes.get("axis", -1) not in (-1, len(call.value().shape)) or weight.ndim != 1:
        raise call.error("it normalises over more than the last axis")
    return call.layer(RMSNorm(weight.size, call.attributes.get("epsilon", _EPS)), call.plain(), weight=weight)


def _group_normalization(call: Call) -> Value:
    value, weight, given = call.channels(), call.array("1"), call.attributes
    if weight.size != value.shape[0]:
        raise call.error("its scale is one for each group; expected one for each channel, as since opset 21")
    layer = GroupNorm(given["num_groups"], weight.size, given.get("epsilon", _EPS))
    return call.layer(layer, value, weight=weight, bias=call.array("2"))


# Patterns


def composed_rms_norm(call: Call) -> Value:
    """x / √(mean of x² + eps) · weight, over the last axis."""
    weight, value = call.array("#weight").ravel(), call.plain("x")
    return call.layer(RMSNorm(weight.size, float(call.array("#eps").item())), value, weight=weight)


def composed_layer_norm(call: Call) -> Value:
    """(x − mean) / √(variance + eps) · weight + bias, over the last axis."""
    weight, bias = call.array("#weight").ravel(), call.array("#bias").ravel()
    layer = LayerNorm(weight.size, float(call.array("#eps").item()))
    return call.layer(layer, call.plain("x"), weight=weight, bias=bias)


def over_last_axis(file: OnnxFile, found: Match) -> bool:
    """Whether all means of these two are over the last axis, which stays, and all arrays along it."""
    shape, eps = file.shapes.get(found.blobs["x"], ()), file.array(found.blobs["#eps"])
    means = [attributes(node) for label, node in found.nodes.items() if label in ("mean", "variance")]
    axes = [axes_of(file, node) for label, node in found.nodes.items() if label in ("mean", "variance")]
    arrays = [file.array(found.blobs[name]) for name in ("#weight", "#bias") if name in found.blobs]
    return (
        (eps is not None and eps.size == 1)
        and all(each in ([-1], [len(shape) - 1]) for each in axes)
        and all(each.get("keepdims", 1) == 1 for each in means)
        and all(array is not None and array.shape[-1:] == (array.size,) for array in arrays)
    )


def composed_group_norm(call: Call) -> Value:
    """InstanceNormalization of groups as if each were a channel, then weight and bias of each channel."""
    value, groups = call.channels("x"), call.array("#ones").size
    weight, bias = (_of_channels(call, value, call.array(name)) for name in ("#weight", "#bias"))
    if call.shape != value.shape or {weight.size, bias.size} != {value.shape[0]}:
        raise call.error(f"it makes {list(call.shape)} of {list(value.shape)}")
    layer = GroupNorm(groups, weight.size, attributes(call.found.nodes["normal"]).get("epsilon", _EPS))
    return call.layer(layer, value, weight=weight, bias=bias)


def splits_channels(file: OnnxFile, found: Match) -> bool:
    """Whether what is normalised in that has the groups as its second axis, and is not scaled."""
    groups, zeros = file.array(found.blobs["#ones"]), file.array(found.blobs["#zeros"])
    split = file.shapes.get(found.nodes["normal"].input[0], ())
    if groups is None or zeros is None:
        return False
    return bool((groups == 1).all() and not zeros.any() and split[1:2] == (groups.size,))


def normalize(call: Call) -> Value:
    """x · scale + shift with one number for all or one for each channel, as images are brought to a range."""
    value = call.value("x")
    scale, shift = (_of_channels(call, value, call.array(name)) for name in ("#scale", "#shift"))
    if not (scale > 0).all():
        raise call.error("it multiplies by numbers that are not all above 0")
    return call.layer(Normalize((-shift / scale).tolist(), (1 / scale).tolist()), value)


def _of_channels(call: Call, value: Value, array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of an array that is broadcast along what is our last axis, or of a single one."""
    axis = -len(value.shape) if value.form in (Form.CHANNELS_LAST, Form.POOLED) else -1
    along = array.ndim >= -axis and array.shape[axis] == array.size and value.form is not Form.FLAT
    if array.size != 1 and not along:
        raise call.error(f"it takes an array {list(array.shape)}; expected one number for each channel")
    return array.ravel()


NORMALISATIONS: dict[str, Callable[[Call], Value]] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_normalization,
}
