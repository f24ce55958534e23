"""Arrays from other arrays' elements, on every device: NumPy says what is right."""

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tensor

SHAPES = [(), (1,), (4,), (3, 5), (2, 1, 3), (0, 3), (2, 3, 4, 5)]


def pair(generator, shape, dtype=numpy.float32):
    x = generator.integers(0, 100, shape).astype(dtype)
    return x, tensor.asarray(x)


def same(ours, theirs):
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    numpy.testing.assert_array_equal(numpy.asarray(ours), theirs)


def is_view(result, x):
    return result.storage is x.storage


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_views(device, generator, shape):
    x, y = pair(generator, shape)
    for axis in range(-len(shape) - 1, len(shape) + 1):
        same(tensor.expand_dims(y, axis=axis), numpy.expand_dims(x, axis))
        assert is_view(tensor.expand_dims(y, axis=axis), y)
    for axis in [None, *range(-len(shape), len(shape))]:
        same(tensor.flip(y, axis=axis), numpy.flip(x, axis))
        assert is_view(tensor.flip(y, axis=axis), y)
    for axis in range(len(shape)):
        for ours, theirs in zip(tensor.unstack(y, axis=axis), numpy.unstack(x, axis=axis), strict=True):
            same(ours, theirs)
            assert is_view(ours, y)
        for to in range(-len(shape), len(shape)):
            same(tensor.moveaxis(y, axis, to), numpy.moveaxis(x, axis, to))
    if len(shape) > 1:
        same(tensor.matrix_transpose(y), numpy.matrix_transpose(x))


def test_several_axes_at_once(device, generator):
    x, y = pair(generator, (2, 1, 3, 1))
    same(tensor.squeeze(y, (1, -1)), x.squeeze((1, 3)))
    same(tensor.expand_dims(y, axis=(0, -1, 3)), numpy.expand_dims(x, (0, -1, 3)))
    same(tensor.moveaxis(y, (0, 2), (-1, 1)), numpy.moveaxis(x, (0, 2), (-1, 1)))
    same(tensor.flip(y, axis=(0, 2)), numpy.flip(x, (0, 2)))


def test_broadcast_arrays(device, generator):
    a, b = pair(generator, (3, 1)), pair(generator, (4,))
    for ours, theirs in zip(
        tensor.broadcast_arrays(a[1], b[1]), numpy.broadcast_arrays(a[0], b[0]), strict=True
    ):
        same(ours, theirs)
    assert tensor.broadcast_arrays() == []


@pytest.mark.parametrize(("shapes", "axis"), [([(2, 3), (0, 3), (4, 3)], 0), ([(2, 3), (2, 1)], -1)], ids=str)
def test_concat(device, generator, shapes, axis):
    pairs = [pair(generator, shape) for shape in shapes]
    pairs.append((pairs[0][0][:, ::-1], tensor.flip(pairs[0][1], axis=1)))
    same(tensor.concat([y for _, y in pairs], axis=axis), numpy.concatenate([x for x, _ in pairs], axis))
    same(tensor.concat([y for _, y in pairs], axis=None), numpy.concatenate([x for x, _ in pairs], None))


def test_joined_dtypes_are_promoted(device, generator):
    (a, ours_a), (b, ours_b) = pair(generator, (2, 3), numpy.int16), pair(generator, (2, 3), numpy.uint8)
    c, ours_c = pair(generator, (2, 3), numpy.float32)
    same(tensor.concat([ours_a, ours_b]), numpy.concatenate([a, b]))
    same(tensor.stack([ours_b, ours_c, ours_a], axis=1), numpy.stack([b, c, a], 1))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(device, generator, axis):
    a, b = pair(generator, (3, 2)), pair(generator, (2, 3))
    same(tensor.stack([a[1], b[1].T, a[1]], axis=axis), numpy.stack([a[0], b[0].T, a[0]], axis))


@pytest.mark.parametrize(
    ("shift", "axis"), [(2, None), (-7, None), (1, 0), (5, 1), ((1, -2), (0, 1)), ((1, 1), (0, 0)), (0, 0)]
)
def test_roll(device, generator, shift, axis):
    for shape in [(3, 4), (0, 4), (1, 1)]:
        x, y = pair(generator, shape)
        same(tensor.roll(y, shift, axis=axis), numpy.roll(x, shift, axis))
        same(tensor.roll(tensor.flip(y), shift, axis=axis), numpy.roll(numpy.flip(x), shift, axis))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (0, 4), (2, 3, 4)], ids=str)
def test_repeat(device, generator, shape):
    x, y = pair(generator, shape)
    for axis in [None, *range(-len(shape), len(shape))]:
        for times in (0, 1, 3, 9):
            same(tensor.repeat(y, times, axis=axis), numpy.repeat(x, times, axis))
        length = x.size if axis is None else x.shape[axis]
        times = generator.integers(0, 4, length)
        same(tensor.repeat(y, tensor.asarray(times), axis=axis), numpy.repeat(x, times, axis))
    same(tensor.repeat(y, tensor.asarray([2])), numpy.repeat(x, [2]))


@given(st.lists(st.integers(0, 3), max_size=3), st.lists(st.integers(0, 3), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tile(device, shape, repetitions):
    x = numpy.arange(numpy.prod(shape, dtype=int), dtype=numpy.int32).reshape(shape)
    same(tensor.tile(tensor.asarray(x), tuple(repetitions)), numpy.tile(x, repetitions))


def test_diff(device, generator):
    x, y = pair(generator, (3, 5), numpy.int32)
    e, f = pair(generator, (3, 2), numpy.int32)
    for n in (0, 1, 2, 6):
        same(tensor.diff(y, n=n), numpy.diff(x, n=n))
    same(tensor.diff(y, axis=0), numpy.diff(x, axis=0))
    same(tensor.diff(y, prepend=f, append=f), numpy.diff(x, prepend=e, append=e))
    same(tensor.diff(y > 50), numpy.diff(x > 50))


def test_grids(device, generator):
    for arguments in [(0, 1, 5), (2, -3, 4), (0, 1, 1), (1, 2, 0)]:
        for endpoint in (True, False):
            expected = numpy.linspace(*arguments, endpoint=endpoint, dtype=numpy.float32)
            same(tensor.linspace(*arguments, endpoint=endpoint), expected)
    (a, ours_a), (b, ours_b), (c, ours_c) = pair(generator, 3), pair(generator, 2), pair(generator, ())
    for indexing in ("xy", "ij"):
        for count in range(4):
            ours = tensor.meshgrid(*[ours_a, ours_b, ours_c][:count], indexing=indexing)
            theirs = numpy.meshgrid(a, b, c, indexing=indexing) if count == 3 else None
            theirs = theirs or numpy.meshgrid(*[a, b, c][:count], indexing=indexing)
            for one, other in zip(ours, theirs, strict=True):
                same(one, other)


@pytest.mark.parametrize("k", [-9, -2, -1, 0, 1, 3, 9])
def test_diagonals_and_triangles(device, generator, k):
    for rows, columns in [(3, 5), (5, 3), (1, 4), (0, 3), (3, 0)]:
        same(tensor.eye(rows, columns, k=k), numpy.eye(rows, columns, k, numpy.float32))
        for dtype in (numpy.float32, numpy.bool_, numpy.uint8):
            x, y = pair(generator, (2, rows, columns), dtype)
            same(tensor.tril(y, k=k), numpy.tril(x, k))
            same(tensor.triu(y, k=k), numpy.triu(x, k))


def test_errors_name_function_and_shapes(device):
    x = tensor.zeros((2, 3))
    for wrong, message in [
        (lambda: tensor.squeeze(x, 0), r"squeeze: axis 0 of shape \(2, 3\) has another length than 1"),
        (lambda: tensor.concat([]), "concat: expected at least one array"),
        (lambda: tensor.concat([x, x.T]), r"concat: shapes \(2, 3\) and \(3, 2\)"),
        (lambda: tensor.stack([x, x.T]), "stack: expected arrays of one shape"),
        (lambda: tensor.flip(x, axis=2), "flip: axis 2 does not exist"),
        (lambda: tensor.expand_dims(x, axis=4), "expand_dims: axis 4 does not exist"),
        (lambda: tensor.moveaxis(x, (0, 0), (0, 1)), "names an axis of shape .* twice"),
        (lambda: tensor.repeat(x, tensor.asarray([1, 2]), axis=1), "repeat: .* counts do not fit"),
        (lambda: tensor.repeat(x, -1, axis=0), "repeat: nothing can be repeated -1 times"),
        (lambda: tensor.tile(x, (2, -1)), "tile: nothing can be repeated -1 times"),
        (lambda: tensor.linspace(0, 1, -1), "linspace: expected at least 0 numbers"),
        (lambda: tensor.eye(-2, -3), "sizes are not negative"),
        (lambda: tensor.tril(x[0]), "tril: expected matrices"),
        (lambda: tensor.meshgrid(x), "meshgrid: expected vectors"),
    ]:
        with pytest.raises(tensor.errors.ShapeError, match=message):
            wrong()
