"""The matrix product of dtypes other than float32, on every device: NumPy says what is right."""

import numpy
import pytest

import tensor

GPU_KERNELS_TOO = True
DTYPES = ["int8", "uint16", "int32", "int64", "uint64", "float64", "float16", "complex64", "complex128"]
SHAPES = [
    ((5,), (5,)),
    ((3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((65, 130), (130, 33)),
    ((2, 1, 7, 3), (4, 3, 9)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


def values(generator, shape, dtype):
    """Integers over the whole range of the dtype, since what overflows has to wrap as in NumPy."""
    kind = numpy.dtype(dtype).kind
    if kind in "iu":
        limits = numpy.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    imaginary = 1j * generator.normal(size=shape) if kind == "c" else 0
    return (generator.normal(size=shape) + imaginary).astype(dtype)


def agree(ours, theirs):
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    if theirs.dtype.kind in "iu":
        numpy.testing.assert_array_equal(ours.numpy(), theirs)
    else:
        close = 2e-2 if theirs.dtype == numpy.float16 else 300 * numpy.finfo(theirs.dtype).eps
        numpy.testing.assert_allclose(ours.numpy(), theirs, rtol=close, atol=close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(device, generator, dtype):
    for left, right in SHAPES:
        a, b = values(generator, left, dtype), values(generator, right, dtype)
        agree(tensor.asarray(a) @ tensor.asarray(b), a @ b)


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_views(device, generator, dtype):
    a, b = values(generator, (40, 60), dtype), values(generator, (2, 50, 300), dtype)
    x, y = tensor.asarray(a), tensor.asarray(b)
    agree(x.T @ x, a.T @ a)
    agree(x[::-2, 5:55] @ y[:, :, ::3], a[::-2, 5:55] @ b[:, :, ::3])
    agree(y[:, 1:] @ y.mT, b[:, 1:] @ b.mT)


def test_two_dtypes_meet_in_their_common_one(device, generator):
    for left, right in [("int8", "uint8"), ("int32", "float32"), ("float32", "float64"), ("int16", "int64")]:
        a, b = generator.integers(0, 9, (3, 4)).astype(left), generator.integers(0, 9, (4, 5)).astype(right)
        ours = tensor.asarray(a) @ tensor.asarray(b)
        assert ours.dtype == tensor.result_type(left, right)
        numpy.testing.assert_array_equal(ours.numpy(), a @ b)


def test_what_is_not_numbers_is_refused(device):
    x = tensor.ones((2, 2))
    with pytest.raises(tensor.errors.DTypeError, match="bool"):
        x @ (x > 0)
    with pytest.raises(tensor.errors.DTypeError, match="int"):
        x @ 2
