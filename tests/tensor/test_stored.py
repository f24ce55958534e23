"""float16 and bfloat16: stored in 16 bits, computed with in float32, and rounded once, to what NumPy and
ml_dtypes say."""

import numpy
import pytest

import tensor
from tensor.errors import DTypeError, ExchangeError
from tests.devices import with_gpu_kernels

NAMES = ["float16", "bfloat16"]
EVERY_ONE = numpy.arange(2**16, dtype=numpy.uint16)


def same(found, expected):
    """Whether two arrays have the same bits, all NaNs being one."""
    found, expected = numpy.asarray(found), numpy.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    unsigned = numpy.dtype(f"u{found.dtype.itemsize}")
    with numpy.errstate(invalid="ignore"):  # of NaNs that signal
        both_nan = numpy.isnan(found) & numpy.isnan(expected)
    return bool(((found.view(unsigned) == expected.view(unsigned)) | both_nan).all())


def rounded(values, name):
    with numpy.errstate(all="ignore"):
        return numpy.asarray(values, numpy.float32).astype(name)


@pytest.fixture
def draw(generator):
    """Random values of a 16-bit dtype in a shape."""
    return lambda shape, name: rounded(generator.normal(size=shape), name)


def test_every_value_is_read(device):
    for name in NAMES:
        values = EVERY_ONE.view(name)
        x = tensor.asarray(values)
        assert x.dtype.name == name
        assert numpy.asarray(x).tobytes() == values.tobytes()
        assert same(x.astype(tensor.float32), values.astype(numpy.float32))


def test_rounding_is_to_nearest_and_to_even_between_two(device, generator):
    for name in NAMES:
        finite = EVERY_ONE.view(name).astype(numpy.float32)
        finite = numpy.sort(finite[numpy.isfinite(finite)])
        between = ((finite[1:].astype(numpy.float64) + finite[:-1]) / 2).astype(numpy.float32)
        beside = [numpy.nextafter(between, numpy.float32(end)) for end in (-numpy.inf, numpy.inf)]
        anything = generator.integers(0, 2**32, 100_000, dtype=numpy.uint32).view(numpy.float32)
        ends = numpy.array([65519.9, 65520, 65536, 3.4e38, numpy.inf, numpy.nan, 1e-45, -0.0], numpy.float32)
        values = numpy.concatenate([finite, between, *beside, anything, ends, -ends])
        assert same(tensor.asarray(values).astype(name), rounded(values, name))


@pytest.mark.parametrize("device", with_gpu_kernels(), ids=lambda each: each.spec, indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_operations_compute_in_float32_and_round_once(device, name, draw):
    a, b = draw((40, 50), name), draw((40, 1), name)
    x, y = tensor.asarray(a), tensor.asarray(b)
    wide_a, wide_b = a.astype(numpy.float32), b.astype(numpy.float32)
    for found, expected in (
        (x + y, wide_a + wide_b),
        (x.T / y.T, wide_a.T / wide_b.T),
        (x[::2, ::-3] * y[::2], wide_a[::2, ::-3] * wide_b[::2]),
        (tensor.where(x > y, x, 0.0), numpy.where(wide_a > wide_b, wide_a, 0)),
        (tensor.max(x, axis=0), wide_a.max(axis=0)),
        (tensor.concat([x, y], axis=1), numpy.concatenate([wide_a, wide_b], axis=1)),
        (tensor.take(x, tensor.asarray([3, 0, 3]), axis=1), wide_a[:, [3, 0, 3]]),
    ):
        assert same(found, rounded(expected, name))
    assert numpy.asarray(x == x.copy()).all()
    assert (x > y).dtype == tensor.bool
    assert tensor.argmax(x).item() == int(wide_a.argmax())


@pytest.mark.parametrize("name", NAMES)
def test_sums_and_products_add_up_in_float32(device, name, draw):
    """4,096 ones are 256 in bfloat16 and 2,048 in float16, if each sum is rounded."""
    ones = tensor.ones((2, 4096), dtype=name)
    assert float(tensor.sum(ones[0])) == float(ones[0] @ ones[1]) == 4096
    assert tensor.sum(ones).dtype == tensor.mean(ones).dtype == (ones @ ones.T).dtype == ones.dtype
    image, kernels = draw((2, 6, 6, 16), name), draw((4, 3, 3, 16), name)
    wide = [tensor.asarray(each.astype(numpy.float32)) for each in (image, kernels)]
    found, expected = tensor.conv2d(tensor.asarray(image), tensor.asarray(kernels)), tensor.conv2d(*wide)
    assert same(found, rounded(numpy.asarray(expected), name))
    with tensor.float32_results():
        assert same(tensor.conv2d(tensor.asarray(image), tensor.asarray(kernels)), expected)
        assert tensor.sum(ones).dtype == tensor.float32
    pooled = tensor.max_pool2d(tensor.asarray(image), (2, 2))
    assert same(
        pooled, rounded(image.astype(numpy.float32).reshape(2, 3, 2, 3, 2, 16).max(axis=(2, 4)), name)
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_they_become_with_others(device, name):
    x = tensor.ones(3, dtype=name)
    other = "bfloat16" if name == "float16" else "float16"
    for dtype, expected in [
        ("int64", name),
        ("bool", name),
        ("float32", "float32"),
        ("float64", "float64"),
        ("complex64", "complex64"),
        (other, "float32"),
    ]:
        y = tensor.ones(3, dtype=dtype)
        assert tensor.result_type(x, y).name == expected
    assert tensor.where(x > 0, x, tensor.ones(3, dtype=other)).dtype == tensor.float32
    assert (x * 0.5).dtype == tensor.exp(x).dtype == x.dtype
    assert tensor.isdtype(x.dtype, "real floating")
    assert tensor.finfo(x.dtype).bits == 16
    assert numpy.asarray(tensor.asarray([2.75, -3.5, 1e9]).astype(name).astype("int8")).tolist() == [
        2,
        -3,
        127,
    ]


@pytest.mark.parametrize("name", NAMES)
def test_writing_in_place(device, name):
    x = tensor.zeros((4, 3), dtype=name)
    x[1] = 1.5
    x[tensor.asarray([0, 3])] = tensor.asarray([1.0, 2.0, 3.0])
    x[tensor.asarray([False, False, True, False])] = -1
    x += 1
    tensor.index_add(x, tensor.asarray([0, 0]), tensor.ones((2, 3), dtype=name))
    assert x.dtype.name == name
    assert x.tolist() == [[4, 5, 6], [2.5, 2.5, 2.5], [0, 0, 0], [2, 3, 4]]


def some_key(generator, shape):
    """Slices, integers, new axes, and a mask or index arrays: any key that NumPy takes for this shape."""
    key, axis = [], 0
    has_mask, has_arrays = generator.choice([(False, False), (True, False), (False, True)])
    common = tuple(generator.integers(0, 4, generator.integers(0, 3)))
    while axis < len(shape):
        size, chance = shape[axis], generator.random()
        if chance < 0.15:
            key.append(None)
            continue
        if has_arrays and chance < 0.5 and size:
            key.append(generator.integers(-size, size, common))
        elif has_mask and chance < 0.5:
            key.append(generator.random(shape[axis:]) < 0.5)
            break
        elif chance < 0.6 and size:
            key.append(int(generator.integers(-size, size)))
        else:
            begin, end = (int(each) for each in generator.integers(-size - 1, size + 2, 2))
            key.append(slice(begin, end, int(generator.choice([-3, -1, 1, 2]))))
        axis += 1
    return tuple(key)


@pytest.mark.parametrize("name", NAMES)
def test_moving_values_keeps_their_bits(device, generator, name, tmp_path):
    """Random bits, shapes and strides through indexing, concatenation, where and files."""

    def some(*shape):
        return generator.integers(0, 2**16, shape, dtype=numpy.uint16).view(name)

    for _ in range(60):
        shape = tuple(generator.integers(0, 5, generator.integers(1, 4)).tolist())
        key, axis, values = some_key(generator, shape), int(generator.integers(len(shape))), some(*shape)
        ours = tuple(tensor.asarray(each) if isinstance(each, numpy.ndarray) else each for each in key)
        order = generator.permutation(len(shape)).tolist()
        turned = tensor.asarray(numpy.ascontiguousarray(values.transpose(order)))
        x = tensor.permute_dims(turned, tuple(numpy.argsort(order).tolist()))
        picked = values[key]
        assert same(x[ours], picked), (shape, key)
        one, written = some(*shape), x.copy()
        written[...] = tensor.asarray(one)
        assert same(written, one)
        written[ours] = tensor.asarray(picked)  # where an index comes twice, with the same value
        one[key] = picked
        assert same(written, one), (shape, key)
        assert same(
            tensor.concat([x, written, x[:0] if axis == 0 else x], axis=axis),
            numpy.concatenate([values, one, values[:0] if axis == 0 else values], axis=axis),
        )
        assert same(tensor.stack([x, written], axis=axis), numpy.stack([values, one], axis=axis))
        chosen, row = generator.random(shape) < 0.5, some(*(1 if each % 2 else each for each in shape))
        assert same(
            tensor.where(tensor.asarray(chosen), x, tensor.asarray(row)), numpy.where(chosen, values, row)
        )
        if name == "float16":
            tensor.save(tmp_path / "ours.npy", x)
            assert same(numpy.load(tmp_path / "ours.npy"), values)
            numpy.save(
                tmp_path / "theirs.npy", numpy.asfortranarray(values).astype(generator.choice([">f2", "<f2"]))
            )
            assert same(tensor.load(tmp_path / "theirs.npy"), values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", ["float16", "bfloat16", "float32", "float64"])
def test_joined_with_others_they_become_what_holds_both(device, generator, name, other):
    a, b = (rounded(generator.normal(size=(4, 5)) * 1000, "float32").astype(each) for each in (name, other))
    wide = name if name == other else other if other.startswith("float") and other != "float16" else "float32"
    chosen = generator.random((4, 5)) < 0.5
    x, y, condition = (tensor.asarray(each) for each in (a, b, chosen))
    assert same(tensor.concat([x, y[:2]]), numpy.concatenate([a.astype(wide), b[:2].astype(wide)]))
    assert same(tensor.where(condition, x, y), numpy.where(chosen, a.astype(wide), b.astype(wide)))
    x[1:] = y[:3]
    a[1:] = b[:3].astype(name)
    assert same(x, a)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_computes_anew(device, name):
    x = tensor.asarray([1.0, 2.0]).astype(name)
    recording = tensor.record(lambda: tensor.sum(x * x) + x, device=device)
    x[...] = 3.0
    assert recording.replay().tolist() == [21, 21]


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("name", NAMES)
def test_they_lie_in_the_devices_memory_in_two_bytes_each(device, name):
    before = tensor.memory(device)
    x = tensor.zeros(1_000_000, dtype=name, device=device)
    after = tensor.memory(device)
    assert 2_000_000 <= after.in_use_bytes - before.in_use_bytes < 2_200_000
    assert after.on_host_bytes == before.on_host_bytes
    assert x.on_host == (device.backend == "numpy")


def test_bfloat16_has_no_place_in_some_formats(device, tmp_path):
    x = tensor.ones(3, dtype="bfloat16")
    with pytest.raises(DTypeError, match=r"save x.astype\(float32\)"):
        tensor.save(tmp_path / "x.npy", x)
    with pytest.raises(ExchangeError, match=r"no bfloat16 over; use x.astype\(float32\)"):
        x.__dlpack__()
    with pytest.raises(DTypeError, match="bfloat16"):
        tensor.linalg.inv(tensor.ones((2, 2), dtype="bfloat16"))
    assert tensor.asarray(tensor.ones(3, dtype="bfloat16"), device="numpy").tolist() == [1, 1, 1]


def test_sums_round_after_adding_and_truncate_before(device):
    """To 16 bits from float32 the total is rounded and not each element; to integers elements saturate."""
    near_one = numpy.full(600, 1.0035, numpy.float32)  # each is nearest to 1 in bfloat16
    large = rounded([1e30, 0.75], "bfloat16")
    total = tensor.sum(tensor.asarray(near_one), dtype="bfloat16")
    assert same(total, rounded(near_one.sum(), "bfloat16"))
    found = tensor.sum(tensor.asarray(large), dtype="int32")
    assert found.item() == numpy.iinfo(numpy.int32).max
