"""Running sums and products: the same test body on every device, against NumPy."""

import numpy
import pytest

import tensor

GPU_KERNELS_TOO = True

# The last ones are cut into chunks: one long line, few long ones, short ones side by side.
SHAPES = [(5,), (1,), (0,), (4, 0), (3, 1, 7), (300, 70), (100003,), (3, 40000), (40000, 3)]


def views(x):
    y = tensor.asarray(x)
    yield x, y
    yield x.T, tensor.permute_dims(y, range(x.ndim)[::-1])
    yield x[..., ::-2], y[..., ::-2]
    yield numpy.broadcast_to(x, (2, *x.shape)), tensor.broadcast_to(y, (2, *x.shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_of_integers(device, generator, shape):
    for x, y in views(generator.integers(-9, 9, shape).astype(numpy.int32)):
        for axis in range(x.ndim):
            for initial in (False, True):
                result = tensor.cumulative_sum(y, axis=axis - x.ndim, include_initial=initial)
                expected = numpy.cumulative_sum(x, axis=axis, include_initial=initial)
                assert result.dtype == expected.dtype
                numpy.testing.assert_array_equal(numpy.asarray(result), expected)


@pytest.mark.parametrize("shape", [(100003,), (3, 40000), (40000, 3)], ids=str)
def test_sums_of_fractions(device, generator, shape):
    x = generator.normal(size=shape).astype(numpy.float32)
    for axis in range(x.ndim):
        result = tensor.cumulative_sum(tensor.asarray(x), axis=axis)
        exact = x.astype(numpy.float64).cumsum(axis)
        bound = 1e-6 * numpy.abs(x).astype(numpy.float64).cumsum(axis)
        assert result.dtype == numpy.float32
        assert (numpy.abs(numpy.asarray(result) - exact) <= bound).all()
        again = numpy.asarray(tensor.cumulative_sum(tensor.asarray(x), axis=axis))
        assert (again == numpy.asarray(result)).all()


def test_products(device, generator):
    x = generator.choice([-1, 1, 2], (70, 5), p=[0.5, 0.4, 0.1])
    for dtype in (numpy.int16, numpy.uint8, numpy.float32):
        for axis in (0, 1):
            result = tensor.cumulative_prod(tensor.asarray(x.astype(dtype)), axis=axis, include_initial=True)
            expected = numpy.cumulative_prod(x.astype(dtype), axis=axis, include_initial=True)
            assert result.dtype == expected.dtype
            numpy.testing.assert_array_equal(numpy.asarray(result), expected)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint64", "float32"])
def test_the_dtype_asked_for_is_the_one_accumulated(device, dtype):
    x = numpy.full(300, 101, numpy.int8)
    result = tensor.cumulative_sum(tensor.asarray(x), dtype=dtype)
    expected = numpy.cumulative_sum(x, dtype=dtype)
    assert result.dtype == expected.dtype
    numpy.testing.assert_array_equal(numpy.asarray(result), expected)


def test_an_axis_that_is_missing_or_wrong(device):
    x = tensor.zeros((2, 3))
    with pytest.raises(tensor.errors.ShapeError, match=r"cumulative_sum: shape \(2, 3\) does not have one"):
        tensor.cumulative_sum(x)
    with pytest.raises(tensor.errors.ShapeError, match="cumulative_prod: axis 2 does not exist"):
        tensor.cumulative_prod(x, axis=2)
