"""Every loss and metric against PyTorch; their registry; what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn import losses
from nn.autograd import differentiate, recording
from nn.errors import DefinitionError, LayerShapeError, NetworkError
from tensor import Array, Device
from tests.nn.test_layers import DTYPES


def checked(
    loss: Callable[..., Array],
    theirs: Callable[..., Any],
    outputs: Any,
    targets: Any,
    device: Device,
    torch: Any,
) -> None:
    """Our loss and its gradient are PyTorch's; a loss of several numbers is led back as their sum is."""
    x = torch.tensor(outputs, requires_grad=True)
    expected = theirs(x, torch.tensor(targets))
    expected.sum().backward()
    ours = tensor.asarray(outputs, device=device)
    found: dict[int, Array | None] = {}
    with recording([ours]) as tape:
        got = loss(ours, tensor.asarray(targets, device=device))
    one = tensor.ones(got.shape, dtype=outputs.dtype, device=device)
    differentiate(tape, got, one, found.__setitem__)
    assert got.dtype == outputs.dtype
    digits = 1e-6 if got.dtype == tensor.float32 else 1e-14
    numpy.testing.assert_allclose(
        numpy.asarray(got), expected.detach().numpy(), rtol=10 * digits, atol=2 * digits
    )
    numpy.testing.assert_allclose(numpy.asarray(found[0]), x.grad.numpy(), rtol=100 * digits, atol=digits)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.1}, {"ignore_index": -1}, {"ignore_index": 3, "label_smoothing": 0.2}],
)
@pytest.mark.parametrize("shape", [(6,), (2, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy(
    dtype: str,
    reduction: Any,
    options: dict[str, Any],
    shape: tuple[int, ...],
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
) -> None:
    labels = generator.integers(0, 7, shape)
    labels.flat[::3] = options.get("ignore_index", 0)

    def theirs(x: Any, y: Any) -> Any:
        whole = torch.nn.functional.cross_entropy(
            x.reshape(-1, 7), y.reshape(-1), reduction=reduction, **options
        )
        return whole.reshape(shape) if reduction == "none" else whole

    def ours(x: Array, y: Array) -> Array:
        return nn.softmax_cross_entropy(x, y, reduction, **options)

    outputs = (generator.standard_normal((*shape, 7)) * 5).astype(dtype)
    checked(ours, theirs, outputs, labels, device, torch)


def test_what_is_ignored_altogether_loses_nothing(device: Device) -> None:
    labels = tensor.asarray([-1, -1], device=device)
    loss = nn.softmax_cross_entropy(tensor.ones((2, 3), device=device), labels, ignore_index=-1)
    assert float(loss) == 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits"),
        ("squared", "mse_loss"),
        ("loss", "mse_loss"),
        ("l1", "l1_loss"),
        ("huber", "huber_loss"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_of_numbers(
    dtype: str,
    name: str,
    reference: str,
    reduction: str,
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
) -> None:
    outputs = (generator.standard_normal((5, 3)) * 3).astype(dtype)
    targets = generator.integers(0, 2, (5, 3)).astype(dtype)
    outputs[0], outputs[1], outputs[2] = targets[0], 40, 0  # on the spot, far off, and where eˣ is 1

    def theirs(x: Any, y: Any) -> Any:
        return getattr(torch.nn.functional, reference)(x, y, reduction=reduction)

    def ours(x: Array, y: Array) -> Array:
        return losses.by_name(name)(x, y, reduction=reduction)

    checked(ours, theirs, outputs, targets, device, torch)


def test_hubers_delta(device: Device, generator: numpy.random.Generator, torch: Any) -> None:
    outputs, targets = generator.standard_normal((2, 20)).astype(numpy.float32) * 3
    checked(
        lambda x, y: losses.huber(x, y, delta=0.5),
        lambda x, y: torch.nn.functional.huber_loss(x, y, delta=0.5),
        outputs,
        targets,
        device,
        torch,
    )


def test_a_loss_far_off_stays_finite(device: Device) -> None:
    x = tensor.asarray(numpy.array([-1e4, 1e4], numpy.float32), device=device)
    loss = losses.binary_cross_entropy_with_logits(x, tensor.asarray([0, 0], device=device), "none")
    assert numpy.asarray(loss).tolist() == [0, 1e4]


def test_a_registered_loss_is_known_to_definitions_and_trains(device: Device) -> None:
    @losses.register("test_cubed")
    def cubed(outputs: Array, targets: Array, reduction: str = "mean") -> Array:
        distance = tensor.abs(outputs - targets)
        return tensor.mean(distance * distance * distance)

    assert losses.by_name("test_cubed") is cubed
    assert "test_cubed" in losses.names()
    network = nn.Sequential(fc=nn.Linear(2, 1))
    network.loss = "test_cubed"
    again = nn.load_definition(nn.to_definition(network)).initialize(device)
    x, wanted = tensor.ones((1, 2), device=device), tensor.full((1, 1), 3.0, device=device)
    step = nn.value_and_grad(again, lambda: losses.of(again)(again(x), wanted))
    before, _ = step()
    assert float(before) == pytest.approx(abs(float(again(x)[0, 0]) - 3) ** 3, rel=1e-5)
    again.vector[...] = again.vector - again.gradient * 0.01
    assert float(step()[0]) < float(before)


def test_options_of_a_loss_are_kept_by_definitions_and_count(device: Device) -> None:
    network = nn.Sequential(fc=nn.Linear(3, 4))
    network.loss_options = {"label_smoothing": 0.2, "ignore_index": 1}
    definition = nn.to_definition(network)
    assert definition[1]["params"] == {"label_smoothing": 0.2, "ignore_index": 1}
    again = nn.load_definition(definition)
    assert nn.to_definition(again) == definition
    logits = tensor.asarray(numpy.eye(3, 4, dtype=numpy.float32), device=device)
    labels = tensor.asarray([0, 1, 3], device=device)
    wanted = losses.softmax_cross_entropy(logits, labels, label_smoothing=0.2, ignore_index=1)
    assert float(losses.of(again)(logits, labels)) == float(wanted)
    assert float(wanted) != pytest.approx(float(losses.softmax_cross_entropy(logits, labels)), rel=0.01)


@pytest.mark.parametrize("params", [{"smoothing": 0.1}, {"reduction": "sum"}])
def test_an_option_that_a_loss_does_not_have(params: dict[str, Any]) -> None:
    definition = nn.to_definition(nn.Sequential(fc=nn.Linear(3, 4)))
    definition[1]["params"] = params
    with pytest.raises(DefinitionError, match=r"Layer 'loss': .* has no option '.*'; it has: label_smooth"):
        nn.load_definition(definition)


def test_a_name_is_given_once() -> None:
    with pytest.raises(NetworkError, match="'l1' is there already; register other as another"):

        @losses.register("l1")
        def other(outputs: Array, targets: Array) -> Array:
            return outputs

    with pytest.raises(NetworkError, match=r"no loss 'l3'. Known are: softmax_cross_entropy, .*l1"):
        losses.by_name("l3")


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_accuracy(k: int, device: Device, generator: numpy.random.Generator) -> None:
    logits = generator.integers(0, 4, (3, 20, 6)).astype(numpy.float32)  # with many equal ones
    labels = generator.integers(0, 6, (3, 20))
    best = numpy.argsort(-logits, axis=-1, kind="stable")[..., :k]
    expected = (best == labels[..., None]).any(axis=-1).mean()
    ours = [tensor.asarray(each, device=device) for each in (logits, labels)]
    assert float(nn.top_k_accuracy(*ours, k=k)) == pytest.approx(expected, abs=1e-6)
    if k == 1:
        assert float(nn.accuracy(*ours)) == pytest.approx(expected, abs=1e-6)


def test_perplexity(device: Device) -> None:
    logits = tensor.zeros((2, 3, 8), device=device)
    labels = tensor.asarray([[1, 2, -1], [7, 0, -1]], device=device)
    assert float(nn.perplexity(logits, labels, ignore_index=-1)) == pytest.approx(8, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda x: nn.softmax_cross_entropy(x, x),
            r"expected logits \[N, ..., classes\] and labels \[N, ...\], got \[2, 3\] and \[2, 3\]",
        ),
        (lambda x: losses.l1(x, x[:1]), r"l1 expected outputs .* one shape, got \[2, 3\] and \[1, 3\]"),
        (lambda x: losses.huber(x, x, "median"), "huber knows the reductions mean, sum and none, not 'med"),
        (lambda x: nn.top_k_accuracy(x, x), "top_k_accuracy expected logits"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable[[Array], Array], sentence: str) -> None:
    with pytest.raises(LayerShapeError, match=sentence):
        call(tensor.ones((2, 3), device="numpy"))


def test_impossible_options_are_refused() -> None:
    x, labels = tensor.ones((2, 3), device="numpy"), tensor.asarray([0, 1], device="numpy")
    with pytest.raises(NetworkError, match="0 ≤ label_smoothing < 1, got 1"):
        nn.softmax_cross_entropy(x, labels, label_smoothing=1)
    with pytest.raises(NetworkError, match="delta > 0, got 0"):
        losses.huber(x, x, delta=0)
    with pytest.raises(NetworkError, match="k ≥ 1, got 0"):
        nn.top_k_accuracy(x, labels, k=0)
