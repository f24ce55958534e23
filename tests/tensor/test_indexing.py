"""x[key] and x[key] = value against NumPy: any key over any shape, on every device."""

from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tensor

GPU_KERNELS_TOO = True
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = ["float32", "int64", "int16", "bool"]
INDEX_DTYPES = ["int8", "uint8", "int32", "int64", "uint64"]


def numbers(shape: tuple[int, ...], dtype: str) -> numpy.ndarray[Any, Any]:
    """Numbers that tell elements apart as well as the dtype can."""
    values = numpy.arange(int(numpy.prod(shape))).reshape(shape)
    return numpy.asarray(values % (2 if dtype == "bool" else 100), dtype)


def laid_out(data: st.DataObject, x: numpy.ndarray[Any, Any]) -> tensor.Array:
    """x on the device, now and then as a view with gaps, with axes in another order, or backwards."""
    kind = data.draw(st.sampled_from(["dense", "gaps", "transposed", "backwards"]))
    if kind == "gaps":
        base = tensor.zeros(tuple(2 * n + 1 for n in x.shape), x.dtype)
        view = base[(slice(1, None, 2),) * x.ndim]
    elif kind == "transposed":
        view = tensor.permute_dims(tensor.zeros(x.shape[::-1], x.dtype), tuple(range(x.ndim))[::-1])
    elif kind == "backwards":
        view = tensor.zeros(x.shape, x.dtype)[(slice(None, None, -1),) * x.ndim]
    else:
        view = tensor.zeros(x.shape, x.dtype)
    view[...] = x
    return view


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """Up to four axes, sizes 0 and 1 among them."""
    return tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5]), max_size=4)))


@st.composite
def index_arrays(draw: st.DrawFn, size: int, common: tuple[int, ...]) -> numpy.ndarray[Any, Any]:
    """Indices of an axis, of a shape that broadcasts to the common one."""
    shape = tuple(1 if draw(st.booleans()) and n > 0 else n for n in common)
    shape = shape[draw(st.integers(0, len(shape))) :]
    dtype = draw(st.sampled_from(INDEX_DTYPES))
    low = 0 if dtype.startswith("u") else -size
    count = int(numpy.prod(shape))
    values = draw(st.lists(st.integers(low, size - 1), min_size=count, max_size=count))
    return numpy.array(values, dtype).reshape(shape)


@st.composite
def keys(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """A key of any mix that fits an array of this shape."""
    common = tuple(draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2)))
    if 0 not in shape and draw(st.booleans()):
        common = (*common[:1], 0) if draw(st.integers(0, 9)) == 0 else common
    parts: list[Any] = []
    axis = 0
    end = draw(st.integers(0, len(shape)))
    masks = 0
    while axis < end:
        size = shape[axis]
        kinds = ["slice", "slice", "none"] + (["int", "array", "array", "list"] if size else [])
        kind = draw(st.sampled_from([*kinds, *(["mask"] if not masks else [])]))
        if kind == "slice":
            bound = st.none() | st.integers(-size - 1, size + 1)
            parts.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -2]))))
        elif kind == "none":
            parts.append(None)
            continue
        elif kind == "int":
            parts.append(draw(st.integers(-size, size - 1)))
        elif kind == "mask":
            masks += 1
            covered = draw(st.integers(0, min(2, end - axis)))
            mask = shape[axis : axis + covered]
            bits = draw(
                st.lists(st.booleans(), min_size=int(numpy.prod(mask)), max_size=int(numpy.prod(mask)))
            )
            parts.append(numpy.array(bits, bool).reshape(mask))
            axis += covered
            continue
        else:
            found = draw(index_arrays(size, common))
            parts.append(found.tolist() if kind == "list" and found.ndim and found.size else found)
        axis += 1
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    return tuple(parts)


def on_device(data: st.DataObject, key: Any) -> Any:
    """The key with some of its NumPy arrays on the device."""
    return tuple(
        tensor.asarray(each) if isinstance(each, numpy.ndarray) and data.draw(st.booleans()) else each
        for each in key
    )


def expected(x: numpy.ndarray[Any, Any], key: Any) -> numpy.ndarray[Any, Any] | None:
    """What NumPy reads; None where it refuses the key, as index arrays or masks may not fit together."""
    try:
        return numpy.asarray(x[key])
    except IndexError:
        return None


@QUICK
@given(data=st.data())
def test_any_key_reads_what_numpy_reads(device: tensor.Device, data: st.DataObject) -> None:
    shape, dtype = data.draw(shapes()), data.draw(st.sampled_from(DTYPES))
    x, key = numbers(shape, dtype), data.draw(keys(shape))
    wanted = expected(x, key)
    ours, our_key = laid_out(data, x), on_device(data, key)
    if wanted is None:
        with pytest.raises(IndexError):
            ours[our_key]
        return
    found = ours[our_key]
    assert found.dtype == x.dtype
    numpy.testing.assert_array_equal(numpy.asarray(found), wanted, strict=True)


@QUICK
@given(data=st.data())
def test_any_key_writes_what_numpy_writes(device: tensor.Device, data: st.DataObject) -> None:
    shape, dtype = data.draw(shapes()), data.draw(st.sampled_from(DTYPES))
    x, key = numbers(shape, dtype), data.draw(keys(shape))
    place = expected(x, key)
    if place is None:
        return
    kept = place.shape[data.draw(st.integers(0, place.ndim)) :]
    repeated = tuple(1 if data.draw(st.booleans()) else n for n in kept)
    values = (numpy.arange(int(numpy.prod(repeated))).reshape(repeated) + 50).astype(dtype)
    ours, our_key = laid_out(data, x), on_device(data, key)
    ours[our_key] = tensor.asarray(values) if data.draw(st.booleans()) else values
    x[key] = values
    numpy.testing.assert_array_equal(numpy.asarray(ours), x, strict=True)


@QUICK
@given(data=st.data())
def test_any_key_adds_what_numpy_adds(device: tensor.Device, data: st.DataObject) -> None:
    shape, dtype = data.draw(shapes()), data.draw(st.sampled_from(["float32", "int64", "int16"]))
    x, key = numbers(shape, dtype), data.draw(keys(shape))
    place = expected(x, key)
    if place is None:
        return
    kept = place.shape[data.draw(st.integers(0, place.ndim)) :]
    values = numpy.arange(int(numpy.prod(kept))).reshape(kept).astype(dtype)
    ours = laid_out(data, x)
    tensor.index_add(ours, on_device(data, key), tensor.asarray(values))
    # Whole values: NumPy 2.4 reads past the end of those that it has to repeat.
    numpy.add.at(x, key, numpy.broadcast_to(values, place.shape).copy())
    numpy.testing.assert_array_equal(numpy.asarray(ours), x, strict=True)
