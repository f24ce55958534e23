"""Reductions: the same test body on every device, against NumPy."""

import numpy
import pytest

import tensor
from tensor import reduce_launch
from tests.devices import with_gpu_kernels

GPU_KERNELS_TOO = True

SHAPES = [(), (5,), (1,), (3, 4), (64, 24, 24, 20), (100003,), (7, 1, 5), (3, 200000), (200000, 3), (300, 70)]


def axes_of(shape):
    ndim = len(shape)
    return [None, *range(ndim), *([(0, ndim - 1)] if ndim > 1 else []), *([(0, 1, 2)] if ndim > 3 else [])]


def views(x):
    y = tensor.asarray(x)
    yield x, y
    if x.ndim:
        yield x.T, tensor.permute_dims(y, range(x.ndim)[::-1])
        yield x[::2], y[::2]
        yield x[..., ::-1], y[..., ::-1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sum_and_mean(device, generator, shape):
    for x, y in views(generator.normal(size=shape).astype(numpy.float32)):
        for axis in axes_of(shape):
            exact = x.astype(numpy.float64)
            size = numpy.abs(exact).sum(axis)  # the rounding error of a sum grows with the sum of sizes
            error = numpy.abs(numpy.asarray(tensor.sum(y, axis)) - exact.sum(axis))
            assert (error <= 1e-6 * size).all()
            error = numpy.abs(
                numpy.asarray(tensor.mean(y, axis, keepdims=True)) - exact.mean(axis, keepdims=True)
            )
            assert (error <= 1e-6 * numpy.abs(exact).mean(axis, keepdims=True)).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_extremes(device, generator, shape):
    for x, y in views(generator.integers(-50, 50, shape).astype(numpy.float32)):
        for axis in axes_of(shape):
            assert (numpy.asarray(tensor.max(y, axis)) == x.max(axis)).all()
            assert (numpy.asarray(tensor.min(y, axis, keepdims=True)) == x.min(axis, keepdims=True)).all()
            if not isinstance(axis, tuple):
                result = tensor.argmax(y, axis)
                assert result.dtype == tensor.int64
                assert (numpy.asarray(result) == x.argmax(axis)).all()
                assert (numpy.asarray(tensor.argmin(y, axis)) == x.argmin(axis)).all()


@pytest.fixture
def one_launch(monkeypatch):
    """Kernels for GPUs whose last group reduces the chunks; PoCL's groups see each other's writes too."""
    caches = (reduce_launch.reducer, reduce_launch.chooser, reduce_launch.spread)
    monkeypatch.setattr(reduce_launch, "_groups_see_writes", lambda _: True)
    for name in ("sum", "mean", "var", "argmax"):  # without what earlier calls prepared
        monkeypatch.setattr(tensor, name, getattr(tensor, name).__wrapped__)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.mark.parametrize("shape", [(100003,), (3, 200000), (200000, 3), (40, 6000, 4)], ids=str)
def test_the_last_group_reduces_the_chunks(device, generator, shape, one_launch):
    x = generator.integers(-50, 50, shape).astype(numpy.float32)
    y = tensor.asarray(x)
    for axis in (None, *range(len(shape))):
        for _ in range(3):  # counters are left as they were found
            assert (numpy.asarray(tensor.sum(y, axis)) == x.sum(axis)).all()
            assert (numpy.asarray(tensor.argmax(y, axis)) == x.argmax(axis)).all()
        exact = x.astype(numpy.float64)
        if device.backend == "opencl":  # NumPy adds rows one after the other
            numpy.testing.assert_allclose(numpy.asarray(tensor.mean(y, axis)), exact.mean(axis), 1e-5, 1e-6)
            numpy.testing.assert_allclose(numpy.asarray(tensor.var(y, axis)), exact.var(axis), 4e-6)


def test_outputs_side_by_side_from_any_place_on(device, generator):
    """Four outputs an item, aligned and not."""
    x = generator.integers(-50, 50, (30, 40, 68)).astype(numpy.float32)
    y = tensor.asarray(x)
    for part in (slice(None), slice(4, 64), slice(3, 63)):
        for axis in (0, 1, (0, 1)):
            ours, theirs = y[:, :, part], x[:, :, part]
            assert (numpy.asarray(tensor.sum(ours, axis)) == theirs.sum(axis)).all()
            if axis != (0, 1):
                assert (numpy.asarray(tensor.argmin(ours, axis)) == theirs.argmin(axis)).all()


def test_nan_wins(device):
    x = numpy.ones((4, 300), numpy.float32)
    x[2, 257] = numpy.nan
    y = tensor.asarray(x)
    assert numpy.isnan(numpy.asarray(tensor.max(y, 1))).tolist() == [False, False, True, False]
    assert numpy.isnan(float(tensor.min(y)))
    assert int(tensor.argmax(y)) == 2 * 300 + 257


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("bool", "int64"), ("uint8", "uint64"), ("int16", "int64"), ("int32", "int64"), ("int64", "int64")],
)
def test_integer_sums_do_not_overflow_at_once(device, generator, dtype, result):
    x = generator.integers(0, 200, (50, 40)).astype(dtype)
    total = tensor.sum(tensor.asarray(x), 0)
    assert total.dtype == result
    assert (numpy.asarray(total) == x.sum(0, dtype=numpy.int64)).all()
    if dtype != "bool":
        assert (numpy.asarray(tensor.max(tensor.asarray(x), 1)) == x.max(1)).all()
        assert (numpy.asarray(tensor.min(tensor.asarray(x), 1)) == x.min(1)).all()


def test_negative_integers(device):
    x = tensor.asarray(numpy.array([[-5, -9], [-128, -1]], numpy.int8))
    assert numpy.asarray(tensor.max(x, 1)).tolist() == [-5, -1]
    assert numpy.asarray(tensor.min(x, 0)).tolist() == [-128, -9]


def test_nothing_to_reduce(device):
    x = tensor.zeros((3, 0))
    assert numpy.asarray(tensor.sum(x, 1)).tolist() == [0, 0, 0]
    assert tensor.sum(x, 0).shape == (0,)
    assert numpy.isnan(numpy.asarray(tensor.mean(x, 1))).all()
    with pytest.raises(
        tensor.errors.ShapeError, match=r"max: nothing to choose from along axis 1 of shape \(3, 0\)"
    ):
        tensor.max(x, 1)
    with pytest.raises(tensor.errors.ShapeError, match="axis 2 does not exist"):
        tensor.sum(x, 2)
    with pytest.raises(tensor.errors.DTypeError, match="argmax: complex numbers have no order"):
        tensor.argmax(tensor.asarray([1j]))
    assert bool(tensor.all(x))
    assert not bool(tensor.any(x))
    assert numpy.asarray(tensor.prod(x, 1)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64", "complex64"])
def test_every_reduction_has_numpys_values(device, generator, dtype):
    x = (generator.integers(-3, 4, (6, 5, 4)) + 0.5 * (dtype[0] in "fc")).astype(dtype)
    y = tensor.asarray(x)
    for axis in (None, 0, (0, 2), -1):
        for name in ("sum", "prod", "mean", "var", "std", "any", "all"):
            if name in ("mean", "var", "std") and dtype[0] not in "fc":
                continue
            result = getattr(tensor, name)(y, axis=axis, keepdims=True)
            expected = getattr(numpy, name)(x, axis=axis, keepdims=True)
            if name in ("var", "std") and dtype == "complex64":
                continue  # the standard has them for real numbers only
            assert result.dtype == expected.dtype
            numpy.testing.assert_allclose(
                numpy.asarray(result), expected, rtol=2e-5, err_msg=f"{name} {axis}"
            )


def test_correction_and_dtype(device):
    x = tensor.asarray([1.0, 2.0, 4.0])
    assert float(tensor.var(x, correction=1)) == pytest.approx(7 / 3)
    assert numpy.isnan(float(tensor.std(tensor.asarray([1.0]), correction=1)))
    assert tensor.sum(x, dtype=tensor.int32).dtype == tensor.int32
    assert tensor.sum(x, dtype=tensor.complex64).dtype == tensor.complex64
    assert float(tensor.sum(tensor.asarray([2**24, 1]), dtype=tensor.float64)) == 2**24 + 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64"])
@pytest.mark.parametrize("shape", [(21, 16), (43, 11), (9, 63), (16, 40), (7, 1500), (9, 9000)], ids=str)
def test_short_rows_and_long_pieces_of_rows(device, generator, shape, dtype):
    """Several rows at a time, with equal elements and with NaN, which is the best; 8,192 columns an item."""
    x = generator.integers(-3, 4, shape).astype(dtype)
    if x.dtype.kind == "f":
        x[generator.random(shape) < 0.05] = numpy.nan
    y = tensor.asarray(x)
    for axis in (0, 1):
        assert (numpy.asarray(tensor.argmax(y, axis)) == x.argmax(axis)).all()
        assert (numpy.asarray(tensor.argmin(y, axis)) == x.argmin(axis)).all()
        numpy.testing.assert_array_equal(numpy.asarray(tensor.max(y, axis)), x.max(axis))
        numpy.testing.assert_array_equal(numpy.asarray(tensor.sum(y, axis)), x.sum(axis))
        single = dtype in ("float32", "int8", "int64")  # integers give float32
        numpy.testing.assert_allclose(
            numpy.asarray(tensor.var(y, axis)), x.var(axis), rtol=1e-6 if single else 1e-14
        )


# NumPy takes the mean first, rounded, and adds row to row.
merges_blocks = pytest.mark.parametrize(
    "device",
    [each for each in with_gpu_kernels() if each.backend == "opencl"],
    ids=lambda each: each.spec,
    indirect=True,
)


def var(x, axis=None, **named):
    return numpy.asarray(tensor.var(tensor.asarray(x), axis, **named))


@merges_blocks
@pytest.mark.parametrize("offset", [0, 1e4])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1,), 0),
        ((2,), 0),
        ((2049,), 0),
        ((100003,), 0),  # chunks
        ((33, 63), 1),  # eight rows at once, and one
        ((3, 200000), 1),
        ((7, 50), 0),  # less than eight rows
        ((17, 9000), 0),  # two pieces of rows
        ((200003, 3), 0),  # rows end to end
        ((5000, 300), 0),  # chunks of columns
        ((9, 40, 33, 6), (0, 2)),
        ((9, 40, 33, 6), (0, 3)),
        ((64, 30, 100), (0, 2)),
    ],
    ids=str,
)
def test_variance_is_that_of_float64(device, generator, shape, axis, offset):
    x = (generator.normal(size=shape) + offset).astype(numpy.float32)
    exact = x.astype(numpy.float64)
    numpy.testing.assert_allclose(var(x, axis), exact.var(axis), 1e-6)
    numpy.testing.assert_allclose(var(x.T, None), exact.var(), 1e-6)
    count, corrected = exact.size / exact.var(axis).size, var(exact, axis, keepdims=True, correction=-2.5)
    numpy.testing.assert_allclose(corrected, exact.var(axis, keepdims=True) * count / (count + 2.5), 1e-12)


@merges_blocks
@pytest.mark.parametrize("shape", [(9,), (100003,), (9, 40), (5000, 33), (3, 70)], ids=str)
def test_variance_with_one_far_away_and_of_constants(device, generator, shape):
    x = (generator.normal(size=shape) + 1).astype(numpy.float32)
    x[0] = 1e6
    numpy.testing.assert_allclose(var(x, 0), x.astype(numpy.float64).var(0), 3e-6)
    assert not var(numpy.full(shape, 0.1, numpy.float32), 0).any()
    assert not var(numpy.full(shape, 0.1, numpy.float32)).any()


@merges_blocks
@pytest.mark.parametrize("shape", [(17, 40), (12, 9000), (2, 5), (50, 4500), (200, 3), (40, 20)], ids=str)
@pytest.mark.parametrize("value", [numpy.inf, -numpy.inf, numpy.nan, 1e25])
def test_variance_is_finite_where_numpys_is(device, shape, value):
    for axis in (0, 1):
        for place in (0, 1, shape[axis] - 1, shape[axis] // 2):
            x = numpy.linspace(-1e17, 1e17, shape[0] * shape[1], dtype=numpy.float32).reshape(shape)
            x.swapaxes(0, axis)[place, 1::2] = value
            with numpy.errstate(all="ignore"):
                expected = x.var(axis)
            numpy.testing.assert_allclose(var(x, axis), expected, 1e-5)


@merges_blocks
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float64"])
def test_variance_of_other_dtypes(device, generator, dtype):
    x = generator.integers(0, 200, (300, 70)).astype(dtype)
    for axis in (None, 0, 1):
        exact = x.astype(numpy.float64).var(axis)
        numpy.testing.assert_allclose(var(x, axis), exact, 1e-12 if dtype == "float64" else 1e-6)
        numpy.testing.assert_allclose(var(x[::2, ::-1], axis), x[::2, ::-1].astype(float).var(axis), 1e-6)
