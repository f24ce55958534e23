"""Operators in place: what NumPy's do, in one launch wherever nothing forbids it."""

import operator
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensor
from tests.tensor.test_layouts import VIEWS

GPU_KERNELS_TOO = True

OPERATORS = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "&=": operator.iand,
    "|=": operator.ior,
    "^=": operator.ixor,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
}
LAUNCHES = {  # of an operation on x, whose shape is [40, 50], and y, which lies elsewhere
    "array": (1, lambda x, y: operator.iadd(x, y)),
    "number": (1, lambda x, y: operator.imul(x, 2)),
    "row": (1, lambda x, y: operator.isub(x, y[3])),
    "other dtype": (1, lambda x, y: operator.iadd(x, y.astype("int8"))),
    "itself": (1, lambda x, y: operator.imul(x, x)),
    "transposed": (1, lambda x, y: operator.iadd(x.T, y.T)),
    "part": (1, lambda x, y: x.__setitem__(slice(1, 9), operator.iadd(x[1:9], y[1:9]))),
    "index_add": (1, lambda x, y: tensor.index_add(x, slice(3), y[:3])),
    "rest of itself": (2, lambda x, y: operator.iadd(x[1:], x[:-1])),
    "one place": (2, lambda x, y: operator.iadd(tensor.broadcast_to(x, (3, 40, 50)), 1)),
}


def launches(device: tensor.Device, function: Any, *arguments: Any) -> int:
    function(*arguments)  # numbers are on their way once
    with tensor.profile(device) as profile:
        function(*arguments)
    return sum(row.calls for row in profile.table())


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator(device: tensor.Device, name: str) -> None:
    apply, dtype = OPERATORS[name], "float32" if name == "/=" else "int64"
    values = numpy.arange(1, 13).reshape(3, 4).astype(dtype)
    array = same = tensor.asarray(values, device=device)
    other = values[::-1] % 3 + 1
    for y in (other, other[0, :1], 2):
        values = apply(values, y)
        array = apply(array, y if isinstance(y, int) else tensor.asarray(y, device=device))
        assert array is same
        numpy.testing.assert_allclose(array.numpy(), values, rtol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_views(device: tensor.Device, name: str) -> None:
    """Of x by another array, by a number and by itself; what lies between its elements stays."""
    values = (numpy.arange(3 * 37 * 70) * 7 % 1009).astype(numpy.float32).reshape(3, 37, 70)
    array = tensor.asarray(values, device=device)
    x, y = VIEWS[name](values), VIEWS[name](array)
    dense = numpy.ascontiguousarray(x[::-1])
    for theirs, ours in ((dense, tensor.asarray(dense, device=device)), (2, 2), (x, y)):
        x *= theirs
        y *= ours
        assert numpy.array_equal(array.numpy(), values)


part = st.slices(12)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    of_x=st.tuples(part, part), of_y=st.tuples(part, part), turned=st.booleans(), name=st.sampled_from("+-*")
)
def _overlapping(
    device: tensor.Device, of_x: tuple[slice, slice], of_y: tuple[slice, slice], turned: bool, name: str
) -> None:
    values = numpy.arange(144, dtype=numpy.int32).reshape(12, 12)
    array = tensor.asarray(values, device=device)

    def work(base: Any) -> None:
        x, y = base[of_x], (base.T if turned else base)[of_y]
        rows, columns = (min(a, b) for a, b in zip(x.shape, y.shape, strict=True))
        x, y = x[:rows, :columns], y[:rows, :columns]
        OPERATORS[f"{name}="](x, y)

    work(values)
    work(array)
    assert numpy.array_equal(array.numpy(), values)


def test_overlapping_views(device: tensor.Device) -> None:
    _overlapping(device)


@pytest.mark.parametrize("name", ["x += y", "x[...] = y", "x[...] = NumPy's"])
@pytest.mark.parametrize("whose", ["NumPy's", "ours"])
def test_arrays_over_the_same_memory(device: tensor.Device, name: str, whose: str) -> None:
    """They have storages of their own, which do not tell that they overlap."""
    ours = tensor.asarray(numpy.arange(100_001, dtype=numpy.float32), device=device)
    if not tensor.host_memory.is_reachable(ours):
        pytest.skip("this device has memory of its own")
    values = numpy.from_dlpack(ours) if whose == "ours" else ours.numpy()
    x, y = (tensor.from_dlpack(each, device=device) for each in (values[1:], values[:-1]))
    x = ours[1:] if whose == "ours" else x
    expected = values[1:] * (name == "x += y") + values[:-1]
    if name == "x += y":
        x += y
    else:
        x[...] = y if name == "x[...] = y" else values[:-1]
    assert numpy.array_equal(x.numpy(), expected)


@pytest.mark.parametrize("case", LAUNCHES)
def test_launches(device: tensor.Device, case: str) -> None:
    if device.backend == "numpy":
        pytest.skip("NumPy launches nothing")
    wanted, work = LAUNCHES[case]
    x, y = tensor.ones((40, 50), device=device), tensor.ones((40, 50), device=device)
    conversion = int(case == "other dtype")
    assert launches(device, work, x, y) == wanted + conversion


def test_elements_that_lie_in_one_place(device: tensor.Device) -> None:
    x = tensor.asarray([1.0, 2.0], device=device)
    many = tensor.broadcast_to(x, (1000, 2))
    many += 1
    assert x.tolist() == [2, 3]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "bool", "complex64"])
def test_dtypes_with_ways_of_their_own(device: tensor.Device, dtype: str) -> None:
    x = tensor.asarray([0, 1, 1], device=device).astype(dtype)
    y = tensor.asarray([1, 1, 0], device=device).astype(dtype)
    if dtype == "bool":
        x ^= y
        assert x.tolist() == [True, False, True]
    else:
        x += y
        x *= 2
        assert x.tolist() == [2, 4, 2]
    assert x.dtype.name == dtype


def test_refusals_leave_all_as_it_was(device: tensor.Device) -> None:
    x, row = tensor.asarray([[1], [2]], device=device), tensor.asarray([1, 2], device=device)
    flags = x > 1
    with pytest.raises(tensor.errors.DTypeError, match="gave float32 for an array of int64"):
        x /= 2
    with pytest.raises(tensor.errors.DTypeError, match="gave float64 for an array of int64"):
        x += row.astype("float64")
    with pytest.raises(tensor.errors.ShapeError, match=r"shape \(2, 2\) cannot be broadcast to \(2, 1\)"):
        x += row
    with pytest.raises(tensor.errors.DTypeError, match="expected numbers, got bool"):
        flags += flags
    with pytest.raises(tensor.errors.DTypeError, match="expected an Array or a number, got list"):
        x += [1]
    assert x.tolist() == [[1], [2]]


def test_arrays_of_two_devices(opencl: tensor.Device) -> None:
    x = tensor.ones(3)
    with pytest.raises(tensor.errors.DeviceError, match="add: arrays on different devices"):
        x += tensor.ones(3, device="numpy")


def test_replays(device: tensor.Device) -> None:
    x, y = tensor.asarray([1, 2, 3, 4], device=device), tensor.ones(4, dtype="int64", device=device)

    def step() -> tensor.Array:
        own = x + 0
        own *= y
        own[1:] += own[:-1]
        x[:2] -= 1
        return own

    recording = tensor.record(step, device=device)
    y[...] = 2
    assert recording.replay().tolist() == [0, 2, 8, 14]
    assert x.tolist() == [-1, 0, 3, 4]


def test_who_tapes_sees_a_new_array_assigned(device: tensor.Device) -> None:
    x = tensor.ones(3, device=device)
    with tensor.recording_calls() as tape:
        x += x
    assert [each.primitive.name for each in tape] == ["add", "index", "assign"]
    assert x.tolist() == [2, 2, 2]
