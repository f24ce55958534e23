"""Fourier transforms on every device: NumPy says what is right."""

import itertools

import numpy
import pytest

import tensor
from tensor import fft
from tensor.errors import ArgumentError, DTypeError, ShapeError

SHAPES = [(8,), (7,), (3, 5), (2, 4, 6), (0, 4)]
ALL, REAL = ["float32", "float64", "complex64", "complex128", "int32"], ["float32", "float64", "int32"]


def values(generator, shape, dtype):
    imaginary = 1j * generator.normal(size=shape) if numpy.dtype(dtype).kind == "c" else 0
    return (4 * generator.normal(size=shape) + imaginary).astype(dtype)


def close(ours, theirs):
    assert ours.device is tensor.default_device()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    limit = 50 * numpy.finfo(theirs.dtype).eps
    numpy.testing.assert_allclose(ours.numpy(), theirs, rtol=limit, atol=limit * 10)


def in_single(x):
    """Integers as we transform them."""
    return x.astype(numpy.float32) if x.dtype.kind == "i" else x


def views(x):
    yield tensor.asarray(x)
    yield tensor.asarray(numpy.repeat(x[..., ::-1], 2, axis=-1))[..., ::-2]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *itertools.product(("fft", "ifft", "irfft", "hfft"), ALL),
        *itertools.product(("rfft", "ihfft"), REAL),
    ],
)
def test_along_one_axis(device, generator, name, dtype):
    ours, theirs = getattr(fft, name), getattr(numpy.fft, name)
    for shape in SHAPES:
        a = values(generator, shape, dtype)
        for x in views(a):
            close(ours(x), theirs(in_single(a)))
            for n, norm in itertools.product((1, 4, 9), ("backward", "ortho", "forward")):
                close(ours(x, n=n, axis=-1, norm=norm), theirs(in_single(a), n, -1, norm))
            if a.shape[0] > 1:
                close(ours(x, axis=0), theirs(in_single(a), axis=0))


@pytest.mark.parametrize(
    ("name", "dtype"), [*itertools.product(("fftn", "ifftn", "irfftn"), ALL), ("rfftn", "float32")]
)
def test_along_several_axes(device, generator, name, dtype):
    ours, theirs = getattr(fft, name), getattr(numpy.fft, name)
    for shape in [(8,), (3, 5), (2, 4, 6)]:
        a = values(generator, shape, dtype)
        x = tensor.asarray(a)
        close(ours(x), theirs(in_single(a)))
        for axes in itertools.permutations(range(len(shape)), min(2, len(shape))):
            for norm in ("backward", "ortho", "forward"):
                close(ours(x, axes=axes, norm=norm), theirs(in_single(a), axes=axes, norm=norm))
            s = (5, 3)[: len(axes)]
            close(ours(x, s=s, axes=axes), theirs(in_single(a), s=s, axes=axes))


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_places_of_frequencies(device, generator, n):
    close(fft.fftfreq(n), numpy.fft.fftfreq(n).astype(numpy.float32))
    close(fft.rfftfreq(n, d=0.1), numpy.fft.rfftfreq(n, 0.1).astype(numpy.float32))
    close(fft.fftfreq(n, d=2.0, dtype=tensor.float64, device=device), numpy.fft.fftfreq(n, 2.0))
    a = values(generator, (3, n, 2), "float32")
    for axes in (None, 1, (0, 1), [-1]):
        close(fft.fftshift(tensor.asarray(a), axes=axes), numpy.fft.fftshift(a, axes))
        close(fft.ifftshift(tensor.asarray(a), axes=axes), numpy.fft.ifftshift(a, axes))


def test_there_and_back_in_a_replay(device, generator):
    first, second = (values(generator, (3, 8), "float32") for _ in range(2))
    x = tensor.asarray(first)
    recording = tensor.record(lambda: fft.irfft(fft.rfft(x) * 2.0))
    x[...] = second
    close(recording.replay(), second * 2)


def test_errors_name_what_was_seen(device):
    x = tensor.ones((3, 1), dtype=tensor.complex64)
    for refused in (
        lambda: fft.fft(x, n=0),
        lambda: fft.fft(x[:0], axis=0),
        lambda: fft.irfft(x),
        lambda: fft.hfft(x),
        lambda: fft.irfftn(x),
        lambda: fft.fft(x, axis=2),
        lambda: fft.fftn(x, s=(2, 2)),
        lambda: fft.fftn(x, s=(2, 2), axes=(1,)),
        lambda: fft.fftn(x, axes=(1, 1)),
        lambda: fft.fftn(tensor.ones(())),
        lambda: fft.fftfreq(0),
    ):
        with pytest.raises(ShapeError):
            refused()
    for refused in (
        lambda: fft.rfft(x),
        lambda: fft.rfftn(x),
        lambda: fft.ihfft(x),
        lambda: fft.fft(tensor.ones(3, dtype=tensor.float16)),
        lambda: fft.fft(tensor.ones(3) > 0),
        lambda: fft.fftfreq(4, dtype=tensor.int32),
    ):
        with pytest.raises(DTypeError):
            refused()
    with pytest.raises(ArgumentError, match="orthogonal"):
        fft.fft(x, norm="orthogonal")
