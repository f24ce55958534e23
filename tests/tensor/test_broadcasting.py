"""Broadcasting over views of any strides, drawn at random: shapes, values and bits are NumPy's."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import tensor

OPERATIONS = {
    "add": numpy.add,
    "subtract": numpy.subtract,
    "multiply": numpy.multiply,
    "maximum": numpy.maximum,
}


@st.composite
def view_of(draw, shape, dtype):
    """A NumPy array of this shape cut out of a larger one: transposed, reversed, with steps, or broadcast."""
    steps = [draw(st.sampled_from([1, 2, -1])) for _ in shape]
    order = draw(st.permutations(range(len(shape))))
    whole = [abs(step) * size + 1 for step, size in zip(steps, shape, strict=True)]
    values = numpy.arange(numpy.prod(whole, dtype=int)) % 19 - 9
    stored = values.reshape([whole[a] for a in order]).astype(dtype).transpose(numpy.argsort(order))
    key = tuple(slice(0, abs(s) * n, abs(s)) for s, n in zip(steps, shape, strict=True))
    turn = tuple(slice(None, None, 1 if s > 0 else -1) for s in steps)
    return stored, key, turn


@st.composite
def operands(draw):
    shapes = draw(
        mutually_broadcastable_shapes(num_shapes=2, max_dims=5, max_side=4, min_side=0)
    ).input_shapes
    dtype = draw(st.sampled_from(["float32", "int32", "uint8"]))
    return [draw(view_of(shape, dtype)) for shape in shapes], draw(st.sampled_from(sorted(OPERATIONS)))


@settings(max_examples=150, deadline=None)
@given(operands())
def test_any_layouts_broadcast_as_numpys_do(drawn):
    views, name = drawn
    a, b = (stored[key][turn] for stored, key, turn in views)
    expected = OPERATIONS[name](a, b)
    for device in tensor.devices():
        x, y = (tensor.asarray(stored, device=device)[key][turn] for stored, key, turn in views)
        result = getattr(tensor, name)(x, y)
        assert result.shape == expected.shape
        assert result.dtype == expected.dtype
        assert (numpy.asarray(result) == expected).all()
        target = tensor.broadcast_to(y, expected.shape) if y.shape != expected.shape else y
        assert (numpy.asarray(target) == numpy.broadcast_to(b, expected.shape)).all()
