"""Rules of operations that PyTorch calls otherwise: ours beside theirs."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import tensor
from nn.autograd import differentiate, recording
from tensor import Array, Device

Function = Callable[[Any, Any], Any]

# f(a, b) in both libraries, with a [3, 4] and b [2, 4]
PAIRS: dict[str, tuple[Function, Callable[[Any], Function]]] = {
    "cumulative_sum": (
        lambda a, b: tensor.cumulative_sum(a, axis=0)[2] + tensor.cumulative_sum(b, axis=1),
        lambda torch: lambda a, b: torch.cumsum(a, 0)[2] + torch.cumsum(b, 1),
    ),
    "cumulative_sum with 0": (
        lambda a, b: tensor.cumulative_sum(a, axis=1, include_initial=True)[:, 1:],
        lambda torch: lambda a, b: torch.cumsum(a, 1),
    ),
    "concat": (
        lambda a, b: tensor.concat([a, b * b, a]) * 2.0,
        lambda torch: lambda a, b: torch.cat([a, b * b, a]) * 2.0,
    ),
    "stack": (
        lambda a, b: tensor.stack([a[1:], b, b], axis=1),
        lambda torch: lambda a, b: torch.stack([a[1:], b, b], 1),
    ),
    "repeat and tile": (
        lambda a, b: tensor.repeat(a, 2, axis=1)[:2] * tensor.tile(b, (1, 2)),
        lambda torch: lambda a, b: torch.repeat_interleave(a, 2, 1)[:2] * torch.tile(b, (1, 2)),
    ),
    "roll, flip and diff": (
        lambda a, b: tensor.diff(tensor.roll(a, 1, axis=0), axis=0) * tensor.flip(b, axis=1),
        lambda torch: lambda a, b: torch.diff(torch.roll(a, 1, 0), dim=0) * torch.flip(b, (1,)),
    ),
    "sort": (
        lambda a, b: tensor.sort(a, axis=0, descending=True)[:2] * tensor.sort(b),
        lambda torch: lambda a, b: torch.sort(a, 0, descending=True).values[:2] * torch.sort(b).values,
    ),
    "triangles": (
        lambda a, b: tensor.tril(a)[:2] + tensor.triu(b, k=1),
        lambda torch: lambda a, b: torch.tril(a)[:2] + torch.triu(b, 1),
    ),
    "diagonal and trace": (
        lambda a, b: tensor.linalg.diagonal(a, offset=1) * tensor.linalg.trace(b, offset=-1),
        lambda torch: lambda a, b: torch.diagonal(a, 1) * torch.diagonal(b, -1).sum(),
    ),
    "products": (
        lambda a, b: tensor.tensordot(a, b, axes=([1], [1])) + tensor.vecdot(a[:2], b),
        lambda torch: lambda a, b: torch.tensordot(a, b, ([1], [1])) + torch.linalg.vecdot(a[:2], b),
    ),
    "inverse and determinant": (
        lambda a, b: tensor.linalg.inv(a[:, 1:]) * tensor.linalg.det(b[:, ::2]),
        lambda torch: lambda a, b: torch.linalg.inv(a[:, 1:]) * torch.linalg.det(b[:, [0, 2]]),
    ),
    "norms": (
        lambda a, b: tensor.linalg.vector_norm(a, axis=0) + tensor.linalg.matrix_norm(b, ord=1),
        lambda torch: lambda a, b: torch.linalg.vector_norm(a, dim=0) + torch.linalg.matrix_norm(b, 1),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS.keys())
def test_rules_agree_with_pytorch(
    ours: Function,
    theirs: Callable[[Any], Function],
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
) -> None:
    values = [generator.uniform(0.5, 2, shape).astype(numpy.float32) for shape in [(3, 4), (2, 4)]]
    right = [torch.tensor(value, requires_grad=True) for value in values]
    expected = theirs(torch)(*right)
    weights = generator.standard_normal(tuple(expected.shape)).astype(numpy.float32)
    expected.backward(torch.tensor(weights))

    arrays = [tensor.asarray(value, device=device) for value in values]
    found: dict[int, Array | None] = {}
    with recording(arrays) as tape:
        output = ours(*arrays)
    differentiate(tape, output, tensor.asarray(weights, device=device), found.__setitem__)
    numpy.testing.assert_allclose(numpy.asarray(output), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    for index, wanted in enumerate(right):
        gradient = found[index]
        if wanted.grad is None:
            assert gradient is None
        else:
            assert gradient is not None
            numpy.testing.assert_allclose(numpy.asarray(gradient), wanted.grad.numpy(), rtol=1e-4, atol=1e-4)


ALIKE = [
    "acos",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cosh",
    "sinh",
    "tan",
    "erf",
    "expm1",
    "log10",
    "log1p",
    "log2",
]
ALIKE += ["reciprocal", "positive", "square", "sin", "cos"]


@pytest.mark.parametrize("name", [*ALIKE, "acosh", "atan2", "hypot", "logaddexp", "var"])
def test_rules_of_functions_that_pytorch_calls_the_same(
    name: str, generator: numpy.random.Generator, torch: Any
) -> None:
    """And each reads no more than it says: what is not said has no values by then."""
    values = [generator.uniform(0.2, 0.9, 12).astype(numpy.float32) for _ in range(2)]
    values[0] += name == "acosh"
    count = 2 if name in ("atan2", "hypot", "logaddexp") else 1
    right = [torch.tensor(value, requires_grad=True) for value in values[:count]]
    options = {"correction": 1} if name == "var" else {}
    expected = getattr(torch, name)(*right, **options)
    weights = generator.standard_normal(tuple(expected.shape)).astype(numpy.float32)
    expected.backward(torch.tensor(weights))

    arrays = [tensor.asarray(value, device="numpy") for value in values[:count]]
    found: dict[int, Array | None] = {}
    with recording(arrays) as tape:
        output = getattr(tensor, name)(*[x * 1.0 for x in arrays], **options)
    differentiate(tape, output, tensor.asarray(weights, device="numpy"), found.__setitem__)
    for index, wanted in enumerate(right):
        numpy.testing.assert_allclose(numpy.asarray(found[index]), wanted.grad.numpy(), rtol=1e-5, atol=1e-5)
