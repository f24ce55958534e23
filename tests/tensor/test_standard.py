"""Every elementwise function of the standard against NumPy, in each dtype that it takes, and the namespace's
facts."""

import numpy
import pytest

import tensor

NUMPY_NAMES = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "bitwise_invert": "invert", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift", "pow": "power",
}  # fmt: skip
FLOAT_UNARY = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "reciprocal",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]
NUMBER_UNARY = [
    "abs",
    "conj",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "negative",
    "positive",
    "real",
    "sign",
    "square",
]
REAL_UNARY = ["ceil", "floor", "round", "signbit", "trunc"]
FLOAT_BINARY = ["atan2", "copysign", "divide", "hypot", "logaddexp", "nextafter"]
REAL_BINARY = ["add", "floor_divide", "maximum", "minimum", "multiply", "pow", "remainder", "subtract"]
BITS = ["bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor"]
LOGIC = ["equal", "logical_and", "logical_or", "logical_xor", "not_equal"]
EDGES = [0.0, -0.0, 1, -1, 0.5, -2.5, 3.5, 7, -7, 100, 1e-3, numpy.inf, -numpy.inf, numpy.nan, 1e30, -1e-30]


def numpys(name):
    return getattr(numpy, NUMPY_NAMES.get(name, name))


def check(name, *inputs):
    """The function of both, with equal dtypes, NaNs and signs, and values to a few units in the last
    place."""
    with numpy.errstate(all="ignore"):
        expected = numpys(name)(*inputs)
    result = getattr(tensor, name)(*[tensor.asarray(each) for each in inputs])
    assert result.dtype == expected.dtype, name
    tolerance = {"float32": 5e-6, "float64": 1e-14}.get(expected.dtype.name, 5e-6)
    values = numpy.asarray(result)
    numpy.testing.assert_allclose(values, expected, rtol=tolerance, atol=0, err_msg=name)
    if expected.dtype.kind == "f" and name not in ("maximum", "minimum"):  # either zero may be the larger one
        known = ~numpy.isnan(expected)
        assert (numpy.signbit(values) == numpy.signbit(expected))[known].all(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_real_numbers(device, dtype):
    x = numpy.array(EDGES, dtype)
    for name in FLOAT_UNARY + NUMBER_UNARY + REAL_UNARY:
        check(name, x)
    a, b = (each.copy() for each in numpy.meshgrid(x, x))
    for name in FLOAT_BINARY + REAL_BINARY + LOGIC:
        check(name, a, b)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_functions_of_integers(device, dtype):
    limits = numpy.iinfo(dtype)
    x = numpy.array([0, 1, 2, 3, 5, 7, limits.max, limits.min, limits.max // 2], dtype)
    x = x if dtype[0] == "u" else numpy.concatenate([x, numpy.array([-1, -2, -7], dtype)])
    for name in [*NUMBER_UNARY[:-1], "square", *REAL_UNARY, "bitwise_invert"]:
        check(name, x)
    a, b = (each.copy() for each in numpy.meshgrid(x, x))
    for name in [*REAL_BINARY, *LOGIC, *BITS]:
        if name in ("pow", "bitwise_left_shift", "bitwise_right_shift"):
            check(name, a, numpy.where((b < 0) | (b > 7), 3, b).astype(dtype))
        else:
            check(name, a, b)


def test_what_numpy_leaves_open_or_refuses(device):
    x = tensor.asarray(numpy.array([2, 1, -1, -1, 0], numpy.int32))
    powers = numpy.array([-3, -2, -3, -2, -1], numpy.int32)
    assert numpy.asarray(x ** tensor.asarray(powers)).tolist() == [0, 1, -1, 1, 0]
    wide = tensor.asarray(numpy.array([40, -1], numpy.int32))
    assert numpy.asarray(tensor.asarray([5, 5], dtype="int32") << wide).tolist() == [0, 0]
    assert numpy.asarray(tensor.asarray([5, -5], dtype="int32") >> wide).tolist() == [0, -1]


def test_bool_has_bits(device):
    a, b = numpy.array([[True], [False]]), numpy.array([True, False])
    for name in ["bitwise_and", "bitwise_or", "bitwise_xor", *LOGIC, "less", "greater_equal", "maximum"]:
        if name != "maximum":
            check(name, a, b)
    check("bitwise_invert", a)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_and_halves_are_computed_on_the_host(device, generator, dtype):
    x = (generator.normal(size=(2, 3, 4)) + 1j * generator.normal(size=(2, 3, 4))).astype(dtype)
    for name in ["exp", "sqrt", "sin", "abs", "conj", "real", "imag", "sign", "square"]:
        check(name, x)
    for name in ["add", "divide", "pow", "equal"]:
        check(name, x, x[::-1])
    y = tensor.asarray(x)
    assert y.device is device
    y[0] = y[1] * 2
    assert (numpy.asarray(y[0]) == x[1] * 2).all()
    assert (y.mT.shape, y[:, 1].dtype) == ((2, 4, 3), x.dtype)
    halves = tensor.asarray(numpy.arange(5, dtype="float16"))
    assert (halves + 1).dtype == tensor.float16
    assert (halves + tensor.ones(5)).dtype == tensor.float32


def test_what_is_computed_on_the_host_replays(device):
    x = tensor.asarray([1 + 1j, 2])
    recording = tensor.record(lambda: tensor.abs(x * x))
    x[...] = numpy.array([3j, 1], "complex64")
    assert numpy.asarray(recording.replay()).tolist() == [9, 1]


def test_operators_work_in_place_on_views(device):
    x = tensor.asarray([[1, 2], [3, 4]])
    row, same = x[1], x
    row += 10
    x *= 2
    x //= 3
    assert same is x
    assert numpy.asarray(x).tolist() == [[0, 1], [8, 9]]
    with pytest.raises(
        tensor.errors.DTypeError, match="in-place operation gave float32 for an array of int64"
    ):
        x /= 2


def test_clip_and_closeness(device):
    x = tensor.asarray([-3, 0, 300])
    assert numpy.asarray(tensor.clip(x, -1, 2)).tolist() == [-1, 0, 2]
    assert numpy.asarray(tensor.clip(x.astype("int8"), max=500)).tolist() == [-3, 0, 44]
    assert numpy.asarray(tensor.clip(x, tensor.asarray([-9, 1, 0]))).tolist() == [-3, 1, 300]
    a, b = [1.0, 1.0, numpy.nan, numpy.inf], [1.0 + 1e-6, 1.1, numpy.nan, numpy.inf]
    for equal_nan in (False, True):
        close = tensor.isclose(tensor.asarray(a), tensor.asarray(b), equal_nan=equal_nan)
        assert numpy.asarray(close).tolist() == numpy.isclose(a, b, equal_nan=equal_nan).tolist()
    same = tensor.asarray(a)
    assert not tensor.array_equal(same, same)
    assert tensor.array_equal(same, same, equal_nan=True)
    assert not tensor.array_equal(same, same[:2])
    assert not tensor.allclose(same, tensor.asarray(b))


def test_the_namespace_tells_its_facts():
    x = tensor.ones(3)
    assert x.__array_namespace__(api_version="2024.12") is tensor
    with pytest.raises(ValueError, match=r"not 1999\.01"):
        x.__array_namespace__(api_version="1999.01")
    info = tensor.__array_namespace_info__()
    assert info.default_dtypes()["integral"] == tensor.int64
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {"bool", "complex64", "complex128"}
    assert info.default_device() in info.devices()
    assert tensor.finfo(tensor.complex64).eps == 2.0**-23
    assert tensor.iinfo(tensor.int8).min == -128
    assert tensor.isdtype(tensor.uint8, ("integral", tensor.float32))
    assert not tensor.isdtype(tensor.uint8, "real floating")
    with pytest.raises(tensor.errors.DTypeError, match="no kind 'whole'"):
        tensor.isdtype(tensor.uint8, "whole")
    assert tensor.result_type(x, tensor.float64, 1) == tensor.float64
    assert tensor.result_type(tensor.int8, 1.5) == tensor.float32
    assert tensor.can_cast(tensor.int8, tensor.int16)
    with pytest.raises(tensor.errors.DTypeError, match="no integer dtype holds both"):
        tensor.result_type(tensor.int8, tensor.uint64)


def test_reshape_says_whether_it_copies(device):
    x = tensor.arange(6).reshape(2, 3)
    assert tensor.reshape(x, (3, 2)).storage is x.storage
    assert tensor.reshape(x, (3, 2), copy=True).storage is not x.storage
    assert tensor.reshape(x[:, ::2], (2, 2, 1), copy=False).storage is x.storage
    with pytest.raises(ValueError, match="have no view as"):
        tensor.reshape(x.T, (6,), copy=False)
