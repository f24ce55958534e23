"""Where elements are: the same test body on every device, against NumPy."""

import numpy
import pytest

import tensor

GPU_KERNELS_TOO = True

SHAPES = [(5,), (1,), (0,), (4, 0), (3, 1, 7), (1000, 70), (100003,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_nonzero(device, generator, shape, share):
    x = (generator.uniform(size=shape) < share) * generator.normal(size=shape).astype(numpy.float32)
    y = tensor.asarray(x)
    for a, b in ((x, y), (x != 0, y != 0), (x.T, tensor.permute_dims(y, range(x.ndim)[::-1]))):
        result, expected = tensor.nonzero(b), numpy.nonzero(a)
        assert len(result) == len(expected)
        for places, right in zip(result, expected, strict=True):
            assert places.dtype == tensor.int64
            numpy.testing.assert_array_equal(numpy.asarray(places), right)


def test_signed_zeros_are_zero_and_nan_is_not(device):
    x = tensor.asarray(numpy.array([0.0, -0.0, numpy.nan, numpy.inf, 1e-45], numpy.float32))
    assert numpy.asarray(tensor.nonzero(x)[0]).tolist() in ([2, 3, 4], [2, 3])  # a device may flush 1e-45
    with pytest.raises(tensor.errors.ShapeError, match="an array without axes has no places"):
        tensor.nonzero(x[0])


def test_places_cannot_be_recorded(device):
    x = tensor.ones((3,))
    with pytest.raises(tensor.errors.RecordError, match="nonzero: the size of its result depends"):
        tensor.record(lambda: tensor.nonzero(x))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_count_nonzero(device, generator, axis):
    x = generator.integers(0, 3, (4, 5, 6)).astype(numpy.int16)
    for a, b in ((x, tensor.asarray(x)), (x > 1, tensor.asarray(x) > 1)):
        result = tensor.count_nonzero(b, axis=axis, keepdims=True)
        expected = numpy.count_nonzero(a, axis=axis, keepdims=True)
        assert result.dtype == tensor.int64
        numpy.testing.assert_array_equal(numpy.asarray(result), expected)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint64"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(device, generator, dtype, side):
    for size in (0, 1, 2, 1000, 20001):
        x = generator.integers(0, 120, size).astype(dtype)
        if dtype == "float32":
            x[generator.uniform(size=size) < 0.1] = numpy.nan
        order = numpy.argsort(x, stable=True)
        for shape in [(), (0,), (3, 7), (20000,)]:
            values = generator.integers(0, 120, shape).astype(dtype)
            ours = tensor.searchsorted(tensor.asarray(x[order]), tensor.asarray(values), side=side)
            assert ours.dtype == tensor.int64
            numpy.testing.assert_array_equal(
                numpy.asarray(ours), numpy.searchsorted(x[order], values, side), strict=True
            )
        if size:
            numpy.testing.assert_array_equal(
                numpy.asarray(
                    tensor.searchsorted(
                        tensor.asarray(x), tensor.asarray(x), side=side, sorter=tensor.asarray(order)
                    )
                ),
                numpy.searchsorted(x, x, side, order),
            )


def test_searchsorted_in_a_common_dtype(device):
    x = tensor.asarray(numpy.array([1, 3, 5], numpy.int16))
    values = tensor.asarray(numpy.array([[2.5, 3.0], [numpy.nan, -1]], numpy.float32))
    assert numpy.asarray(tensor.searchsorted(x, values)).tolist() == [[1, 1], [3, 0]]
    with pytest.raises(tensor.errors.ShapeError, match="searchsorted: expected a vector"):
        tensor.searchsorted(values, x)
