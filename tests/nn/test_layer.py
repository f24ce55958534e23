"""The flat vectors and their table, the first values, the models, and layers of one's own in three ways."""

import math

import numpy
import pytest

import nn
import tensor
from nn.errors import GradientError, NetworkError
from nn.initialization import initial_value, uniform
from tensor import Array, Device


def test_parameters_are_slices_of_one_vector(device: Device) -> None:
    network = nn.models.lenet().initialize(device)
    assert [(entry.name, entry.shape, entry.offset) for entry in network.table] == [
        ("conv1.weight", (20, 5, 5, 1), 0),
        ("conv1.bias", (20,), 500),
        ("conv2.weight", (50, 5, 5, 20), 520),
        ("conv2.bias", (50,), 25520),
        ("fc3.weight", (500, 800), 25570),
        ("fc3.bias", (500,), 425570),
        ("fc4.weight", (10, 500), 426070),
        ("fc4.bias", (10,), 431070),
    ]
    assert network.vector.shape == network.gradient.shape == (431_080,)
    network.vector[...] = numpy.arange(431_080, dtype=numpy.float32)
    for entry in network.table:
        expected = numpy.arange(entry.offset, entry.offset + entry.size).reshape(entry.shape)
        assert numpy.array_equal(numpy.asarray(network.parameters()[entry.name]), expected)


def test_first_values_are_those_of_the_docstrings(device: Device) -> None:
    network = nn.models.lenet().initialize(device, seed=1)
    for name, fan_in in [("conv1", 25), ("conv2", 500), ("fc3", 800), ("fc4", 500)]:
        weight = numpy.asarray(network.parameters()[f"{name}.weight"])
        bound = math.sqrt(3 / fan_in)
        assert numpy.abs(weight).max() <= bound
        # the variance of n uniform values is within five standard deviations of bound² / 3
        assert abs(weight.var() * fan_in - 1) < 5 * math.sqrt(0.8 / weight.size)
        assert not numpy.asarray(network.parameters()[f"{name}.bias"]).any()


def test_first_values_depend_on_seed_and_name_alone(device: Device) -> None:
    first = nn.Sequential(a=nn.Linear(4, 3), b=nn.Linear(3, 2)).initialize(device, seed=9)
    longer = nn.Sequential(z=nn.Linear(4, 4), b=nn.Linear(3, 2)).initialize("numpy", seed=9)
    other = nn.Sequential(a=nn.Linear(4, 3), b=nn.Linear(3, 2)).initialize(device, seed=10)
    weight = numpy.asarray(first.parameters()["b.weight"])
    assert numpy.array_equal(weight, numpy.asarray(longer.parameters()["b.weight"]))
    assert not numpy.array_equal(weight, numpy.asarray(other.parameters()["b.weight"]))


def test_the_random_stream_never_changes() -> None:
    """As nn/initialization.py defines it, with NumPy's Philox; other numbers would break saved seeds."""
    values = initial_value(uniform(1), (3,), seed=0, name="conv1.weight")
    raw = numpy.random.Philox(key=PHILOX_KEY).random_raw(3)
    expected = [(int(each) >> 40) / 2**23 - 1 for each in raw]
    assert values.tolist() == expected


# the first 16 bytes of sha256(b"0:conv1.weight"), as `printf 0:conv1.weight | sha256sum` prints them
PHILOX_KEY = int.from_bytes(bytes.fromhex("04b93b109cca9165c476925db5d49f36"), "little")


def test_lenet_takes_digits_and_odd_sizes(device: Device) -> None:
    assert nn.models.lenet((8, 8, 1)).initialize(device)(tensor.zeros((2, 8, 8, 1), device=device)).shape == (
        2,
        10,
    )
    odd = nn.models.by_name("lenet", input_shape=(29, 31, 3), classes=7).initialize(device)
    assert odd(tensor.zeros((2, 29, 31, 3), device=device)).shape == (2, 7)


def test_unknown_models_get_a_sentence() -> None:
    with pytest.raises(NetworkError, match=r"no model 'lenet6'. Known are: mlp, lenet"):
        nn.models.by_name("lenet6")
    with pytest.raises(NetworkError, match=r"\(height, width, channels\), got \(0, 8, 1\)"):
        nn.models.lenet((0, 8, 1))


def test_lists_of_layers_and_nested_networks_are_registered() -> None:
    class Tower(nn.Layer):
        def __init__(self) -> None:
            self.floors = [nn.Linear(2, 2), nn.Linear(2, 2)]
            self.roof = nn.Sequential(tip=nn.Linear(2, 1, bias=False))

        def forward(self, x: Array) -> Array:
            for floor in self.floors:
                x = floor(x)
            return self.roof(x)

    tower = Tower().initialize("numpy").evaluate()
    names = ["floors.0.weight", "floors.0.bias", "floors.1.weight", "floors.1.bias", "roof.tip.weight"]
    assert list(tower.parameters()) == names
    assert [entry.name for entry in tower.table] == names
    assert not any(layer.training for _, layer in tower.layers())
    assert all(layer.training for _, layer in tower.train().layers())


def test_a_shared_layer_has_its_parameters_once() -> None:
    shared = nn.Linear(2, 2)
    network = nn.Sequential(shared, nn.ReLU(), shared).initialize("numpy")
    assert [entry.name for entry in network.table] == ["0.weight", "0.bias"]


def test_a_layer_prints_how_it_was_made() -> None:
    assert (
        repr(nn.Conv2d(1, 20, 5, padding=2))
        == "Conv2d(in_channels=1, out_channels=20, kernel_size=5, padding=2)"
    )
    assert "fc4: Linear 'fc4'(in_features=500, out_features=10)" in repr(nn.models.lenet())


# Layers of one's own


class Scale(nn.Layer):
    """Way one: forward from tensor operations."""

    def __init__(self, size: int) -> None:
        self.factor = nn.Parameter((size,), nn.initialization.ones)

    def forward(self, x: Array) -> Array:
        return tensor.tanh(x * self.factor)


class ScaleBothWays(Scale):
    """Way two: a backward of one's own; forward may then leave the tape, here by way of the host."""

    def forward(self, x: Array) -> Array:
        y = numpy.tanh(numpy.asarray(x) * numpy.asarray(self.factor))
        return tensor.asarray(y, device=x.device)

    def backward(self, gradient: Array, output: Array, x: Array) -> tuple[Array, dict[str, Array]]:
        inner = gradient * (1 - output * output)
        return inner * self.factor, {"factor": tensor.sum(inner * x, axis=0)}


SWISH_SOURCE = """
__kernel void swish(__global const float *x, __global float *y)
{
    const size_t i = get_global_id(0);
    y[i] = x[i] / (1.0f + exp(-x[i]));
}
"""
swish_kernel = tensor.kernel(SWISH_SOURCE, "swish")


def launch_swish(x: Array) -> Array:
    x, y = x.copy(), tensor.empty(x.shape, dtype=tensor.float32, device=x.device)
    swish_kernel(x.size, x, y)
    return y


swish = tensor.primitive("test_swish", numpy=lambda x: x / (1 + numpy.exp(-x)), opencl=launch_swish)


@nn.derivative("test_swish")
def swish_backward(gradient: Array, output: Array, x: Array) -> Array:
    sigmoid = 1 / (1 + tensor.exp(-x))
    return gradient * (output + sigmoid * (1 - output))


class Swish(nn.Layer):
    """Way three: an OpenCL kernel, with its NumPy definition and its derivative."""

    def forward(self, x: Array) -> Array:
        return swish(x)


@pytest.mark.parametrize("layer", [Scale(4), ScaleBothWays(4), Swish()], ids=["forward", "both", "kernel"])
def test_a_layer_of_ones_own_is_trained(
    layer: nn.Layer, device: Device, generator: numpy.random.Generator
) -> None:
    network = nn.Sequential(first=nn.Linear(4, 4), own=layer, last=nn.Linear(4, 3)).initialize(device, seed=4)
    x = tensor.asarray(generator.standard_normal((5, 4)).astype(numpy.float32), device=device)
    nn.check_gradient(network, x)


def test_both_ways_agree(device: Device) -> None:
    gradients = []
    for layer in (Scale(4), ScaleBothWays(4)):
        network = nn.Sequential(first=nn.Linear(4, 4), own=layer).initialize(device, seed=4)
        step = nn.value_and_grad(network, lambda x, network=network: tensor.sum(network(x)))
        step(tensor.full((5, 4), 0.5, dtype=tensor.float32, device=device))
        gradients.append(numpy.asarray(network.gradient))
    numpy.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


def test_a_missing_derivative_names_the_primitive() -> None:
    bare = tensor.primitive("test_bare", numpy=lambda x: x, opencl=lambda x: x.copy())
    network = nn.Sequential(first=nn.Linear(2, 2)).initialize("numpy")
    step = nn.value_and_grad(network, lambda x: tensor.sum(bare(network(x))))
    with pytest.raises(
        GradientError, match=r"'test_bare' has no derivative .*@nn.derivative\(\"test_bare\", 0\)"
    ):
        step(tensor.ones((1, 2), device="numpy"))


class Careless(ScaleBothWays):
    def backward(self, gradient: Array, output: Array, x: Array) -> Array:  # type: ignore[override]  # the error tested
        return gradient


class Misshapen(ScaleBothWays):
    def backward(self, gradient: Array, output: Array, x: Array) -> tuple[Array, dict[str, Array]]:
        return gradient, {"factor": gradient}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            Careless(2),
            r"Careless 'own'.backward\(\) returned gradients of 1 inputs and of .* \[\]; .*factor",
        ),
        (Misshapen(2), r"Misshapen 'own'.backward\(\) returned a gradient of shape \[3, 2\] .* shape \[2\]"),
    ],
)
def test_a_wrong_backward_names_the_layer(layer: nn.Layer, sentence: str) -> None:
    network = nn.Sequential(own=layer).initialize("numpy")
    with pytest.raises(GradientError, match=sentence):
        nn.value_and_grad(network, lambda x: tensor.sum(network(x)))(tensor.ones((3, 2), device="numpy"))


class Wrapped(nn.Layer):
    """A layer with parameters of its own, around one that has some too."""

    def __init__(self) -> None:
        self.inner = nn.Linear(2, 2)
        self.factor = nn.Parameter((2,), nn.initialization.ones)

    def forward(self, x: Array) -> Array:
        return self.inner(x) * self.factor

    def backward(self, gradient: Array, output: Array, x: Array) -> tuple[Array, dict[str, Array]]:
        of_inner = gradient * self.factor
        return of_inner @ self.inner.weight, {
            "factor": tensor.sum(gradient * self.inner(x), axis=0),
            "inner.weight": of_inner.T @ x,
            "inner.bias": tensor.sum(of_inner, axis=0),
        }


def test_a_backward_of_ones_own_answers_for_the_layers_within() -> None:
    network = nn.Sequential(own=Wrapped()).initialize("numpy")
    x = numpy.random.default_rng(1).normal(size=(3, 2)).astype(numpy.float32)
    nn.check_gradient(network, tensor.asarray(x, device="numpy"))
