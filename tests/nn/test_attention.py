"""Embeddings and attention against PyTorch and finite differences, and what they keep in memory."""

import json
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.errors import LayerShapeError, NetworkError
from nn.layers import attention
from tensor import Array, Device
from tests.nn.test_layers import DTYPES, gradients_of


@pytest.mark.parametrize("dtype", [numpy.int64, numpy.int32, numpy.uint8])
def test_an_embedding_is_pytorchs(
    dtype: Any, device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    layer = nn.Embedding(11, 5).initialize(device, seed=3)
    weight = torch.tensor(numpy.asarray(layer.weight), requires_grad=True)
    x = generator.integers(0, 11, (4, 7)).astype(dtype)  # 28 of 11: repeated
    gradient = generator.standard_normal((4, 7, 5)).astype(numpy.float32)
    expected = torch.nn.functional.embedding(torch.tensor(x.astype(numpy.int64)), weight)
    expected.backward(torch.tensor(gradient))
    numbers = tensor.asarray(x, device=device)
    step = nn.value_and_grad(
        layer, lambda: tensor.sum(layer(numbers) * tensor.asarray(gradient, device=device))
    )
    assert numpy.array_equal(numpy.asarray(layer(numbers)), expected.detach().numpy())
    found = numpy.asarray(step()[1]["weight"])
    numpy.testing.assert_allclose(found, weight.grad.numpy(), rtol=1e-5, atol=1e-6)
    assert numpy.array_equal(found, numpy.asarray(step()[1]["weight"]))
    nn.check_gradient(layer, numbers)


def test_an_embedding_begins_with_its_deviation() -> None:
    layer = nn.Embedding(200, 50, std=0.02).initialize("numpy")
    assert numpy.asarray(layer.weight).std() == pytest.approx(0.02, rel=0.02)


def test_positions(device: Device, generator: numpy.random.Generator) -> None:
    layer = nn.PositionalEmbedding(6, 3).initialize(device)
    x = generator.standard_normal((2, 4, 3)).astype(numpy.float32)
    ours = tensor.asarray(x, device=device)
    assert numpy.array_equal(numpy.asarray(layer(ours)), x + numpy.asarray(layer.weight)[:4])
    nn.check_gradient(layer, ours)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block", [128, 3])
@pytest.mark.parametrize("shape", [(2, 8, 3, 4), (1, 1, 1, 5), (3, 7, 2, 1)])  # N, T, heads, d
def test_attention_is_pytorchs(
    shape: tuple[int, ...],
    block: int,
    causal: bool,
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "QUERIES_AT_ONCE", block)
    N, T, heads, size = shape
    x = generator.standard_normal((N, T, 3 * heads * size)).astype(numpy.float32) * 2
    theirs = torch.tensor(x, requires_grad=True)
    q, k, v = theirs.reshape(N, T, 3, heads, size).permute(2, 0, 3, 1, 4)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    expected = expected.permute(0, 2, 1, 3).reshape(N, T, heads * size)
    gradient = generator.standard_normal(tuple(expected.shape)).astype(numpy.float32)
    expected.backward(torch.tensor(gradient))
    layer = nn.SelfAttention(heads, causal).initialize(device)
    y, (dx,) = gradients_of(layer, tensor.asarray(x, device=device), gradient)
    numpy.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_is_pytorchs(
    causal: bool, dtype: str, device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    layer = nn.MultiHeadAttention(6, 2, causal).initialize(device, seed=1, dtype=dtype)
    other = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    names = ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias")
    theirs = (other.in_proj_weight, other.in_proj_bias, other.out_proj.weight, other.out_proj.bias)
    for name, each in zip(names, theirs, strict=True):
        each.data = torch.tensor(numpy.asarray(layer.parameters()[name]))
    x = generator.standard_normal((3, 5, 6)).astype(dtype)
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    of_torch = torch.tensor(x, requires_grad=True)
    expected = other(of_torch, of_torch, of_torch, attn_mask=mask, need_weights=False)[0]
    gradient = generator.standard_normal((3, 5, 6)).astype(dtype)
    expected.backward(torch.tensor(gradient))
    y, gradients = gradients_of(layer, tensor.asarray(x, device=device), gradient)
    digits = 1e-5 if dtype == "float32" else 1e-13
    numpy.testing.assert_allclose(y, expected.detach().numpy(), rtol=10 * digits, atol=digits)
    for got, wanted in zip(gradients, (of_torch, *theirs), strict=True):
        numpy.testing.assert_allclose(got, wanted.grad.numpy(), rtol=10 * digits, atol=digits)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_finite_differences(
    dropout: float, device: Device, generator: numpy.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "QUERIES_AT_ONCE", 3)
    layer = nn.MultiHeadAttention(6, 2, causal=True, dropout=dropout).initialize(device, seed=1)
    layer.randomness.set_step(3, [5, 9])
    x = tensor.asarray(generator.standard_normal((2, 4, 6)).astype(numpy.float32), device=device)
    nn.check_gradient(layer, x, elements=8)


def test_dropped_weights_keep_their_mean(device: Device) -> None:
    """Of equal values, weights of sum 1 make that value; dropout spreads it, evaluation does not."""
    layer = nn.SelfAttention(1, dropout=0.5).initialize(device)
    layer.randomness.set_step(0, range(16))
    x = tensor.ones((16, 64, 3), device=device)
    y = numpy.asarray(layer(x))
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert y.std() == pytest.approx(1 / 8, rel=0.1)  # √(64) · (1 / 64)
    numpy.testing.assert_allclose(numpy.asarray(layer.evaluate()(x)), 1, rtol=1e-6)


@pytest.mark.usefixtures("no_garbage")
def test_no_array_of_all_pairs_is_kept(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of T = 512 places, what waits for the way back is far smaller than T² numbers of one head."""
    monkeypatch.setattr(attention, "QUERIES_AT_ONCE", 32)
    layer = nn.MultiHeadAttention(4, 4, causal=True).initialize(device)
    x = tensor.ones((1, 512, 4), device=device)
    in_use: list[int] = []

    def loss() -> Array:
        before = tensor.memory(device).in_use_bytes
        y = layer(x)
        in_use.append(tensor.memory(device).in_use_bytes - before)
        return tensor.mean(y)

    nn.value_and_grad(layer, loss)()
    assert in_use[0] < 512 * 512 * 4 / 4


def test_what_does_not_fit_is_named() -> None:
    def given(layer: nn.Layer, shape: tuple[int, ...]) -> None:
        nn.Sequential(only=layer).initialize("numpy")(tensor.zeros(shape, device="numpy"))

    with pytest.raises(LayerShapeError, match=r"Embedding 'only' expected integers, .* got float32"):
        given(nn.Embedding(3, 2), (2, 2))
    with pytest.raises(LayerShapeError, match=r"PositionalEmbedding 'only' .* \[N, ≤3, 2\], got \[1, 4, 2\]"):
        given(nn.PositionalEmbedding(3, 2), (1, 4, 2))
    with pytest.raises(LayerShapeError, match=r"MultiHeadAttention 'only' .* \[N, T, 4\], got \[2, 4\]"):
        given(nn.MultiHeadAttention(4, 2), (2, 4))
    with pytest.raises(
        LayerShapeError, match=r"SelfAttention 'only' .* \[N, T, 3 · 2 · d\], got \[1, 2, 9\]"
    ):
        given(nn.SelfAttention(2), (1, 2, 9))
    with pytest.raises(IndexError, match="11"):
        nn.Embedding(3, 2).initialize("numpy")(tensor.asarray([11], device="numpy"))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(NetworkError, match="that `heads` divides; got MultiHeadAttention"):
        nn.MultiHeadAttention(5, 2)
    with pytest.raises(NetworkError, match="0 ≤ dropout < 1"):
        nn.MultiHeadAttention(4, 2, dropout=1)
    with pytest.raises(NetworkError, match="sizes of at least 1"):
        nn.Embedding(0, 2)
    with pytest.raises(NetworkError, match="sizes of at least 1"):
        nn.PositionalEmbedding(2, 0)


def test_they_travel_as_data() -> None:
    network = nn.Sequential(
        token=nn.Embedding(7, 4, std=0.5),
        position=nn.PositionalEmbedding(5, 4, std=0.1),
        attention=nn.MultiHeadAttention(4, 2, causal=True, dropout=0.25, bias=False),
        wide=nn.Linear(4, 12),
        again=nn.SelfAttention(2, causal=True),
    )
    definition = nn.to_definition(network)
    read = nn.load_definition(json.loads(json.dumps(definition)))
    assert nn.to_definition(read) == definition
    x = tensor.asarray([[3, 1, 6, 6]], device="numpy")
    y, again = (numpy.asarray(each.initialize("numpy", seed=2).evaluate()(x)) for each in (network, read))
    assert numpy.array_equal(y, again)
