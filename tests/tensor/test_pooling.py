"""Pooling in both directions against PyTorch, on every device."""

import numpy
import pytest

import tensor

torch = pytest.importorskip("torch")

GPU_KERNELS_TOO = True

WINDOWS = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 2), (1, 2), (1, 0)),
    ((2, 2), (3, 3), (0, 0)),
]


def channels_first(x):
    return torch.tensor(numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def channels_last(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS)
@pytest.mark.parametrize("shape", [(2, 9, 7, 3), (3, 8, 8, 47), (1, 5, 5, 1), (0, 6, 6, 2)], ids=str)
def test_pooling_agrees_with_pytorch(device, generator, shape, size, stride, padding, ceil_mode):
    x = generator.integers(-3, 4, shape).astype(
        numpy.float32
    )  # many equal maxima: the first one takes the gradient
    geometry = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    reference = channels_first(x).requires_grad_()
    images = tensor.asarray(x)
    for kind in ("max", "avg"):
        pool = getattr(torch.nn.functional, f"{kind}_pool2d")
        expected = pool(reference, size, **geometry)
        y = getattr(tensor, f"{kind}_pool2d")(images, size, **geometry)
        numpy.testing.assert_allclose(numpy.asarray(y), channels_last(expected), rtol=1e-6, atol=1e-7)
        dy = generator.normal(size=y.shape).astype(numpy.float32)
        (gradient,) = torch.autograd.grad(expected, reference, channels_first(dy))
        if kind == "max":
            dx = tensor.max_pool2d_backward(images, y, tensor.asarray(dy), size, **geometry)
        else:
            dx = tensor.avg_pool2d_backward(tensor.asarray(dy), shape, size, **geometry)
        numpy.testing.assert_allclose(numpy.asarray(dx), channels_last(gradient), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS)
def test_padding_need_not_count(device, generator, size, stride, padding, ceil_mode):
    x = generator.normal(size=(2, 9, 7, 35)).astype(numpy.float32)
    geometry = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": False}
    reference = channels_first(x).requires_grad_()
    expected = torch.nn.functional.avg_pool2d(reference, size, **geometry)
    y = tensor.avg_pool2d(tensor.asarray(x), size, **geometry)
    numpy.testing.assert_allclose(numpy.asarray(y), channels_last(expected), rtol=1e-5, atol=1e-6)
    dy = generator.normal(size=y.shape).astype(numpy.float32)
    (gradient,) = torch.autograd.grad(expected, reference, channels_first(dy))
    dx = tensor.avg_pool2d_backward(tensor.asarray(dy), x.shape, size, **geometry)
    numpy.testing.assert_allclose(numpy.asarray(dx), channels_last(gradient), rtol=1e-5, atol=1e-6)


def test_views_are_pooled(device, generator):
    x = generator.normal(size=(2, 4, 6, 6)).astype(numpy.float32)
    y = tensor.max_pool2d(tensor.permute_dims(tensor.asarray(x), (0, 2, 3, 1)), (2, 2))
    expected = torch.nn.functional.max_pool2d(torch.tensor(x), 2)
    assert (numpy.asarray(y) == channels_last(expected)).all()


def test_nan_is_a_maximum(device):
    x = numpy.zeros((1, 2, 2, 1), numpy.float32)
    x[0, 1, 0, 0] = numpy.nan
    assert numpy.isnan(float(tensor.max_pool2d(tensor.asarray(x), (2, 2))))


def test_wrong_geometry_is_named(device):
    x = tensor.zeros((1, 4, 4, 2))
    with pytest.raises(tensor.errors.ShapeError, match=r"window \(5, 5\) is larger than the images \(4, 4\)"):
        tensor.max_pool2d(x, (5, 5))
    with pytest.raises(tensor.errors.ShapeError, match="more than half"):
        tensor.max_pool2d(x, (2, 2), padding=(2, 2))
    for wrong in [{"size": (0, 2)}, {"size": (2, 2), "stride": (1, 0)}, {"size": (2, 2), "padding": (-1, 0)}]:
        for pool in (tensor.max_pool2d, tensor.avg_pool2d):
            with pytest.raises(tensor.errors.ShapeError, match="must be at least 1, padding"):
                pool(x, **wrong)
    with pytest.raises(tensor.errors.ShapeError, match="expected images"):
        tensor.avg_pool2d(tensor.zeros((4, 4)), (2, 2))
    with pytest.raises(tensor.errors.ShapeError, match=r"expected shape \(1, 2, 2, 2\), got \(1, 3, 3, 2\)"):
        tensor.avg_pool2d_backward(tensor.zeros((1, 3, 3, 2)), (1, 4, 4, 2), (2, 2))
    with pytest.raises(tensor.errors.DTypeError, match="expected float32 or float64, got int32"):
        tensor.max_pool2d(x.astype(tensor.int32), (2, 2))


def test_an_infinite_gradient_reaches_the_first_maximum_alone(device):
    x = tensor.zeros((1, 2, 2, 13))
    dy = tensor.full((1, 1, 1, 13), float("inf"))
    dx = numpy.asarray(tensor.max_pool2d_backward(x, tensor.max_pool2d(x, (2, 2)), dy, (2, 2)))
    assert numpy.isposinf(dx[0, 0, 0]).all()
    assert not dx.reshape(4, 13)[1:].any()


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_what_is_not_real_is_refused(device, dtype):
    x = tensor.ones((1, 4, 4, 2), dtype=dtype)
    for pool in (tensor.max_pool2d, tensor.avg_pool2d):
        with pytest.raises(
            tensor.errors.DTypeError, match=f"expected float32 or float64, got {dtype}; use astype"
        ):
            pool(x, (2, 2))
