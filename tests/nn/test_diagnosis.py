"""Where a NaN or an infinity came from is said by layer and place."""

from typing import Any

import numpy
import pytest

import nn
import tensor
from nn import NonFinite
from tensor import Array, Device


class Log(nn.Layer):
    """y = log(x), which is −inf at 0."""

    def forward(self, x: Array) -> Array:
        return tensor.log(x)


class Root(nn.Layer):
    """y = √x, of gradient ∞ at 0."""

    def forward(self, x: Array) -> Array:
        return tensor.sqrt(x)


class BadWayBack(nn.Layer):
    """y = x, whose backward() divides by x."""

    def forward(self, x: Array) -> Array:
        return x * 1.0

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        return gradient / x


class Scale(nn.Layer):
    """y = x · weight."""

    def __init__(self) -> None:
        self.weight = nn.Parameter((3,))

    def forward(self, x: Array) -> Array:
        return x * self.weight


class Around(nn.Layer):
    """1 / layer(x): what is within may be finite, and this not."""

    def __init__(self, inner: nn.Layer) -> None:
        self.inner = inner

    def forward(self, x: Array) -> Array:
        return 1.0 / self.inner(x)


def found_in(network: nn.Layer, x: Array) -> NonFinite | None:
    return nn.first_non_finite(network, lambda x: tensor.sum(nn.in_float32(network(x))), x)


def identity(device: Device, *after: nn.Layer) -> nn.Layer:
    """A Linear that hands on its input, and layers after it."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(*after)).initialize(device)
    network.parameters()["0.weight"][...] = numpy.eye(3, dtype=numpy.float32)
    return network


@pytest.mark.parametrize(
    ("layer", "where", "name", "value", "of"),
    [
        (Log(), "forward", "'1.0' (Log)", -numpy.inf, ""),
        (Around(nn.ReLU()), "forward", "'1.0' (Around)", numpy.inf, ""),
        (Around(Log()), "forward", "'1.0.inner' (Log)", -numpy.inf, ""),
        (Root(), "backward", "'1.0' (Root)", numpy.inf, "an input of its sqrt"),
        (BadWayBack(), "backward", "'1.0' (BadWayBack)", numpy.inf, "its input"),
    ],
)
def test_the_first_layer_is_named(
    layer: nn.Layer, where: Any, name: str, value: float, of: str, device: Device
) -> None:
    x = tensor.asarray(numpy.array([[1, 2, 3], [4, 0, 6]], numpy.float32), device=device)
    found = found_in(identity(device, layer), x)
    assert found == NonFinite(where, name, (1, 1), value, of)
    assert name in str(found)
    assert f"{value} at [1, 1]" in str(found)
    assert found is not None
    assert "lr" in found.advice


def test_what_was_not_finite_before_is_said_first(device: Device) -> None:
    network = nn.Sequential(norm=nn.BatchNorm(3), fc=nn.Linear(3, 2)).initialize(device)
    bad = numpy.ones((2, 3), numpy.float32)
    bad[1, 2] = numpy.nan
    found = found_in(network, tensor.asarray(bad, device=device))
    assert str(found) == "The input 0 had nan at [1, 2] before the step began"
    x = tensor.asarray(numpy.eye(3, dtype=numpy.float32), device=device)
    network.buffers()["norm.running_var"][1] = numpy.inf
    assert str(found_in(network, x)) == "The buffer norm.running_var had inf at [1] before the step began"
    network.parameters()["fc.weight"][1, 0] = -numpy.inf
    assert str(found_in(network, x)) == "The parameter fc.weight had -inf at [1, 0] before the step began"


def test_a_weight_that_16_bits_cannot_hold_is_not_called_infinite(device: Device) -> None:
    network = nn.Sequential(fc=nn.Linear(3, 2)).initialize(device)
    network.parameters()["fc.weight"][1, 0] = -70_000
    x = tensor.ones((2, 3), device=device)
    for precision in ("float32", "bfloat16"):
        with nn.mixed_precision(network, precision):
            assert found_in(network, x) is None
    with nn.mixed_precision(network, "float16"):
        found = found_in(network, x)
        assert str(found) == "The parameter fc.weight has -70000.0 at [1, 0], which float16 cannot hold"
        assert found is not None
        assert found.advice == "Use bfloat16, which has the range of float32."
        network.vector[4] = numpy.inf
        found = found_in(network, x)
        assert str(found) == "The parameter fc.weight had inf at [1, 1] before the step began"


def test_a_loss_and_a_parameters_gradient(device: Device) -> None:
    network = nn.Sequential(nn.Linear(3, 2)).initialize(device)
    x = tensor.ones((2, 3), device=device)
    labels = tensor.asarray(numpy.array([0, 7], numpy.int32), device=device)
    found = nn.first_non_finite(network, lambda x, y: nn.softmax_cross_entropy(network(x), y), x, labels)
    assert str(found) == "All layers' outputs are finite, and the loss of them is nan"
    scale = nn.Sequential(Scale()).initialize(device)
    found = found_in(scale, tensor.full((2, 3), 3e38, device=device))
    assert found == NonFinite("backward", "'0' (Scale)", (0,), numpy.inf, "the parameter 0.weight")


def test_nothing_is_found_where_all_is_finite_and_nothing_is_changed(device: Device) -> None:
    network = identity(device, nn.ReLU())
    network.gradient[...] = 5.0
    before = numpy.asarray(network.state)
    assert found_in(network, tensor.ones((2, 3), device=device)) is None
    assert (numpy.asarray(network.gradient) == 5).all()
    assert (numpy.asarray(network.state) == before).all()
