"""Linear algebra on every device: NumPy says what is right."""

import itertools
from math import inf, prod

import numpy
import pytest

import tensor
from tensor import linalg
from tensor.errors import ArgumentError, DTypeError, MatrixError, ShapeError

FLOATING = ["float32", "float64", "complex64", "complex128"]
SQUARES = [(1, 1), (3, 3), (2, 0, 4, 4), (2, 3, 5, 5), (0, 0)]
MATRICES = [*SQUARES, (4, 2), (3, 2, 5), (0, 3), (2, 3, 0)]


def values(generator, shape, dtype):
    imaginary = 1j * generator.normal(size=shape) if numpy.dtype(dtype).kind == "c" else 0
    return (generator.normal(size=shape) + imaginary).astype(dtype)


def pair(x):
    return x, tensor.asarray(x)


def views(x):
    """The same values in two layouts: row-major, and every second element of a larger array turned round."""
    yield tensor.asarray(x)
    if x.ndim > 1:
        wide = numpy.repeat(x.mT[..., ::-1, :], 2, axis=-1)
        yield tensor.asarray(numpy.ascontiguousarray(wide))[..., ::-1, ::2].mT


def close(ours, theirs, rounds=200):
    theirs = numpy.asarray(theirs)
    assert isinstance(ours, tensor.Array)
    assert ours.device is tensor.default_device()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    if theirs.dtype.kind in "fc":
        limit = rounds * numpy.finfo(theirs.dtype).eps
        numpy.testing.assert_allclose(ours.numpy(), theirs, rtol=limit, atol=limit)
    else:
        numpy.testing.assert_array_equal(ours.numpy(), theirs)


def hermitian(x):
    return x @ x.mT.conj() + 3 * numpy.eye(x.shape[-1], dtype=x.dtype)


# --- factorisations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATING)
def test_of_square_matrices(device, generator, dtype):
    for shape in SQUARES:
        a = hermitian(values(generator, shape, dtype)) / max(shape[-1], 1)
        for x in views(a):
            for upper in (False, True):
                close(linalg.cholesky(x, upper=upper), numpy.linalg.cholesky(a, upper=upper))
            close(linalg.eigvalsh(x), numpy.linalg.eigvalsh(a))
            close(linalg.inv(x), numpy.linalg.inv(a))
            close(linalg.det(x), numpy.linalg.det(a))
            sign, logarithm = linalg.slogdet(x)
            close(sign, numpy.linalg.slogdet(a).sign)
            close(logarithm, numpy.linalg.slogdet(a).logabsdet)


@pytest.mark.parametrize("dtype", FLOATING)
def test_eigenvectors(device, generator, dtype):
    for shape in SQUARES:
        a = hermitian(values(generator, shape, dtype))
        found = linalg.eigh(tensor.asarray(a))
        w, v = (each.numpy() for each in found)
        close(found.eigenvalues, numpy.linalg.eigh(a).eigenvalues)
        close(found.eigenvectors @ found.eigenvectors.mT.astype(dtype), v @ v.mT)
        numpy.testing.assert_allclose(a @ v, v * w[..., None, :], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", FLOATING)
def test_qr(device, generator, dtype):
    for shape, mode in itertools.product(MATRICES, ("reduced", "complete")):
        a, x = pair(values(generator, shape, dtype))
        for ours, theirs in zip(linalg.qr(x, mode=mode), numpy.linalg.qr(a, mode=mode), strict=True):
            close(ours, theirs)
    assert linalg.qr(x)._fields == ("Q", "R")


@pytest.mark.parametrize("dtype", FLOATING)
def test_singular_values(device, generator, dtype):
    for shape, full in itertools.product(MATRICES, (False, True)):
        a = values(generator, shape, dtype)
        for x in views(a):
            for ours, theirs in zip(
                linalg.svd(x, full_matrices=full), numpy.linalg.svd(a, full_matrices=full), strict=True
            ):
                close(ours, theirs, 2000)
            close(linalg.svdvals(x), numpy.linalg.svdvals(a))


@pytest.mark.parametrize("dtype", FLOATING)
def test_what_follows_from_singular_values(device, generator, dtype):
    for shape in MATRICES:
        a, x = pair(values(generator, shape, dtype))
        if prod(shape):
            close(linalg.matrix_rank(x), numpy.linalg.matrix_rank(a))
            close(linalg.pinv(x), numpy.linalg.pinv(a), 5000)
        assert linalg.pinv(x).shape == (*shape[:-2], shape[-1], shape[-2])
        assert linalg.matrix_rank(x).shape == shape[:-2]
    a = values(generator, (2, 4, 1), dtype) * values(generator, (2, 1, 3), dtype)
    close(linalg.matrix_rank(tensor.asarray(a)), numpy.array([1, 1]))
    close(linalg.pinv(tensor.asarray(a)), numpy.linalg.pinv(a, rtol=1e-5), 1000)


def test_tolerances_of_one_number_or_one_for_each_matrix(device):
    a, x = pair(numpy.stack([numpy.diag([4.0, 2.0, 0.5])] * 2))
    close(linalg.matrix_rank(x, rtol=0.3), numpy.array([2, 2]))
    each = tensor.asarray(numpy.array([0.6, 0.1]))
    close(linalg.matrix_rank(x, rtol=each), numpy.array([1, 3]))
    close(linalg.pinv(x, rtol=each), numpy.linalg.pinv(a, rtol=numpy.array([0.6, 0.1])))


@pytest.mark.parametrize(("left", "right"), [("float32", "float32"), ("float64", "complex64")])
def test_solve(device, generator, left, right):
    for a_shape, b_shape in [
        ((3, 3), (3,)),
        ((2, 3, 3), (3,)),
        ((2, 1, 3, 3), (4, 3, 5)),
        ((3, 3), (2, 3, 0)),
        ((0, 0), (0, 2)),
    ]:
        a, b = hermitian(values(generator, a_shape, left)), values(generator, b_shape, right)
        close(linalg.solve(tensor.asarray(a), tensor.asarray(b)), numpy.linalg.solve(a, b))


def test_integers_are_computed_in_float32(device):
    a = numpy.array([[2, 1], [1, 3]])
    close(linalg.inv(tensor.asarray(a)), numpy.linalg.inv(a.astype(numpy.float32)))
    close(linalg.det(tensor.asarray(a)), numpy.float32(5))


def test_parts_have_memory_of_their_own(device, generator):
    x = tensor.asarray(values(generator, (3, 3), "float32"))
    q, r = linalg.qr(x)
    before = r.numpy()
    q[...] = 0
    numpy.testing.assert_array_equal(r.numpy(), before)
    assert q.is_contiguous
    assert q.offset == r.offset == 0


def test_factorisations_replay(device, generator):
    first, second = (hermitian(values(generator, (2, 4, 4), "float32")) for _ in range(2))
    x = tensor.asarray(first)

    def step():
        eigen = linalg.eigh(x)
        return eigen.eigenvalues, linalg.inv(x) @ x, linalg.pinv(x)

    recording = tensor.record(step)
    x[...] = second
    eigenvalues, identity, inverse = recording.replay()
    close(eigenvalues, numpy.linalg.eigvalsh(second))
    close(identity, numpy.broadcast_to(numpy.eye(4, dtype="float32"), (2, 4, 4)))
    close(inverse, numpy.linalg.inv(second))


# --- products -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right"), [("float32", "float32"), ("int8", "uint8"), ("complex64",) * 2])
def test_tensordot(device, generator, left, right):
    a = (9 * values(generator, (2, 3, 4, 5), left)).astype(left)
    b = numpy.abs(9 * values(generator, (4, 5, 3), "float32")).astype(right)
    x, y = tensor.asarray(a), tensor.asarray(b)
    close(tensor.tensordot(x, y), numpy.tensordot(a, b), 5000)
    close(tensor.tensordot(x[0, 0], y[0], axes=0), numpy.tensordot(a[0, 0], b[0], 0))
    axes = ((1, -1), (2, 1))
    close(tensor.tensordot(x, y, axes=axes), numpy.tensordot(a, b, axes), 5000)
    close(tensor.tensordot(x[..., ::2, :], y[::2]), numpy.tensordot(a[..., ::2, :], b[::2]), 5000)
    none = ((1,), (2,))
    close(tensor.tensordot(x[:, :0], y[..., :0], axes=none), numpy.tensordot(a[:, :0], b[..., :0], none))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "complex64"])
def test_vecdot(device, generator, dtype):
    a, b = ((3 * values(generator, s, dtype)).astype(dtype) for s in ((2, 3, 1), (7, 2, 1, 4)))
    x, y = tensor.asarray(a), tensor.asarray(b)
    wide = numpy.broadcast_to(b, (7, 2, 3, 4))
    close(tensor.vecdot(x, tensor.asarray(wide), axis=-2), numpy.vecdot(a, wide, axis=-2))
    close(tensor.vecdot(y[0, 0, 0], y), numpy.vecdot(b[0, 0, 0], b))
    close(tensor.vecdot(x[:, :0], x[:, :0], axis=1), numpy.vecdot(a[:, :0], a[:, :0], axis=1))


@pytest.mark.parametrize(
    ("left", "right"), [("float32", "int16"), ("int8", "int8"), ("complex64", "float32")]
)
def test_outer_and_cross(device, generator, left, right):
    a, x = pair((3 * values(generator, (2, 1, 3), left)).astype(left))
    b, y = pair((3 * values(generator, (4, 3), right)).astype(right))
    common = tensor.result_type(x, y)
    close(linalg.outer(x[0, 0], y[:, 1]), numpy.outer(a[0, 0], b[:, 1]).astype(common))
    close(linalg.outer(x[0, 0], y[0, :0]), numpy.outer(a[0, 0], b[0, :0]).astype(common))
    close(linalg.cross(x, y), numpy.cross(a, b).astype(common))
    close(linalg.cross(x.mT, y.T, axis=-2), numpy.cross(a.mT, b.T, axis=-2).astype(common))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int32"])
def test_matrix_power(device, generator, dtype):
    for shape in SQUARES:
        a, x = pair((hermitian(values(generator, shape, dtype)) / 5).astype(dtype))
        for n in (0, 1, 2, 5, *(() if dtype == "int32" else (-1, -3))):
            close(linalg.matrix_power(x, n), numpy.linalg.matrix_power(a, n), 3000)
    assert linalg.matrix_power(x, 1).storage is not x.storage


# --- diagonals and norms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int8", "complex64"])
def test_diagonals(device, generator, dtype):
    for shape in MATRICES:
        a = (9 * values(generator, shape, dtype)).astype(dtype)
        for x, offset in itertools.product(views(a), (-9, -2, -1, 0, 1, 3, 9)):
            theirs = numpy.linalg.diagonal(a, offset=offset)
            ours = linalg.diagonal(x, offset=offset)
            close(ours, theirs)
            assert ours.storage is x.storage
            kept = None if dtype != "int8" else numpy.int64
            close(linalg.trace(x, offset=offset), theirs.sum(-1, dtype=kept))
    a, x = pair(numpy.ones((3, 4), dtype))
    linalg.diagonal(x, offset=1)[...] = 7
    a[[0, 1, 2], [1, 2, 3]] = 7
    close(x, a)
    close(linalg.trace(x, dtype=tensor.complex128), numpy.complex128(3))


@pytest.mark.parametrize("dtype", FLOATING)
def test_vector_norms(device, generator, dtype):
    for shape, ord in itertools.product([(5,), (3, 4), (2, 3, 4), ()], (2, 1, 0, 3, 0.5, -1, inf, -inf)):
        a, x = pair(numpy.asarray(values(generator, shape, dtype)))
        for axis in [None, *range(len(shape)), *([(0, -1)] if len(shape) > 1 else [])]:
            for keepdims in (False, True):
                theirs = numpy.linalg.vector_norm(a, axis=axis, keepdims=keepdims, ord=ord)
                ours = linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
                close(ours, theirs.astype(a.real.dtype))
    for ord in (2, 1, 0, 3, inf):
        assert linalg.vector_norm(x.reshape(1)[:0], ord=ord).item() == 0


@pytest.mark.parametrize("dtype", FLOATING)
def test_matrix_norms(device, generator, dtype):
    for shape, ord in itertools.product(MATRICES, ("fro", "nuc", 1, -1, 2, -2, inf, -inf)):
        a, x = pair(values(generator, shape, dtype))
        if 0 in shape[-2:] and ord in (-1, -2, -inf):
            continue  # the smallest of nothing
        for keepdims in (False, True):
            theirs = numpy.linalg.matrix_norm(a, ord=ord, keepdims=keepdims)
            close(linalg.matrix_norm(x, ord=ord, keepdims=keepdims), theirs)


# --- errors -------------------------------------------------------------------------------------------------


def test_errors_name_what_was_seen(device):
    x, zero = tensor.ones((2, 3)), tensor.zeros((2, 2))
    vector = tensor.ones(3)
    for function in (linalg.inv, linalg.det, linalg.cholesky, linalg.eigh, linalg.eigvalsh, linalg.slogdet):
        with pytest.raises(ShapeError, match=rf"{function.__name__}: expected square .* \(2, 3\)"):
            function(x)
    for function in (linalg.svd, linalg.qr, linalg.svdvals, linalg.matrix_norm, linalg.diagonal, linalg.pinv):
        with pytest.raises(ShapeError, match=r"matrices .* \(3,\)"):
            function(vector)
    with pytest.raises(MatrixError, match=r"inv: .*\(2, 2\) one is singular; use pinv"):
        linalg.inv(zero)
    with pytest.raises(MatrixError, match=r"solve: .*singular"):
        linalg.solve(zero, zero)
    with pytest.raises(MatrixError, match=r"cholesky: .*not positive definite"):
        linalg.cholesky(zero)
    with pytest.raises(MatrixError, match=r"svd: .*isfinite"):
        linalg.svd(x * float("nan"))
    with pytest.raises(DTypeError, match="float16"):
        linalg.inv(zero.astype(tensor.float16))
    with pytest.raises(DTypeError, match="bool"):
        linalg.det(zero > 0)
    for refused in (
        lambda: linalg.solve(zero, vector),
        lambda: linalg.solve(zero, tensor.ones(())),
        lambda: linalg.outer(x, vector),
        lambda: linalg.cross(x, x[:, :2]),
        lambda: linalg.vecdot(x, x[:, :1]),
        lambda: linalg.vecdot(x, vector, axis=-2),
        lambda: linalg.tensordot(x, x.T),
        lambda: linalg.tensordot(x, x, axes=1),
        lambda: linalg.tensordot(x, x, axes=3),
        lambda: linalg.matrix_power(x, 2),
    ):
        with pytest.raises(ShapeError):
            refused()
    for refused in (
        lambda: linalg.qr(x, mode="full"),
        lambda: linalg.matrix_norm(x, ord=3),
        lambda: linalg.vector_norm(x, ord="fro"),
        lambda: linalg.matrix_power(zero, 0.5),
    ):
        with pytest.raises(ArgumentError):
            refused()
