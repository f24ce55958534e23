"""Batch normalisation in both directions against PyTorch in double precision, every backend."""

from typing import Any

import numpy
import pytest

import tensor
from tensor.array import Shape
from tensor.device import Device
from tensor.errors import DTypeError, ShapeError

torch = pytest.importorskip("torch")

GPU_KERNELS_TOO = True
SHAPES = [(1, 1), (5, 3), (3, 5, 4), (4, 9, 7, 20), (2, 30, 31, 64), (5000, 3), (2100, 136)]


def inputs(shape: Shape) -> tuple[Any, ...]:
    generator = numpy.random.default_rng(sum(shape))
    x = generator.normal(3, 2, shape).astype(numpy.float32)
    weight, bias = generator.normal(size=(2, shape[-1])).astype(numpy.float32)
    return x, weight, bias, generator.standard_normal(shape, dtype=numpy.float32)


def truth(x: Any, weight: Any, bias: Any, dy: Any) -> list[Any]:
    """y, dx, dweight and dbias in double precision."""
    sources = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (x, weight, bias)]
    rows = sources[0].reshape(-1, x.shape[-1])
    distance = rows - rows.mean(0)
    y = distance / torch.sqrt((distance**2).mean(0) + 1e-5) * sources[1] + sources[2]
    y = y.reshape(x.shape)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    return [y.detach().numpy(), *(each.grad.numpy() for each in sources)]


def agree(ours: tensor.Array, expected: Any, tolerance: float = 2e-5) -> None:
    assert ours.shape == expected.shape
    scale = max(float(numpy.abs(expected).max()), 1.0)
    assert float(numpy.abs(ours.numpy() - expected).max()) < tolerance * scale


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_directions(device: Device, shape: Shape) -> None:
    values = inputs(shape)
    y, dx, dweight, dbias = truth(*values)
    x, weight, bias, dy = (tensor.asarray(each) for each in values)
    statistics = tensor.batch_statistics(x)
    rows = values[0].reshape(-1, shape[-1]).astype(numpy.float64)
    agree(statistics[0], rows.mean(0), 1e-5)
    agree(statistics[1], rows.var(0), 1e-5)
    agree(statistics[2], rows.var(0) * len(rows) / max(len(rows) - 1, 1), 1e-5)
    agree(tensor.batch_norm(x, statistics, weight, bias), y)
    sums = tensor.batch_norm_gradients(dy, x, statistics, weight, bias, eps=1e-5)
    ours = tensor.batch_norm_backward(dy, x, statistics, weight, bias, sums, eps=1e-5)
    for mine, expected in zip((ours, sums[0], sums[1]), (dx, dweight, dbias), strict=True):
        agree(mine, expected, 1e-3 if len(rows) < 3 else 5e-5)


def test_views_and_offsets(device: Device) -> None:
    """Weights and images may lie anywhere, also where vectors are not aligned."""
    x, weight, bias, dy = inputs((40, 8))
    y, dx, *_ = truth(x, weight, bias, dy)
    both = tensor.asarray(numpy.concatenate([[0.0], weight, bias]).astype(numpy.float32))
    ours = tensor.asarray(numpy.concatenate([[9.0], x.ravel()]).astype(numpy.float32))[1:].reshape(x.shape)
    turned = tensor.asarray(dy.T.copy()).T
    statistics = tensor.batch_statistics(ours)
    agree(tensor.batch_norm(ours, statistics, both[1:9], both[9:]), y)
    numbers = (turned, ours, statistics, both[1:9], both[9:])
    sums = tensor.batch_norm_gradients(*numbers, eps=1e-5)
    found = tensor.batch_norm_backward(*numbers, sums, eps=1e-5)
    agree(found, dx)


def test_a_large_mean_costs_no_digits(device: Device) -> None:
    x = (numpy.random.default_rng(0).normal(size=(4096, 16)) + 1000).astype(numpy.float32)
    statistics = tensor.batch_statistics(tensor.asarray(x)).numpy()
    numpy.testing.assert_allclose(statistics[1], x.astype(numpy.float64).var(0), rtol=1e-4)


def test_nan_stays(device: Device) -> None:
    x = numpy.array([[1, 2], [3, numpy.nan]], numpy.float32)
    ours, ones = tensor.asarray(x), tensor.ones(2, dtype=tensor.float32)
    y = tensor.batch_norm(ours, tensor.batch_statistics(ours), ones, ones).numpy()
    assert numpy.isnan(y[:, 1]).all()
    assert not numpy.isnan(y[:, 0]).any()


@pytest.mark.parametrize("row", [0, 1, 5, 99])
def test_an_infinity_is_the_mean(device: Device, row: int) -> None:
    """Also where it stands in the first row, from which distances are taken."""
    x = numpy.random.default_rng(0).normal(size=(100, 8)).astype(numpy.float32)
    x[row, 3], x[row, 5], x[row, 6] = numpy.inf, -numpy.inf, numpy.nan
    with numpy.errstate(invalid="ignore"):
        mean, variance = x.astype(numpy.float64).mean(0), x.astype(numpy.float64).var(0)
    statistics = tensor.batch_statistics(tensor.asarray(x)).numpy()
    for ours, expected in ((statistics[0], mean), (statistics[1], variance)):
        numpy.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit(device: Device) -> None:
    x, one = tensor.ones((4, 3), dtype=tensor.float32), tensor.ones(3, dtype=tensor.float32)
    statistics = tensor.batch_statistics(x)
    with pytest.raises(ShapeError, match=r"expected x \[N, …, C\].* got \(4, 3\), \(3, 3\), \(3,\), \(2,\)"):
        tensor.batch_norm(x, statistics, one, one[:2])
    with pytest.raises(ShapeError, match="not empty"):
        tensor.batch_statistics(x[:0])
    with pytest.raises(ShapeError, match=r"expected dy of shape \(4, 3\)"):
        tensor.batch_norm_gradients(x[:2], x, statistics, one, one, eps=1e-5)
    with pytest.raises(DTypeError, match="expected float32 or float64, got int32"):
        tensor.batch_statistics(tensor.ones((4, 3), dtype=tensor.int32))
