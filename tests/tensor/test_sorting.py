"""Sorting, on every device: NumPy's stable sort says what is right."""

import numpy
import pytest

import tensor

GPU_KERNELS_TOO = True

DTYPES = ["float32", "bool", "int8", "uint16", "int64", "float64"]
# Short rows are sorted by counting, those of more than 256 elements (on a GPU 1024) by radix.
SHAPES = [(1,), (0,), (3, 0), (0, 3), (4, 1, 33), (40, 200), (3, 1500), (150000,)]


def unordered(generator, shape, dtype):
    """Values of all sizes, with equal ones among them; all kinds of NaN, zero and infinity for floats."""
    if dtype.startswith("float"):
        special = numpy.array([0.0, -0.0, numpy.nan, -numpy.nan, numpy.inf, -numpy.inf, 1e-42], dtype)
        x = generator.normal(size=shape).astype(dtype) * 10.0 ** generator.integers(-30, 30, shape)
        return numpy.where(generator.uniform(size=shape) < 0.5, generator.choice(special, shape), x).astype(
            dtype
        )
    bits = generator.integers(0, 2**63, shape).astype(numpy.uint64) >> generator.integers(
        0, 64, shape
    ).astype("u8")
    return bits.astype(dtype)


def places_of(x, axis, descending):
    """NumPy has no descending order: it is the ascending one of the array turned round, turned round."""
    if not descending:
        return numpy.argsort(x, axis, stable=True)
    places = numpy.flip(numpy.argsort(numpy.flip(x, axis), axis, stable=True), axis)
    return x.shape[axis] - 1 - places


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sort_and_argsort(device, generator, dtype, descending):
    for shape in SHAPES:
        x = unordered(generator, shape, dtype)
        for axis in {0, -1}:
            places = places_of(x, axis, descending)
            ours = tensor.argsort(tensor.asarray(x), axis=axis, descending=descending)
            assert ours.dtype == tensor.int64
            numpy.testing.assert_array_equal(numpy.asarray(ours), places)
            values = numpy.take_along_axis(x, places, axis)
            for stable in (True, False):
                ours = tensor.sort(tensor.asarray(x), axis=axis, descending=descending, stable=stable)
                assert ours.dtype == x.dtype
                numpy.testing.assert_array_equal(numpy.asarray(ours), values)
                if stable and dtype.startswith("float"):
                    signs = numpy.signbit(values) & (values == 0)
                    got = numpy.asarray(ours)
                    numpy.testing.assert_array_equal(numpy.signbit(got) & (got == 0), signs)


def test_views_are_sorted_and_left_as_they_are(device, generator):
    x = generator.normal(size=(6, 50, 3)).astype(numpy.float32)
    y = tensor.asarray(x)
    view = tensor.permute_dims(y, (2, 0, 1))[:, ::-2]
    expected = numpy.sort(x.transpose(2, 0, 1)[:, ::-2], axis=1)
    numpy.testing.assert_array_equal(numpy.asarray(tensor.sort(view, axis=1)), expected)
    repeated = tensor.broadcast_to(y[0, :, :1], (50, 4))
    numpy.testing.assert_array_equal(
        numpy.asarray(tensor.sort(repeated, axis=0)), numpy.sort(numpy.broadcast_to(x[0, :, :1], (50, 4)), 0)
    )
    numpy.testing.assert_array_equal(numpy.asarray(y), x)


@pytest.mark.parametrize("stable", [True, False])
def test_replays_sort_what_is_there_then(device, generator, stable):
    for size in (100, 3000):
        x = tensor.asarray(generator.integers(0, 99, size).astype(numpy.float32))
        recording = tensor.record(lambda x=x: (tensor.sort(x, stable=stable), tensor.argsort(x)))
        x[...] = generator.integers(0, 99, size).astype(numpy.float32)
        values, places = recording.replay()
        numpy.testing.assert_array_equal(numpy.asarray(values), numpy.sort(numpy.asarray(x)))
        numpy.testing.assert_array_equal(numpy.asarray(places), numpy.argsort(numpy.asarray(x), stable=True))


def test_an_axis_that_does_not_exist(device):
    with pytest.raises(tensor.errors.ShapeError, match=r"sort: axis 1 does not exist in shape \(3,\)"):
        tensor.sort(tensor.zeros(3), axis=1)
    with pytest.raises(tensor.errors.ShapeError, match=r"argsort: axis -1 does not exist in shape \(\)"):
        tensor.argsort(tensor.zeros(()))
