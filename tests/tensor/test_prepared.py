"""Prepared functions: the second call takes a short way and has to do what the first one did."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import tensor
from tensor.prepared import prepared
from tensor.primitive import recording_calls

CALLS: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("sum", lambda x: tensor.sum(x, axis=1), lambda x: x.sum(axis=1)),
    ("sum as float64", lambda x: tensor.sum(x, dtype="float64"), lambda x: x.sum(dtype="float64")),
    ("mean kept", lambda x: tensor.mean(x, axis=0, keepdims=True), lambda x: x.mean(axis=0, keepdims=True)),
    ("var", lambda x: tensor.var(x, axis=(0, 1), correction=1.0), lambda x: x.var(ddof=1)),
    ("var of one", lambda x: tensor.var(x[:1], axis=0, correction=1.0), lambda x: x[0] * numpy.nan),
    ("std", lambda x: tensor.std(x), lambda x: x.std()),
    ("max", lambda x: tensor.max(x, axis=-1), lambda x: x.max(axis=-1)),
    ("argmin", lambda x: tensor.argmin(x, axis=1), lambda x: x.argmin(axis=1)),
    ("any", lambda x: tensor.any(x > 2), lambda x: (x > 2).any()),
    ("int32", lambda x: tensor.astype(x, "int32"), lambda x: x.astype("int32")),
    ("itself", lambda x: tensor.astype(x, "float32", copy=False), lambda x: x),
    ("complex", lambda x: tensor.astype(x, "complex64"), lambda x: x.astype("complex64")),
    ("copy", lambda x: x.T.copy(), lambda x: x.T),
    ("product", lambda x: x @ x.T, lambda x: x @ x.T),
    ("by a number", lambda x: x * 2.5, lambda x: x * numpy.float32(2.5)),
    ("by zeros", lambda x: (x / 0.0) + (x / -0.0), lambda x: x * numpy.nan),
    ("by an int", lambda x: x + 2, lambda x: x + numpy.float32(2)),
]


@pytest.mark.parametrize(("ours", "theirs"), [each[1:] for each in CALLS], ids=[each[0] for each in CALLS])
def test_each_call_sees_its_own_values(
    device: tensor.Device, ours: Callable[[Any], Any], theirs: Callable[[Any], Any]
) -> None:
    generator = numpy.random.default_rng(0)
    for _ in range(4):
        x = generator.standard_normal((5, 7), dtype=numpy.float32)
        result = ours(tensor.asarray(x, device=device))
        with numpy.errstate(all="ignore"):
            expected = theirs(x)
        assert result.dtype == expected.dtype
        numpy.testing.assert_allclose(result.numpy(), expected, rtol=2e-5, atol=2e-6)


def test_views_of_one_layout_at_other_places(device: tensor.Device) -> None:
    x = numpy.arange(60, dtype=numpy.float32).reshape(12, 5)
    ours = tensor.asarray(x, device=device)
    for first in range(10):
        assert tensor.sum(ours[first : first + 2]).item() == x[first : first + 2].sum()


def test_what_was_called_before_excuses_nothing(device: tensor.Device) -> None:
    x = tensor.ones((2, 3), device=device)
    assert tensor.sum(x, axis=1).shape == (2,)
    with pytest.raises(TypeError):
        tensor.sum(x, axis=1.0)  # type: ignore[arg-type]  # equals 1
    with pytest.raises(tensor.errors.DTypeError, match="expected an Array"):
        tensor.sum([1, 2])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="axes"):
        tensor.sum(x, axes=1)  # type: ignore[call-arg]


def test_a_tape_gets_every_call(device: tensor.Device) -> None:
    x = tensor.ones((2, 3), device=device)
    for _ in range(3):
        with recording_calls() as tape:
            tensor.astype(tensor.sum(x * 2.5, axis=0), "int32")
        assert [each.primitive.name for each in tape] == ["multiply", "sum", "astype"]
        tensor.astype(tensor.sum(x * 2.5, axis=0), "int32")


def test_what_is_not_one_launch_runs_each_time(device: tensor.Device) -> None:
    seen = []

    @prepared
    def twice(x: tensor.Array, /, name: str = "") -> tensor.Array:
        seen.append(name)
        return x + x * 2.0

    @prepared
    def of_another(x: tensor.Array, /) -> tensor.Array:
        seen.append("other")
        return tensor.negative(other)

    x, other = tensor.ones(3, device=device), tensor.ones(3, device=device)
    assert twice(x, name="a").tolist() == twice(x, name="a").tolist() == [3.0, 3.0, 3.0]
    assert of_another(x).tolist() == of_another(x).tolist() == [-1.0, -1.0, -1.0]
    assert seen == ["a", "a", "other", "other"]
