"""Elementwise operations: the same test body on every device, against NumPy."""

import numpy
import pytest

import tensor

SHAPES = [
    ((), ()),
    ((0,), (1,)),
    ((1,), (7,)),
    ((20011,), (20011,)),
    ((3, 5), (5,)),
    ((3, 1, 4), (2, 1)),
    ((4, 0), (1, 1)),
    ((9000, 3), (9000, 1)),
]
BINARY = {
    "add": numpy.add,
    "subtract": numpy.subtract,
    "multiply": numpy.multiply,
    "divide": numpy.divide,
    "maximum": numpy.maximum,
    "minimum": numpy.minimum,
}
COMPARE = {
    "equal": numpy.equal,
    "not_equal": numpy.not_equal,
    "less": numpy.less,
    "less_equal": numpy.less_equal,
    "greater": numpy.greater,
    "greater_equal": numpy.greater_equal,
    "logical_and": numpy.logical_and,
    "logical_or": numpy.logical_or,
}
EXACT_UNARY = {
    "negative": numpy.negative,
    "abs": numpy.abs,
    "sqrt": numpy.sqrt,
    "relu6": lambda x: numpy.clip(x, numpy.float32(0), numpy.float32(6)),
    "relu": lambda x: numpy.maximum(x, numpy.float32(0)),
}
CLOSE_UNARY = {"exp": numpy.exp, "log": numpy.log, "tanh": numpy.tanh}
SPECIAL = numpy.array([0, 1, -1, numpy.nan, numpy.inf, -numpy.inf, 3e38, 1.5, -2.5, 1e-30], numpy.float32)


def bits(values):
    """The bytes of an array, all NaNs made one."""
    values = numpy.array(values)
    if values.dtype.kind == "f":
        values[numpy.isnan(values)] = numpy.nan
    return values.tobytes()


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary_operations_have_numpys_bits(device, generator, name, shapes):
    a, b = (generator.integers(-4, 5, shape).astype(numpy.float32) / 3 for shape in shapes)
    with numpy.errstate(all="ignore"):
        expected = (BINARY | COMPARE)[name](a, b)
    result = getattr(tensor, name)(tensor.asarray(a), tensor.asarray(b))
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    assert bits(result) == bits(expected)


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
def test_special_values(device, name):
    a, b = SPECIAL[:, None], SPECIAL[None, :]
    with numpy.errstate(all="ignore"):
        expected = (BINARY | COMPARE)[name](a, b)
    result = numpy.asarray(getattr(tensor, name)(tensor.asarray(a), tensor.asarray(b)))
    if name in ("maximum", "minimum"):  # which of +0 and −0 is larger is left open
        expected, result = expected + numpy.float32(0), result + numpy.float32(0)
    assert bits(result) == bits(expected)


@pytest.mark.parametrize("name", [*EXACT_UNARY, *CLOSE_UNARY])
def test_unary_operations(device, generator, name):
    x = numpy.concatenate([SPECIAL, generator.normal(size=10007).astype(numpy.float32) * 5])
    with numpy.errstate(all="ignore"):
        expected = (EXACT_UNARY | CLOSE_UNARY)[name](x)
    result = numpy.asarray(getattr(tensor, name)(tensor.asarray(x)))
    if name in EXACT_UNARY:
        assert bits(result) == bits(expected)
    else:
        numpy.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32"])
@pytest.mark.parametrize("name", ["add", "multiply", "subtract", "maximum", "less", "equal"])
def test_integers_wrap_around_as_in_numpy(device, generator, dtype, name):
    a, b = generator.integers(0, 256, (2, 300)).astype(dtype)
    expected = getattr(numpy, name)(a, b)
    result = getattr(tensor, name)(tensor.asarray(a), tensor.asarray(b))
    assert result.dtype == expected.dtype
    assert bits(result) == bits(expected)


def test_views_of_every_kind_are_operands(device, generator):
    x = generator.normal(size=(6, 7, 8)).astype(numpy.float32)
    y = tensor.asarray(x)
    pairs = [
        (x[::2, :, 1:], y[::2, :, 1:]),
        (x[::-1, 3], y[::-1, 3]),
        (x[..., None, 2], y[..., None, 2]),
        (x.transpose(2, 0, 1), tensor.permute_dims(y, (2, 0, 1))),
        (x[5, -1], y[5, -1]),
        (x[:, 7:, :], y[:, 7:, :]),
        (x.transpose(1, 0, 2)[:, ::3, ::-2], tensor.permute_dims(y, (1, 0, 2))[:, ::3, ::-2]),
    ]
    for numpy_view, view in pairs:
        assert view.shape == numpy_view.shape
        assert bits(view) == bits(numpy_view)
        assert bits(view * view + 1) == bits(numpy_view * numpy_view + 1)
        assert bits(tensor.relu(view)) == bits(numpy.maximum(numpy_view, 0))


def test_numbers_take_the_dtype_they_meet(device):
    integers, reals, flags = (tensor.asarray(v) for v in ([1, 2], [0.5, 1.5], [True, False]))
    assert (integers + 1).dtype == tensor.int64
    assert (integers + 1.5).dtype == tensor.float32
    assert (reals * 2).dtype == tensor.float32
    assert (integers + reals).dtype == tensor.float32
    assert (integers / 2).dtype == tensor.float32
    assert (reals < 1).dtype == tensor.bool
    assert numpy.asarray(1 - reals).tolist() == [0.5, -0.5]
    assert numpy.asarray(2 / reals).tolist() == [4.0, numpy.float32(2) / numpy.float32(1.5)]
    assert numpy.asarray(flags == True).tolist() == [True, False]  # noqa: E712 - the comparison is elementwise
    assert numpy.asarray(reals**2).tolist() == [0.25, 2.25]


def test_where_chooses_without_touching_the_other(device, generator):
    x = generator.normal(size=(5, 9)).astype(numpy.float32)
    y = tensor.asarray(x)
    assert bits(tensor.where(y > 0, y, 0)) == bits(numpy.where(x > 0, x, numpy.float32(0)))
    assert bits(tensor.where(y > 0, tensor.log(y), y)) == bits(
        tensor.where(y > 0, tensor.log(tensor.where(y > 0, y, 1)), y)
    )
    assert numpy.asarray(tensor.where(tensor.asarray([True, False]), 1, 2)).tolist() == [1, 2]


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32"]


@pytest.mark.parametrize("target", DTYPES)
def test_astype_between_all_dtypes(device, target):
    for source in DTYPES:
        values = numpy.array([0, 1, 2, 100, 77], source)
        result = tensor.asarray(values).astype(target)
        assert bits(result) == bits(values.astype(target))


def test_float_to_integer_saturates(device):
    x = tensor.asarray(
        numpy.array([300.7, -300.7, 3e9, -3e9, numpy.nan, numpy.inf, -1.9, 254.99], numpy.float32)
    )
    assert numpy.asarray(x.astype("uint8")).tolist() == [255, 0, 255, 0, 0, 255, 0, 254]
    assert numpy.asarray(x.astype("int32")).tolist() == [
        300,
        -300,
        2**31 - 1,
        -(2**31),
        0,
        2**31 - 1,
        -1,
        254,
    ]
    assert numpy.asarray(x.astype("int8")).tolist() == [127, -128, 127, -128, 0, 127, -1, 127]


def test_items_are_assigned_in_place(device, generator):
    x = generator.normal(size=(6, 8)).astype(numpy.float32)
    y = tensor.asarray(x)
    x[1:4, ::3] = 7
    y[1:4, ::3] = 7
    x[:, 2] = x[:, 5]
    y[:, 2] = y[:, 5]
    x[0] = numpy.arange(8)
    y[0] = numpy.arange(8)
    x[:, :4] = x[:, 4:]
    y[:, :4] = y[:, 4:]
    x[...] = x[::-1].copy()
    y[...] = y[::-1]
    assert bits(y) == bits(x)


def test_an_array_of_an_odd_number_of_axes_can_be_reshaped(device, generator):
    x = generator.normal(size=(4, 6, 5)).astype(numpy.float32)
    y = tensor.asarray(x)
    for view, numpy_view in [
        (y, x),
        (y[::2], x[::2]),
        (y[:, :, ::-1], x[:, :, ::-1]),
        (y[:, 1:3], x[:, 1:3]),
    ]:
        for shape in [(-1,), (2, -1), (-1, 5), (1, -1, 1, 5)]:
            if numpy_view.size % numpy.prod([n for n in shape if n > 0]) == 0:
                assert bits(view.reshape(shape)) == bits(numpy_view.reshape(shape))
    assert y.reshape(24, 5).storage is y.storage
    assert y[:, 1:3].reshape(4, 10).storage is y.storage


def test_wrong_operands_are_named(device):
    x = tensor.zeros((2, 3))
    with pytest.raises(tensor.errors.ShapeError, match=r"add: shapes \(2, 3\) and \(2,\) cannot"):
        x + tensor.zeros(2)
    with pytest.raises(tensor.errors.DTypeError, match="expected numbers, got bool"):
        (x > 0) + (x > 0)
    with pytest.raises(tensor.errors.DTypeError, match="got ndarray"):
        tensor.add(x, numpy.zeros(3))
    with pytest.raises(tensor.errors.ShapeError, match=r"axis 0 of shape \(2, 3\)"):
        x[2]
    with pytest.raises(tensor.errors.ShapeError, match="cannot become"):
        x.reshape(4, 2)
    with pytest.raises(tensor.errors.DTypeError, match="less: expected real numbers, got complex64"):
        tensor.less(tensor.asarray(1j), 2)
    with pytest.raises(tensor.errors.DTypeError, match="cannot have dtype datetime64"):
        tensor.asarray(numpy.zeros(2, "datetime64[s]"))
    with pytest.raises(tensor.errors.DTypeError, match="300 does not fit into uint8"):
        tensor.zeros(3, "uint8") + 300


def test_devices_are_never_mixed_silently():
    first, *_, last = tensor.devices()
    if first is last:
        pytest.skip("needs two devices")
    with pytest.raises(tensor.errors.DeviceError, match=f"add: arrays on different devices.*{first.spec}"):
        tensor.zeros(3, device=first) + tensor.zeros(3, device=last)
    moved = tensor.ones(3, device=first).to_device(last)
    assert numpy.asarray(moved + tensor.ones(3, device=last)).tolist() == [2, 2, 2]


def test_a_slice_past_the_end_is_empty(device):
    x = numpy.arange(24, dtype=numpy.float32).reshape(8, 3)
    y = tensor.asarray(x)
    for key in [slice(8, 9), slice(20, None), slice(2, 5, -1), slice(7, 3)]:
        assert numpy.asarray(y[:, 1:][key]).shape == x[:, 1:][key].shape
        assert (y[:, 1:][key] * 2 + 1).shape == (0, 2)


def test_numbers_and_dtypes_that_do_not_fit_are_named(device):
    for number, dtype in [(300, "uint8"), (float("nan"), "int32"), (float("inf"), "uint8"), (-1, "uint16")]:
        with pytest.raises(tensor.errors.DTypeError, match=f"{number} does not fit into {dtype}"):
            tensor.full(3, number, dtype)
        with pytest.raises(tensor.errors.DTypeError, match=f"{number} does not fit into {dtype}"):
            tensor.zeros(3, dtype)[0] = number
    with pytest.raises(tensor.errors.DTypeError, match="no dtype 'nonsense'; there are: bool, int8"):
        tensor.zeros(3, "nonsense")
    with pytest.raises(tensor.errors.ShapeError, match="step of a slice must not be 0"):
        tensor.zeros(3)[::0]


def test_bytes_in_the_other_order_are_turned(device):
    for code in (">i4", ">f4", ">u2", ">f8"):
        values = numpy.array([1, 2, 1000], code)
        assert numpy.asarray(tensor.asarray(values)).tolist() == [1, 2, 1000]
        x = tensor.zeros(3, values.dtype.newbyteorder("=") if code != ">f8" else "float32")
        x[...] = values
        assert numpy.asarray(x).tolist() == [1, 2, 1000]


def test_infinities_are_values_not_warnings(device):
    huge = tensor.full((1, 2, 2, 1), 3e38)
    assert numpy.isposinf(float(tensor.sum(huge)))
    assert numpy.isposinf(float(tensor.avg_pool2d(huge, (2, 2))))
    assert numpy.isposinf(float(tensor.conv2d(huge, huge)))
    assert numpy.isnan(
        numpy.asarray(tensor.softmax_cross_entropy(huge.reshape(2, 2) * 2, tensor.asarray([0, 1])))
    ).all()


def test_powers(device, generator):
    a, b = numpy.abs(generator.normal(size=(2, 500)).astype(numpy.float32)) * 3
    result = numpy.asarray(tensor.pow(tensor.asarray(a), tensor.asarray(b)))
    numpy.testing.assert_allclose(result, a.astype(numpy.float64) ** b, rtol=1e-5)
    assert numpy.asarray(tensor.pow(tensor.asarray([-2, 3, 0]), 3)).tolist() == [-8, 27, 0]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
def test_creation_by_example(device, dtype):
    x = numpy.array([[0, 1, 1], [1, 0, 1]], dtype)
    view = tensor.asarray(x).T[::-1]
    copied = tensor.copy(view)
    view[...] = 0
    assert numpy.asarray(copied).tolist() == x.T[::-1].tolist()
    assert numpy.asarray(tensor.logical_not(copied)).tolist() == numpy.logical_not(x.T[::-1]).tolist()
    for made, value in [
        (tensor.zeros_like(copied), 0),
        (tensor.full_like(copied, 1), 1),
        (tensor.empty_like(copied), None),
    ]:
        assert (made.shape, made.dtype, made.device) == (copied.shape, copied.dtype, copied.device)
        assert value is None or (numpy.asarray(made) == numpy.full((3, 2), value, dtype)).all()
