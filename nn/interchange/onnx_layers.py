"""How each layer is written to ONNX.

Each function adds its layer's nodes and gives the blob that comes out; `shapes` are those of its inputs here,
without the batch. An activation that ONNX lacks is several nodes, which nn.interchange.onnx_patterns finds
again.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from nn.interchange.onnx_writer import Shape, Writer, axis_there
from nn.layer import Layer
from nn.layers import (
    GELU,
    Add,
    AvgPool2d,
    BatchNorm,
    ColorJitter,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DataAugmentation,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    MultiHeadAttention,
    Normalize,
    PositionalEmbedding,
    RandomCrop,
    RandomHorizontalFlip,
    ReLU,
    ReLU6,
    Reshape,
    RMSNorm,
    SelfAttention,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample,
    ZeroPad2d,
)
from tensor.pooling import pooled_size

Blobs = Sequence[str]
Shapes = Sequence[Shape]
Size = Sequence[int]
Write = Callable[[Writer, Any, Blobs, Shapes], str]


def _operator(op_type: str, **attributes: Any) -> Write:
    """A layer that is one node and depends on nothing."""
    return lambda writer, layer, blobs, shapes: writer.op(op_type, blobs[0], last=True, **attributes)


# With weights


def _window(layer: Any, size: tuple[int, int]) -> dict[str, Any]:
    return {"kernel_shape": size, "strides": layer.stride, "pads": [*layer.padding, *layer.padding]}


def _weights(writer: Writer, layer: Conv2d | ConvTranspose2d) -> list[str]:
    return [
        writer.parameter(layer, each) for each in ("weight", "bias") if each == "weight" or layer.has_bias
    ]


def _conv2d(writer: Writer, layer: Conv2d, blobs: Blobs, shapes: Shapes) -> str:
    more = {**_window(layer, layer.kernel_size), "dilations": layer.dilation, "group": layer.groups}
    return writer.op("Conv", blobs[0], *_weights(writer, layer), last=True, **more)


def _conv_transpose2d(writer: Writer, layer: ConvTranspose2d, blobs: Blobs, shapes: Shapes) -> str:
    more = {
        **_window(layer, layer.kernel_size),
        "group": layer.groups,
        "output_padding": layer.output_padding,
    }
    return writer.op("ConvTranspose", blobs[0], *_weights(writer, layer), last=True, **more)


def _linear(writer: Writer, layer: Linear, blobs: Blobs, shapes: Shapes) -> str:
    """Gemm of rows, a Flatten before it where they are images; MatMul where there are more axes."""
    x, shape = blobs[0], shapes[0]
    if shape == layer.in_shape:
        rows = writer.op("Flatten", x, axis=1) if len(shape) > 1 else x
        bias = [writer.parameter(layer, "bias")] if layer.has_bias else []
        return writer.op("Gemm", rows, writer.parameter(layer, "weight"), *bias, last=True, transB=1)
    leading = shape[: len(shape) - len(layer.in_shape)]
    rows = writer.plain(x, shape)
    if len(layer.in_shape) > 1:
        rows = writer.op("Reshape", rows, writer.integers("shape", 0, *leading, layer.in_size))
    y = writer.op("MatMul", rows, writer.array("weight", numpy.asarray(layer.weight).T))
    if layer.has_bias:
        y = writer.op("Add", y, writer.parameter(layer, "bias"))
    return writer.finished(y, (*leading, layer.out_features))


def _embedding(writer: Writer, layer: Embedding, blobs: Blobs, shapes: Shapes) -> str:
    y = writer.op("Gather", writer.parameter(layer, "weight"), blobs[0], axis=0)
    return writer.finished(y, (*shapes[0], layer.channels))


def _positional_embedding(writer: Writer, layer: PositionalEmbedding, blobs: Blobs, shapes: Shapes) -> str:
    rows = writer.array("weight", numpy.asarray(layer.weight)[: shapes[0][0]])
    return writer.op("Add", blobs[0], rows, last=True)


# Windows, and whole images


def _pooling(layer: MaxPool2d | AvgPool2d, shape: Shape) -> dict[str, Any]:
    """The window, with what rounding up adds.

    Up to opset 21, ONNX also counts windows that begin beyond the image and its padding. Where we leave one
    out along one axis and round up along the other, both are said by the padding at the end.
    """
    sides = list(zip(shape, layer.size, layer.stride, layer.padding, strict=False))
    counts = [pooled_size(*side, layer.ceil_mode) for side in sides]
    floors = [pooled_size(*side, ceil_mode=False) for side in sides]
    ceilings = [-(-(size + 2 * pad - window) // stride) + 1 for size, window, stride, pad in sides]
    window = _window(layer, layer.size)
    if counts in (floors, ceilings):
        return {**window, "ceil_mode": int(counts != floors)}
    ends = [
        pad if count == floor else (count - 1) * stride + window - size - pad
        for (size, window, stride, pad), count, floor in zip(sides, counts, floors, strict=True)
    ]
    return {**window, "pads": [*layer.padding, *ends], "ceil_mode": 0}


def _max_pool2d(writer: Writer, layer: MaxPool2d, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("MaxPool", blobs[0], last=True, **_pooling(layer, shapes[0]))


def _avg_pool2d(writer: Writer, layer: AvgPool2d, blobs: Blobs, shapes: Shapes) -> str:
    """Padding that counts, but not that which only rounds up, becomes part of the image."""
    x, counts, pooling = blobs[0], layer.count_include_pad, _pooling(layer, shapes[0])
    (top, left), ends = layer.padding, pooling["pads"][2:]
    if counts and tuple(ends) != layer.padding:
        x = _padded(writer, x, (top, left), (top, left))
        pooling["pads"] = [0, 0, max(0, ends[0] - top), max(0, ends[1] - left)]
        counts = False
    return writer.op("AveragePool", x, last=True, count_include_pad=int(counts), **pooling)


def _global(op_type: str) -> Write:
    def write(writer: Writer, layer: Layer, blobs: Blobs, shapes: Shapes) -> str:
        return writer.op("Flatten", writer.op(op_type, blobs[0]), last=True, axis=1)

    return write


def _zero_pad2d(writer: Writer, layer: ZeroPad2d, blobs: Blobs, shapes: Shapes) -> str:
    """With its axes named, so that onnxruntime keeps it apart: up to 1.30 at least, it makes any other Pad
    part of a pooling that follows, where a MaxPool takes no zeros and none may be as long as a window.
    """
    pads = writer.integers("pads", *layer.before, *layer.after)
    return writer.op("Pad", blobs[0], pads, "", writer.integers("axes", 2, 3), last=True)


def _padded(writer: Writer, blob: str, before: Size, after: Size) -> str:
    return writer.op("Pad", blob, writer.integers("pads", 0, 0, *before, 0, 0, *after))


def _random_crop(writer: Writer, layer: RandomCrop, blobs: Blobs, shapes: Shapes) -> str:
    """The piece in the middle, as in evaluation."""
    return writer.last(_middle(writer, blobs[0], shapes[0], layer.size))


def _data_augmentation(writer: Writer, layer: DataAugmentation, blobs: Blobs, shapes: Shapes) -> str:
    """In evaluation; its numbers are for bytes, and its images are bytes / 256."""
    x = _middle(writer, blobs[0], shapes[0], layer.out_shape or shapes[0][:2])
    return _on_a_line(writer, x, shapes[0], numpy.array([256 * layer.scale]), layer.mean * -layer.scale)


def _middle(writer: Writer, blob: str, shape: Shape, size: Size) -> str:
    """`size` pixels from the middle of an image, with zeros around it where it is smaller."""
    before = [(side - wanted) // 2 for side, wanted in zip(shape, size, strict=False)]
    after = [side - wanted - first for side, wanted, first in zip(shape, size, before, strict=False)]
    if min(before) < 0 or min(after) < 0:
        top_left, bottom_right = ([max(0, -each) for each in side] for side in (before, after))
        blob = _padded(writer, blob, top_left, bottom_right)
    starts = [max(0, each) for each in before]
    ends = [start + wanted for start, wanted in zip(starts, size, strict=True)]
    arrays = {"starts": starts, "ends": ends, "axes": (2, 3)}
    names = [writer.integers(name, *each) for name, each in arrays.items()]
    return writer.op("Slice", blob, *names)


def _upsample(writer: Writer, layer: Upsample, blobs: Blobs, shapes: Shapes) -> str:
    scales = writer.array("scales", numpy.array([1, 1, *layer.scale], numpy.float32))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return writer.op(
        "Resize", blobs[0], "", scales, last=True, **nearest if layer.mode == "nearest" else linear
    )


# Normalisation


def _swapped(writer: Writer, blob: str, shape: Shape) -> str:
    """Channels before places, as others expect them, and back: of [N, T, C] here, which has them last."""
    return writer.op("Transpose", blob, perm=[0, 2, 1]) if len(shape) == 2 else blob


def _batch_norm(writer: Writer, layer: BatchNorm, blobs: Blobs, shapes: Shapes) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = [writer.parameter(layer, each) for each in names]
    x = _swapped(writer, blobs[0], shapes[0])
    y = writer.op("BatchNormalization", x, *arrays, epsilon=layer.eps, momentum=1 - layer.rate)
    return writer.last(_swapped(writer, y, shapes[0]))


def _layer_norm(writer: Writer, layer: LayerNorm, blobs: Blobs, shapes: Shapes) -> str:
    x = writer.plain(blobs[0], shapes[0])
    weights = [writer.array(name, numpy.asarray(getattr(layer, name))) for name in ("weight", "bias")]
    y = writer.op("LayerNormalization", x, *weights, axis=-len(layer.shape), epsilon=layer.eps)
    return writer.finished(y, shapes[0])


def _rms_norm(writer: Writer, layer: RMSNorm, blobs: Blobs, shapes: Shapes) -> str:
    x = writer.plain(blobs[0], shapes[0])
    mean = writer.op("ReduceMean", writer.op("Mul", x, x), writer.integers("axes", -1), keepdims=1)
    root = writer.op("Sqrt", writer.op("Add", mean, writer.number("eps", layer.eps)))
    y = writer.op("Mul", writer.op("Div", x, root), writer.parameter(layer, "weight"))
    return writer.finished(y, shapes[0])


def _group_norm(writer: Writer, layer: GroupNorm, blobs: Blobs, shapes: Shapes) -> str:
    """InstanceNormalization of groups as if each were a channel, as PyTorch's exporter writes it."""
    shape, count = shapes[0], layer.groups
    x = _swapped(writer, blobs[0], shape)
    ones = writer.array("ones", numpy.ones(count, numpy.float32))
    zeros = writer.array("zeros", numpy.zeros(count, numpy.float32))
    groups = writer.op("Reshape", x, writer.integers("groups", 0, count, -1))
    normal = writer.op("InstanceNormalization", groups, ones, zeros, epsilon=layer.eps)
    y = writer.op("Reshape", normal, writer.integers("shape", 0, layer.channels, *shape[:-1]))
    column = (layer.channels, *(1,) * (len(shape) - 1))
    weight, bias = (numpy.asarray(each).reshape(column) for each in (layer.weight, layer.bias))
    y = writer.op("Add", writer.op("Mul", y, writer.array("weight", weight)), writer.array("bias", bias))
    return writer.last(_swapped(writer, y, shape))


def _normalize(writer: Writer, layer: Normalize, blobs: Blobs, shapes: Shapes) -> str:
    mean, std = (numpy.atleast_1d(layer.arguments[each]) for each in ("mean", "std"))
    return _on_a_line(writer, blobs[0], shapes[0], 1 / std, -mean / std)


def _on_a_line(writer: Writer, blob: str, shape: Shape, scale: Any, shift: Any) -> str:
    """x · scale + shift, each a number or one for each channel."""
    column = (-1, 1, 1) if len(shape) == 3 else (-1,)
    scale, shift = (each.astype(numpy.float32).reshape(column) for each in (scale, shift))
    y = writer.op("Mul", blob, writer.array("scale", scale))
    return writer.op("Add", y, writer.array("shift", shift), last=True)


# Elements, rows and shapes


def _relu6(writer: Writer, layer: ReLU6, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Clip", blobs[0], writer.number("least", 0), writer.number("most", 6), last=True)


def _leaky_relu(writer: Writer, layer: LeakyReLU, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("LeakyRelu", blobs[0], last=True, alpha=layer.slope)


def _silu(writer: Writer, layer: SiLU, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Mul", blobs[0], writer.op("Sigmoid", blobs[0]), last=True)


def _gelu(writer: Writer, layer: GELU, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Gelu", blobs[0], last=True, approximate=layer.approximate)


def _dropout(writer: Writer, layer: Dropout, blobs: Blobs, shapes: Shapes) -> str:
    """Does nothing there either, unless somebody trains the graph."""
    return writer.op("Dropout", blobs[0], writer.number("ratio", layer.ratio), last=True)


def _softmax(writer: Writer, layer: Softmax, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Softmax", blobs[0], last=True, axis=axis_there(layer.axis, len(shapes[0]) + 1))


def _add(writer: Writer, layer: Add, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Add" if len(blobs) == 2 else "Sum", *blobs, last=True)


def _concat(writer: Writer, layer: Concat, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Concat", *blobs, last=True, axis=axis_there(layer.axis, len(shapes[0]) + 1))


def _flatten(writer: Writer, layer: Flatten, blobs: Blobs, shapes: Shapes) -> str:
    return writer.op("Flatten", writer.plain(blobs[0], shapes[0]), last=True, axis=1)


def _reshape(writer: Writer, layer: Reshape, blobs: Blobs, shapes: Shapes) -> str:
    x = writer.plain(blobs[0], shapes[0])
    y = writer.op("Reshape", x, writer.integers("shape", 0, *layer.shape))
    return writer.finished(y, layer.shape)


# Attention


def _multi_head_attention(writer: Writer, layer: MultiHeadAttention, blobs: Blobs, shapes: Shapes) -> str:
    """Its three layers, each under its own name."""
    name, blob, shape = writer.name, blobs[0], shapes[0]
    for part, width in (("qkv", 3 * layer.channels), ("attention", layer.channels), ("proj", layer.channels)):
        writer.name = f"{name}.{part}"
        inner = getattr(layer, part)
        blob = WRITERS[type(inner)](writer, inner, [blob], [shape])
        shape = (*shape[:-1], width)
    return blob


def _self_attention(writer: Writer, layer: SelfAttention, blobs: Blobs, shapes: Shapes) -> str:
    """softmax(Q · Kᵀ / √d + mask) · V, with the mask of −∞ as an array: length by length."""
    (length, size), heads = shapes[0], layer.heads
    channels = size // 3
    parts = writer.op("Reshape", blobs[0], writer.integers("heads", 0, length, 3, heads, channels // heads))
    parts = writer.op("Transpose", parts, perm=[2, 0, 3, 1, 4])  # [3, N, heads, length, channels / heads]
    q, k, v = (
        writer.op("Gather", parts, writer.array(name, numpy.array(number, numpy.int64)), axis=0)
        for number, name in enumerate("qkv")
    )
    scores = writer.op("MatMul", q, writer.op("Transpose", k, perm=[0, 1, 3, 2]))
    scores = writer.op("Mul", scores, writer.number("scale", 1 / math.sqrt(channels // heads)))
    if layer.causal:
        mask = numpy.triu(numpy.full((length, length), -numpy.inf, numpy.float32), 1)
        scores = writer.op("Add", scores, writer.array("mask", mask))
    y = writer.op("MatMul", writer.op("Softmax", scores, axis=-1), v)
    y = writer.op("Transpose", y, perm=[0, 2, 1, 3])
    return writer.op("Reshape", y, writer.integers("shape", 0, length, channels), last=True)


WRITERS: dict[type[Layer], Write] = {
    Add: _add,
    AvgPool2d: _avg_pool2d,
    BatchNorm: _batch_norm,
    ColorJitter: _operator("Identity"),  # in evaluation
    Concat: _concat,
    Conv2d: _conv2d,
    ConvTranspose2d: _conv_transpose2d,
    DataAugmentation: _data_augmentation,
    Dropout: _dropout,
    Embedding: _embedding,
    Flatten: _flatten,
    GELU: _gelu,
    GlobalAvgPool2d: _global("GlobalAveragePool"),
    GlobalMaxPool2d: _global("GlobalMaxPool"),
    GroupNorm: _group_norm,
    LayerNorm: _layer_norm,
    LeakyReLU: _leaky_relu,
    Linear: _linear,
    MaxPool2d: _max_pool2d,
    MultiHeadAttention: _multi_head_attention,
    Normalize: _normalize,
    PositionalEmbedding: _positional_embedding,
    RandomCrop: _random_crop,
    RandomHorizontalFlip: _operator("Identity"),  # in evaluation
    ReLU: _operator("Relu"),
    ReLU6: _relu6,
    RMSNorm: _rms_norm,
    Reshape: _reshape,
    SelfAttention: _self_attention,
    SiLU: _silu,
    Sigmoid: _operator("Sigmoid"),
    Softmax: _softmax,
    Tanh: _operator("Tanh"),
    Upsample: _upsample,
    ZeroPad2d: _zero_pad2d,
}
