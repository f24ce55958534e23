"""Reading ONNX's convolutions and poolings."""

from collections.abc import Callable
from typing import Any

import numpy

from nn.interchange.onnx_file import OnnxFile, attributes
from nn.interchange.onnx_patterns import Match
from nn.interchange.onnx_reading import Call, Form, Value
from nn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
    Upsample,
    ZeroPad2d,
)
from tensor.pooling import pooled_size


def _pair(call: Call, name: str, usual: int = 1) -> tuple[int, int]:
    values = call.attributes.get(name, [usual, usual])
    if len(values) != 2:
        raise call.error(f"its {name} are {values}; expected two, of height and width")
    return values[0], values[1]


def _padding(call: Call, extent: tuple[int, int], stride: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Padding before and after, as (rows, columns) each."""
    how = call.attributes.get("auto_pad", "NOTSET")
    if how == "VALID":
        return [0, 0], [0, 0]
    if how == "NOTSET":
        pads = call.attributes.get("pads", [0, 0, 0, 0])
        return list(pads[:2]), list(pads[2:])
    sizes = call.known(call.value().shape)[1:]
    wanted = [
        (-(-size // step) - 1) * step + reach - size
        for size, step, reach in zip(sizes, stride, extent, strict=True)
    ]
    half = [max(0, each) // 2 for each in wanted]
    rest = [max(0, each) - part for each, part in zip(wanted, half, strict=True)]
    return (half, rest) if how == "SAME_UPPER" else (rest, half)


def _even(call: Call, extent: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    before, after = _padding(call, extent, stride)
    if before != after:
        raise call.error(f"its padding is {before} before and {after} after; expected as much on both sides")
    return before[0], before[1]


def _image_for(call: Call, extent: tuple[int, int], stride: tuple[int, int]) -> tuple[Value, tuple[int, int]]:
    """What a convolution takes, and its padding: where that differs from side to side and the last windows
    reach it, the image is padded first.
    """
    image, (before, after) = call.image(), _padding(call, extent, stride)
    if before != after:
        sides = list(zip(call.known(image.shape)[1:], before, after, extent, stride, strict=True))
        if any((s + b + a - e) // step != (s + 2 * b - e) // step for s, b, a, e, step in sides):
            return call.padded(image, before, after), (0, 0)
    return image, (before[0], before[1])


def _kernel(call: Call) -> Any:
    weight = call.array("1")
    size = call.attributes.get("kernel_shape", list(weight.shape[2:]))
    if weight.ndim != 4 or list(weight.shape[2:]) != list(size):
        raise call.error(
            f"its weight is {list(weight.shape)}, its kernel {list(size)}; expected images' kernels"
        )
    return weight


def _conv(call: Call) -> Value:
    weight, groups = _kernel(call), call.attributes.get("group", 1)
    out, inputs, *size = weight.shape
    stride, dilation = _pair(call, "strides"), _pair(call, "dilations")
    extent = ((size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1)
    (image, padding), bias = _image_for(call, extent, stride), call.optional("2")
    layer = Conv2d(
        inputs * groups, out, size, stride, padding, bias is not None, dilation=dilation, groups=groups
    )
    return call.layer(layer, image, weight=weight.transpose(0, 2, 3, 1), bias=bias)


def _conv_transpose(call: Call) -> Value:
    weight, groups = _kernel(call), call.attributes.get("group", 1)
    inputs, out, *size = weight.shape
    if _pair(call, "dilations") != (1, 1) or "output_shape" in call.attributes:
        raise call.error("it has dilations or an output_shape")
    if call.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise call.error("its padding depends on the size of the image")
    stride, more = _pair(call, "strides"), _pair(call, "output_padding", 0)
    padding, bias = _even(call, (size[0], size[1]), stride), call.optional("2")
    layer = ConvTranspose2d(inputs, out * groups, size, stride, padding, more, groups, bias is not None)
    return call.layer(layer, call.image(), weight=weight.transpose(0, 2, 3, 1), bias=bias)


def _window(call: Call, value: Value, before: list[int], after: list[int]) -> dict[str, Any]:
    """The arguments of a pooling, and among them whether it rounds up: the padding at the end may say so,
    too. How far the last windows reach beyond the image does not matter, as long as there are as many.
    """
    size, stride = _pair(call, "kernel_shape"), _pair(call, "strides")
    if _pair(call, "dilations") != (1, 1):
        raise call.error("its windows are dilated")
    sides = list(zip(call.known(value.shape)[1:], size, stride, before, strict=True))
    wanted = list(call.known(call.shape)[1:])
    for up in (False, True):
        if [pooled_size(*side, ceil_mode=up) for side in sides] == wanted:
            return {"size": size, "stride": stride, "padding": before, "ceil_mode": up}
    raise call.error(f"its padding is {before} before and {after} after, which makes {wanted} of {sides}")


def _own_padding(call: Call) -> tuple[list[int], list[int]]:
    return _padding(call, _pair(call, "kernel_shape"), _pair(call, "strides"))


def _max_pool(call: Call) -> Value:
    image = call.image()
    return call.layer(MaxPool2d(**_window(call, image, *_own_padding(call))), image)


def _average_pool(call: Call) -> Value:
    image, (before, after) = call.image(), _own_padding(call)
    counts = bool(call.attributes.get("count_include_pad", 0))
    if counts and before != after:
        image, before, after = call.padded(image, before, after), [0, 0], [0, 0]
    counts = counts or not any(before)
    return call.layer(AvgPool2d(**_window(call, image, before, after), count_include_pad=counts), image)


def padded_pool(call: Call) -> Value:
    """A Pad with zeros and an AveragePool that counts them, but not what it adds at the end itself."""
    image, pads = call.image("x"), [int(pad) for pad in call.array("#pads").ravel()]
    after = [pad + rest for pad, rest in zip(pads[6:], _own_padding(call)[1], strict=True)]
    return call.layer(AvgPool2d(**_window(call, image, pads[2:4], after)), image)


def is_padded_pool(file: OnnxFile, found: Match) -> bool:
    """Whether the image is padded alike on both sides, by half a window at most, as poolings can pad it; by a
    Pad that names no axes, since one that does is a layer of its own in files of ours.
    """
    pool, pad = attributes(found.nodes["pool"]), found.nodes["pad"]
    pads = pads_of(file, pad) if len(pad.input) <= 3 else None
    own = pool.get("pads", [0, 0, 0, 0])
    plain = pool.get("auto_pad", "NOTSET") == "NOTSET" and not any(own[:2])
    counts = bool(pool.get("count_include_pad", 0)) and any(own)
    if pads is None or not plain or counts or pads[0] != pads[1]:
        return False
    return all(2 * pad <= size for pad, size in zip(pads[0], pool.get("kernel_shape", ()), strict=False))


def pads_of(file: OnnxFile, node: Any) -> tuple[list[int], list[int]] | None:
    """The zeros before and after, as (rows, columns) each, that a Pad puts around images; None if it does
    something else.
    """
    given = attributes(node)
    arrays: dict[int, Any] = {
        place: file.array(name) for place, name in enumerate(node.input) if place and name
    }
    if any(each is None for each in arrays.values()):
        return None
    value, axes = arrays.get(2, given.get("value", 0)), numpy.ravel(arrays.get(3, numpy.arange(4)))
    pads = numpy.reshape(arrays.get(1, given.get("pads", ())), (2, -1))
    if given.get("mode", "constant") != "constant" or numpy.any(value) or pads.shape[1] != axes.size:
        return None
    sides = numpy.zeros((2, 4), numpy.int64)
    sides[:, axes] = pads
    if sides[:, :2].any() or sides.min() < 0:
        return None
    return sides[0, 2:].tolist(), sides[1, 2:].tolist()


def _pad(call: Call) -> Value:
    pads = pads_of(call.reading.file, call.node)
    if pads is None:
        raise call.error(
            "it pads with other values than zeros, other axes than rows and columns, or by numbers that are "
            "negative or computed"
        )
    return call.layer(ZeroPad2d(*pads), call.image())


def _global(layer_class: type[GlobalAvgPool2d | GlobalMaxPool2d]) -> Callable[[Call], Value]:
    return lambda call: call.layer(layer_class(), call.image(), form=Form.POOLED)


def _resize(call: Call) -> Value:
    """By whole factors; nearest pixels as ⌊p / scale⌋, linear as PyTorch's align_corners=False."""
    given, (height, width) = call.attributes, call.known(call.value().shape)[1:]
    after = call.known(call.shape)[1:]
    mode, where = given.get("mode", "nearest"), given.get("coordinate_transformation_mode", "half_pixel")
    near = mode == "nearest" and where == "asymmetric" and given.get("nearest_mode") == "floor"
    linear = mode == "linear" and where in ("half_pixel", "pytorch_half_pixel")
    whole = not (after[0] % height or after[1] % width)
    if not (near or linear) or not whole or given.get("antialias", 0):
        raise call.error(
            f"it makes {list(after)} of {[height, width]} by {mode}, {where}; expected whole factors"
        )
    scale = (after[0] // height, after[1] // width)
    return call.layer(Upsample(scale, "nearest" if near else "bilinear"), call.image())


WINDOWS: dict[str, Callable[[Call], Value]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global(GlobalAvgPool2d),
    "GlobalMaxPool": _global(GlobalMaxPool2d),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": _resize,
}
