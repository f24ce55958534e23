"""Elementwise operations, copies and reductions over every way in which elements can lie."""

import numpy
import pytest

import tensor

GPU_KERNELS_TOO = True

# What a view does to a base of shape (3, 37, 70); each gives an inner loop of another kind.
VIEWS = {
    "dense": lambda x: x,
    "begins at an odd place": lambda x: x.reshape(-1)[1:7001].reshape(70, 100),
    "every second": lambda x: x[:, :, ::2],
    "backwards": lambda x: x[:, :, ::-1],
    "rows apart": lambda x: x[:, ::3, 5:69],
    "rows apart, whole vectors": lambda x: x[:, :, :64],
    "one column": lambda x: x[:, :, 3:4],
    "transposed": lambda x: x[0].T,
    "all axes turned": lambda x: (
        x.transpose(2, 1, 0) if isinstance(x, numpy.ndarray) else tensor.permute_dims(x, (2, 1, 0))
    ),
    "two axes turned": lambda x: (
        x.transpose(0, 2, 1) if isinstance(x, numpy.ndarray) else tensor.permute_dims(x, (0, 2, 1))
    ),
    "first axis last": lambda x: (
        x.transpose(1, 2, 0) if isinstance(x, numpy.ndarray) else tensor.permute_dims(x, (1, 2, 0))
    ),
    "tile and rest": lambda x: x[1, :33, :65].T,
    "one element": lambda x: x[:1, :1, :1],
    "nothing": lambda x: x[:, :0],
}


def both(device: tensor.Device, dtype: str = "float32") -> tuple[numpy.ndarray, tensor.Array]:
    values = (numpy.arange(3 * 37 * 70) * 7 % 1009).astype(dtype).reshape(3, 37, 70)
    return values, tensor.asarray(values, device=device)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
@pytest.mark.parametrize("name", VIEWS)
def test_views(device: tensor.Device, name: str, dtype: str) -> None:
    """A copy, an operation of two arrays and one with a number, a comparison, and writing into the view."""
    values, array = both(device, dtype)
    x, y = VIEWS[name](values), VIEWS[name](array)
    assert numpy.array_equal(y.copy().numpy(), x)
    dense = tensor.asarray(numpy.ascontiguousarray(x), device=device)
    assert numpy.array_equal((y + dense).numpy(), x + x)
    assert numpy.array_equal((dense < y + 1).numpy(), x < x + numpy.asarray(1, dtype))
    y[...] = dense + 1
    assert numpy.array_equal(y.numpy(), x + numpy.asarray(1, dtype))
    assert numpy.count_nonzero(array.numpy() != values) <= x.size


@pytest.mark.parametrize("other", [(70,), (37, 1), (3, 1, 1), (3, 1, 70), (1, 37, 70), (1,)])
def test_broadcast(device: tensor.Device, other: tuple[int, ...]) -> None:
    values, array = both(device)
    extra = numpy.arange(numpy.prod(other), dtype=numpy.float32).reshape(other)
    assert numpy.array_equal((array + tensor.asarray(extra, device=device)).numpy(), values + extra)
    turned, condition = values.transpose(0, 2, 1), values > 500
    chosen = tensor.where(array > 500, array, tensor.asarray(extra, device=device))
    assert numpy.array_equal(chosen.numpy(), numpy.where(condition, values, extra))
    summed = tensor.permute_dims(array, (0, 2, 1)) + tensor.ones((70, 1), device=device)
    assert numpy.array_equal(summed.numpy(), turned + 1)


@pytest.mark.parametrize("name", [each for each in VIEWS if each != "nothing"])
def test_reductions_of_views(device: tensor.Device, name: str) -> None:
    values, array = both(device)
    x, y = VIEWS[name](values), VIEWS[name](array)
    for axis in (None, *range(x.ndim)):
        assert numpy.array_equal(tensor.max(y, axis=axis).numpy(), x.max(axis))
        assert numpy.allclose(tensor.sum(y, axis=axis).numpy(), x.sum(axis), rtol=1e-6)
        assert numpy.array_equal(tensor.argmax(y, axis=axis).numpy(), x.argmax(axis))
        assert numpy.array_equal(tensor.argmin(y, axis=axis).numpy(), x.argmin(axis))


@pytest.mark.parametrize("shape", [(200_003,), (3, 70_001), (70_001, 3), (4096, 33), (7, 5, 3001)])
def test_large_reductions(device: tensor.Device, shape: tuple[int, ...]) -> None:
    """Long enough to be cut into chunks; NaN wins, and of equal elements the first one."""
    random = numpy.random.default_rng(3)
    x = random.integers(0, 2000, shape).astype(numpy.float32)
    y = tensor.asarray(x, device=device)
    broken = x.copy()
    broken.reshape(-1)[x.size // 3 :: x.size // 2] = numpy.nan
    z = tensor.asarray(broken, device=device)
    tolerance = 1e-4 if device.kind == "host" else 1e-6  # NumPy adds along the first axis one by one
    for axis in (None, *range(len(shape))):
        assert numpy.allclose(tensor.sum(y, axis=axis).numpy(), x.sum(axis, dtype=float), rtol=tolerance)
        assert numpy.array_equal(tensor.max(z, axis=axis).numpy(), broken.max(axis), equal_nan=True)
        for ours, theirs in ((tensor.argmax, numpy.argmax), (tensor.argmin, numpy.argmin)):
            assert numpy.array_equal(ours(y, axis=axis).numpy(), theirs(x, axis))
            assert numpy.array_equal(ours(z, axis=axis).numpy(), theirs(broken, axis))


@pytest.mark.parametrize("name", [each for each in VIEWS if each != "nothing"])
def test_variance_of_views(device: tensor.Device, name: str) -> None:
    values, array = both(device)
    x, y = VIEWS[name](values).astype(float), VIEWS[name](array)
    for axis in (None, *range(x.ndim)):
        expected = x.var(axis)
        assert numpy.allclose(tensor.var(y, axis=axis).numpy(), expected, rtol=1e-5)
        with tensor.recording_calls():
            composed = tensor.var(y, axis=axis, correction=-1, keepdims=True)
        whole = tensor.var(y, axis=axis, correction=-1, keepdims=True)
        assert whole.shape == composed.shape
        assert numpy.allclose(whole.numpy(), composed.numpy(), rtol=1e-5)
    if x.size == 1:
        assert numpy.isnan(tensor.var(y, correction=1).numpy())


def test_64_bit_strides(device: tensor.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms for more than 2³¹ elements, on small arrays of shapes that occur nowhere else."""
    for module in (tensor.layout, tensor.reduce_launch):
        monkeypatch.setattr(module, "is_wide", lambda *_: True)
    tensor.layout.elementwise_plan.cache_clear()
    x = numpy.arange(3 * 41 * 43, dtype=numpy.float32).reshape(3, 41, 43)
    y = tensor.asarray(x, device=device)
    turned = tensor.permute_dims(y, (0, 2, 1))
    assert numpy.array_equal(turned.copy().numpy(), x.transpose(0, 2, 1))
    assert numpy.array_equal((y[:, ::2] + y[:, :1]).numpy(), x[:, ::2] + x[:, :1])
    for axis in (None, 0, 1, 2, (0, 2)):
        assert numpy.allclose(
            tensor.sum(turned, axis=axis).numpy(), x.transpose(0, 2, 1).sum(axis), rtol=1e-6
        )
    assert numpy.array_equal(tensor.argmax(turned, axis=1).numpy(), x.argmax(2))
    tensor.layout.elementwise_plan.cache_clear()


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (3001, 2803)), ("uint8", (5801, 5803))])
def test_results_that_no_cache_holds(device: tensor.Device, dtype: str, shape: tuple[int, int]) -> None:
    """From 32 MiB on they are stored past the caches, in whole lines from where one begins."""
    values = (numpy.arange(shape[0] * shape[1]) % 251).astype(dtype).reshape(shape)
    array, one = tensor.asarray(values, device=device), numpy.asarray(1, dtype)
    assert numpy.array_equal((array + 1).numpy(), values + one)
    assert numpy.array_equal((array + array[0]).numpy(), values + values[0])
    turned = array.reshape(shape[::-1]).T
    assert numpy.array_equal(turned.copy().numpy(), values.reshape(shape[::-1]).T)
    assert numpy.array_equal((array + turned).numpy(), values + values.reshape(shape[::-1]).T)
    line, expected = tensor.zeros(values.size + 9, dtype=dtype, device=device), values.reshape(-1)
    line[8:-1] = array.reshape(-1)
    line[9:] = line[8:-1]  # from a place where no line of memory begins
    assert numpy.array_equal(line[9:].numpy(), expected)
    assert line[:9].tolist() == [0] * 8 + [int(expected[0])]
    array += line[9 : 9 + shape[1]]
    assert numpy.array_equal(array.numpy(), values + values[0])
