"""Fused functions against the same ones unfused, bit for bit, and against NumPy."""

import operator
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensor

GPU_KERNELS_TOO = True
BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "maximum": tensor.maximum,
    "less": operator.lt,
    "where": lambda a, b: tensor.where(a < b, a, b),
}
UNARY = {
    "tanh": tensor.tanh,
    "negative": operator.neg,
    "square": tensor.square,
    "float": lambda x: x.astype("float32"),
}
OTHER = {
    "sum": lambda x: tensor.sum(x, axis=-1, keepdims=True),
    "turned": lambda x: tensor.permute_dims(tensor.permute_dims(x, (1, 0)), (1, 0)) + 1,
    "number": lambda x: 2.5 - x,
    "write": None,
}

# One step: what to do, to which of the arrays that there are.
step = st.tuples(st.sampled_from([*BINARY, *UNARY, *OTHER]), st.integers(0, 99), st.integers(0, 99))


def run(steps: list[tuple[str, int, int]], *arrays: Any) -> tuple[Any, ...]:
    """All arrays after the steps; "write" changes one of the arguments in place."""
    there = list(arrays)
    for name, i, j in steps:
        x, y = there[i % len(there)], there[j % len(there)]
        if name == "write":
            target = arrays[i % len(arrays)]
            part = y[: target.shape[0], : target.shape[1]]
            target[...] = part.astype(target.dtype)
        elif name in BINARY:
            x, y = (each.astype("int32") if each.dtype == tensor.bool else each for each in (x, y))
            there.append(BINARY[name](x, y))
        else:
            x = x.astype("int32") if x.dtype == tensor.bool else x
            there.append((UNARY[name] if name in UNARY else OTHER[name])(x))
    return tuple(there)


@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(steps=st.lists(step, min_size=1, max_size=10))
def _any_steps(device: tensor.Device, steps: list[tuple[str, int, int]]) -> None:
    values = numpy.linspace(-3, 3, 77, dtype=numpy.float32).reshape(7, 11)
    bases = (values, values[:, :1].copy(), (values[:1] * 5).astype(numpy.int32), values[::-1].copy())
    for _ in range(2):  # the second time from what the first one has left prepared
        expected = run(steps, *[tensor.asarray(each, device=device) for each in bases])
        fused = tensor.fuse(lambda *arrays: run(steps, *arrays))
        for _ in range(2):
            results = fused(*[tensor.asarray(each, device=device) for each in bases])
            for ours, theirs in zip(results, expected, strict=True):
                assert ours.dtype == theirs.dtype
                assert numpy.array_equal(ours.numpy(), theirs.numpy(), equal_nan=True)


def test_any_steps(opencl: tensor.Device) -> None:
    _any_steps(opencl)


def gelu(x: Any, tanh: Any = tensor.tanh) -> Any:
    return 0.5 * x * (1 + tanh(0.7978846 * (x + 0.044715 * x * x * x)))


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1000,), (33, 65)])
def test_against_numpy(device: tensor.Device, shape: tuple[int, ...]) -> None:
    x = numpy.random.default_rng(1).standard_normal(shape, dtype=numpy.float32)
    fused = tensor.fuse(gelu)
    for _ in range(2):
        assert numpy.allclose(fused(tensor.asarray(x, device=device)).numpy(), gelu(x, numpy.tanh), rtol=1e-5)
    turned = (
        tensor.asarray(x, device=device)[..., None].T if x.ndim == 1 else tensor.asarray(x, device=device)
    )
    assert fused(turned).shape == turned.shape


def launches(device: tensor.Device, function: Any, *arguments: Any) -> int:
    return len(tensor.record(function, *arguments, device=device))


def test_one_launch_and_the_numbers_of_this_call(opencl: tensor.Device) -> None:
    x = tensor.arange(100, dtype="float32")
    fused = tensor.fuse(lambda x, rate: (x - rate * x * x) / (x + 1.0))
    assert launches(opencl, fused, x, 0.5) == 1
    assert launches(opencl, fused, x, 0.5) == 1  # the program that the first call has left
    values = numpy.arange(100, dtype=numpy.float32)
    for rate in (0.5, 0.25, 0.5, 2):
        expected = (values - numpy.float32(rate) * values * values) / (values + 1)
        assert numpy.allclose(fused(x, rate).numpy(), expected, rtol=1e-6)


def test_results_of_several_kinds(opencl: tensor.Device) -> None:
    x = tensor.arange(5, dtype="float32")
    fused = tensor.fuse(lambda x: {"twice": x + x, "both": [x * x, x]})
    for _ in range(2):
        result = fused(x)
        assert type(result["twice"]) is tensor.Array
        assert numpy.array_equal(result["both"][0].numpy(), [0, 1, 4, 9, 16])
        assert result["both"][1] is x


def test_more_inputs_and_operations_than_a_kernel_takes(opencl: tensor.Device) -> None:
    arrays = [tensor.full((9,), float(i)) for i in range(20)]
    fused = tensor.fuse(lambda *arrays: sum(arrays[1:], arrays[0]))
    assert numpy.array_equal(fused(*arrays).numpy(), [190] * 9)

    def doubled(x: tensor.Array) -> tensor.Array:
        for _ in range(100):
            x = x + 1
        return x

    assert numpy.array_equal(tensor.fuse(doubled)(arrays[0]).numpy(), [100] * 9)


def test_what_is_written_to_is_read_before(opencl: tensor.Device) -> None:
    copy_out = tensor.kernel("__kernel void fill(__global float *x) { x[get_global_id(0)] = 7; }", "fill")
    for write in (
        lambda x: x.__setitem__(..., 5.0),
        lambda x: x.__setitem__(slice(0, 2), numpy.ones(2)),
        lambda x: x.__iadd__(1),
        lambda x: copy_out(3, x),
    ):

        @tensor.fuse
        def function(x: tensor.Array, write: Any = write) -> tensor.Array:
            before = x + 1
            write(x)
            return before * 2

        for _ in range(2):
            assert numpy.array_equal(function(tensor.zeros(3)).numpy(), [2, 2, 2])


def test_scopes_and_tapes(opencl: tensor.Device) -> None:
    @tensor.fuse
    def scoped(x: tensor.Array) -> tensor.Array:
        with tensor.scope() as inside:
            y = inside.keep(x + 1)
        return y * 2

    assert numpy.array_equal(scoped(tensor.ones(3)).numpy(), [4, 4, 4])
    with tensor.recording_calls() as tape:
        tensor.fuse(lambda x: (x + 1) * 2)(tensor.ones(3))
    assert [each.primitive.name for each in tape][-2:] == ["add", "multiply"]


def test_what_was_pending_when_a_function_failed(opencl: tensor.Device) -> None:
    left = []

    @tensor.fuse
    def fails(x: tensor.Array) -> None:
        left.append(x + 1)
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        fails(tensor.ones(3))
    with pytest.raises(tensor.errors.DeviceError, match="had not been computed"):
        left[0].numpy()
    assert float(tensor.sum(tensor.ones(3) + 1)) == 6  # and all goes on
