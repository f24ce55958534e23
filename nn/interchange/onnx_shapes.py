"""Reading the operators of ONNX that only move elements, most of which are no layer here."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

from nn.interchange.onnx_file import Shape, axes_of
from nn.interchange.onnx_reading import Call, Form, Value
from nn.layers import Concat, Flatten, GlobalAvgPool2d, Reshape, Softmax


def _identity(call: Call) -> Value:
    return call.value()


def _axis(call: Call, value: Value, axis: int) -> int:
    """What an axis of the file is here."""
    dimensions = len(value.shape) + 1
    axis %= dimensions
    if value.form is Form.CHANNELS_LAST:
        return axis - 1 if axis > 1 else axis * (dimensions - 1)
    if value.form is not Form.SAME:
        raise call.error(f"it takes {list(value.shape)} ({value.form.value})")
    return axis


def _concat(call: Call) -> Value:
    values, axis = call.values(), call.attributes["axis"]
    if len(values) != len(call.found.blobs) or len({each.form for each in values}) > 1:
        raise call.error("its inputs are arrays of the file, or laid out in different ways")
    here = _axis(call, values[0], axis)
    return call.layer(Concat(-1 if here == len(values[0].shape) else here), *values)


def _softmax(call: Call) -> Value:
    value = call.value() if call.value().form is not Form.FLAT else call.plain()
    old = call.reading.file.opset < 13  # all axes from this one on, of which there must be one
    axis = call.attributes.get("axis", 1 if old else -1) % (len(value.shape) + 1)
    if old and axis != len(value.shape):
        raise call.error("it is over all axes from one on, as up to opset 12; expected the last one")
    here = _axis(call, value, axis)
    return call.layer(Softmax(-1 if here == len(value.shape) else here), value)


def _transpose(call: Call) -> Value:
    """Between channels first and last: ours stays as it is, and only its form is another one."""
    value, dimensions = call.value(), len(call.value().shape) + 1
    perm = call.attributes.get("perm", list(range(dimensions))[::-1])
    shape = tuple(value.shape[axis - 1] for axis in perm if axis)
    to_last, to_first = [0, *range(2, dimensions), 1], [0, dimensions - 1, *range(1, dimensions - 1)]
    if value.form is Form.CHANNELS_LAST and perm == to_last:
        return Value(value.blob, shape, Form.SAME)
    if value.form is Form.SAME and perm == to_first and dimensions > 2:
        return Value(value.blob, shape, Form.CHANNELS_LAST)
    raise call.error(f"it puts axes in the order {perm}, for which there is no layer here")


def _flatten(call: Call) -> Value:
    value = call.value()
    if call.attributes.get("axis", 1) != 1:
        raise call.error("it keeps other axes than the first")
    return _flat(call, value)


def _flat(call: Call, value: Value) -> Value:
    size = prod(call.known(value.shape))
    if value.form is Form.POOLED or len(value.shape) == 1:
        return replace(value, shape=(size,), form=Form.SAME if value.form is Form.POOLED else value.form)
    if value.form is Form.CHANNELS_LAST and len(value.shape) == 3:
        return Value(value.blob, (size,), Form.FLAT, value.shape)
    return call.layer(Flatten(), call.plain(), shape=(size,))


def _reshape(call: Call) -> Value:
    value = call.value()
    before, target = call.known(value.shape), _target(call, value)
    if target == before:
        return value
    if prod(target) != prod(before):
        raise call.error(f"it makes {list(target)} of {list(before)}, which mixes samples")
    if len(target) == 1:
        return _flat(call, value)
    return call.layer(Reshape(target), call.plain(), shape=target)


def _target(call: Call, value: Value) -> tuple[int, ...]:
    """The shape that a Reshape makes, without the batch."""
    wanted = call.optional("1")
    sizes: Shape = call.shape if wanted is None else tuple(int(size) for size in wanted.ravel()[1:])
    before = call.known(value.shape)
    if wanted is not None and not call.attributes.get("allowzero", 0):
        sizes = tuple(
            before[place] if size == 0 and place < len(before) else size for place, size in enumerate(sizes)
        )
    open_places = [place for place, size in enumerate(sizes) if size in (None, -1)]
    if len(open_places) != 1:
        return call.known(sizes)
    rest = prod(size for size in sizes if size is not None and size != -1)
    return tuple(
        prod(before) // max(rest, 1) if place in open_places else size or 0
        for place, size in enumerate(sizes)
    )


def _squeeze(call: Call) -> Value:
    value, axes = call.value(), sorted(axis % 4 for axis in axes_of(call.reading.file, call.node))
    if value.form is not Form.POOLED or axes != [2, 3]:
        raise call.error("it drops axes; expected the last two, of an image of one pixel")
    return Value(value.blob, value.shape[:1], Form.SAME)


def _reduce_mean(call: Call) -> Value:
    """Over rows and columns, which is global pooling."""
    value = call.image()
    axes = sorted(axis % 4 for axis in axes_of(call.reading.file, call.node))
    if axes != [2, 3]:
        raise call.error(f"it is over the axes {axes}; expected those of rows and columns")
    keeps = call.attributes.get("keepdims", 1)
    return call.layer(GlobalAvgPool2d(), value, form=Form.POOLED if keeps else Form.SAME)


SHAPES: dict[str, Callable[[Call], Value]] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Identity": _identity,
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
