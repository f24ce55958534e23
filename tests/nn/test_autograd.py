"""The reverse walk: every rule against PyTorch, what is walked and when, and what has no gradient."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import nn
import tensor
from nn.autograd import differentiate, recording
from nn.errors import GradientError
from tensor import Array, Device

Function = Callable[[Any, Any, Any], Any]

# f(a, b, library), with a [3, 4] and b [4], both positive and without ties
FUNCTIONS: dict[str, Function] = {
    "add": lambda a, b, _: a + b,
    "subtract": lambda a, b, _: b - a,
    "multiply": lambda a, b, _: a * b,
    "divide": lambda a, b, _: a / b,
    "scalars": lambda a, b, _: 2.0 * a - 1.0 + 3.0 / b,
    "pow": lambda a, b, _: a**b,
    "pow scalar": lambda a, b, _: a**3 + b,
    "maximum": lambda a, b, x: x.maximum(a, b),
    "minimum": lambda a, b, x: x.minimum(a, b),
    "where": lambda a, b, x: x.where(a > b, a * 2.0, b),
    "negative and abs": lambda a, b, x: x.abs(b - a) - (-a),
    "exp log sqrt tanh": lambda a, b, x: x.exp(x.tanh(a)) + x.log(b) * x.sqrt(a),
    "relu": lambda a, b, x: x.relu(a - b),
    "reshape": lambda a, b, _: a.reshape(4, 3) * b.reshape(4, 1),
    "permute_dims": lambda a, b, _: a.T * b.reshape(4, 1),
    "index": lambda a, b, _: a[1:, ::2] * b[0] + a[0, 2],
    "index arrays": lambda a, b, _: a[[0, 2, 0, 0]] * b + a[[0, 1, 2, 0], [3, 3, 0, 3]],
    "index arrays apart": lambda a, b, _: a.reshape(3, 2, 2)[[1, 1], :, [0, 1]] * b[[3, 3]],
    "mask": lambda a, b, _: a[a > 1] * 2.0 + b[2],
    "index twice": lambda a, b, _: a[1] * a[2] + b,
    "sum": lambda a, b, x: x.sum(a * b, 1) * x.sum(b),
    "mean": lambda a, b, x: x.mean(a * b, 0) + x.mean(a),
    "matmul": lambda a, b, x: x.matmul(a, b.reshape(4, 1)),
    "matmul of transposed": lambda a, b, x: x.matmul(a.T, x.matmul(a, a.T)) + b.reshape(4, 1),
    "one array twice": lambda a, b, _: a * a + a + b * 0.0,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_every_rule_agrees_with_pytorch(
    function: Function, device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    values = [generator.uniform(0.5, 2, shape).astype(numpy.float32) for shape in [(3, 4), (4,)]]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    expected = function(*theirs, torch)
    weights = generator.standard_normal(tuple(expected.shape)).astype(numpy.float32)
    expected.backward(torch.tensor(weights))

    ours = [tensor.asarray(value, device=device) for value in values]
    found: dict[int, Array | None] = {}
    with recording(ours) as tape:
        output = function(*ours, tensor)
    differentiate(tape, output, tensor.asarray(weights, device=device), found.__setitem__)
    numpy.testing.assert_allclose(numpy.asarray(output), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    for index, wanted in enumerate(theirs):
        assert wanted.grad is not None
        got = numpy.asarray(found[index])
        assert got.shape == wanted.shape
        numpy.testing.assert_allclose(got, wanted.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_share_among_ties_as_pytorch_does(name: str, device: Device, torch: Any) -> None:
    value = numpy.array([[1, 3, 3], [2, 2, 1]], numpy.float32)
    theirs = torch.tensor(value, requires_grad=True)
    getattr(torch, f"a{name}")(theirs, 1).backward(torch.tensor([1.0, 2.0]))
    x = tensor.asarray(value, device=device)
    found: dict[int, Array | None] = {}
    with recording([x]) as tape:
        y = getattr(tensor, name)(x, axis=1)
    differentiate(
        tape, y, tensor.asarray(numpy.array([1, 2], numpy.float32), device=device), found.__setitem__
    )
    assert theirs.grad is not None
    numpy.testing.assert_allclose(numpy.asarray(found[0]), theirs.grad.numpy())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_softmax_cross_entropy(
    reduction: Any, device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    logits = (generator.standard_normal((6, 10)) * 5).astype(numpy.float32)
    labels = generator.integers(0, 10, 6).astype(numpy.int32)
    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels).long(), reduction=reduction)
    expected.backward()

    ours = tensor.asarray(logits, device=device)
    found: dict[int, Array | None] = {}
    with recording([ours]) as tape:
        loss = nn.softmax_cross_entropy(ours, tensor.asarray(labels, device=device), reduction)
    differentiate(tape, loss, tensor.ones((), dtype=tensor.float32, device=device), found.__setitem__)
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    assert theirs.grad is not None
    numpy.testing.assert_allclose(numpy.asarray(found[0]), theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_losses_one_by_one_and_accuracy(device: Device, torch: Any) -> None:
    logits = tensor.asarray(
        numpy.array([[0, 2, 0], [5, 0, 0], [0, 1, 3], [0, 9, 0]], numpy.float32), device=device
    )
    labels = tensor.asarray(numpy.array([1, 0, 1, 1], numpy.int32), device=device)
    losses = numpy.asarray(nn.softmax_cross_entropy(logits, labels, "none"))
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(numpy.asarray(logits)), torch.tensor([1, 0, 1, 1]), reduction="none"
    )
    numpy.testing.assert_allclose(losses, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert float(nn.accuracy(logits, labels)) == 0.75


def test_only_what_leads_to_a_parameter_is_walked() -> None:
    network = nn.Sequential(conv=nn.Conv2d(1, 2, 3)).initialize("numpy")
    step = nn.value_and_grad(network, lambda x: tensor.sum(network(x)))
    with tensor.recording_calls() as calls:
        step(tensor.ones((1, 5, 5, 1), device="numpy"))
    names = [call.primitive.name for call in calls]
    assert "conv2d_backward_weights" in names
    assert "conv2d_backward_data" not in names


def test_on_gradient_is_called_when_final_and_last_layer_first(device: Device) -> None:
    network = nn.models.lenet((8, 8, 1)).initialize(device, seed=1)
    seen: dict[str, Any] = {}

    def on_gradient(entry: nn.Entry) -> None:
        seen[entry.name] = numpy.asarray(network.gradient[entry.span])

    def loss(x: Array, labels: Array) -> Array:
        return nn.softmax_cross_entropy(network(x), labels)

    images = tensor.asarray(numpy.random.default_rng(0).random((3, 8, 8, 1), numpy.float32), device=device)
    labels = tensor.asarray(numpy.array([1, 2, 3], numpy.int32), device=device)
    _, gradients = nn.value_and_grad(network, loss, on_gradient)(images, labels)
    assert [name.split(".")[0] for name in seen] == [
        layer for layer in ("fc4", "fc3", "conv2", "conv1") for _ in range(2)
    ]
    for name, early in seen.items():
        assert numpy.array_equal(early, numpy.asarray(gradients[name]).ravel())
        assert early.any()


def test_a_layer_used_twice_is_final_after_its_first_use(device: Device) -> None:
    class Twice(nn.Layer):
        def __init__(self) -> None:
            self.shared = nn.Linear(3, 3)
            self.last = nn.Linear(3, 1)

        def forward(self, x: Array) -> Array:
            return self.last(self.shared(self.shared(x)))

    network = Twice().initialize(device)
    order: list[str] = []
    step = nn.value_and_grad(
        network, lambda x: tensor.sum(network(x)), lambda entry: order.append(entry.name)
    )
    step(tensor.ones((2, 3), device=device))
    assert sorted(order[:2]) == ["last.bias", "last.weight"]
    assert sorted(order[2:]) == ["shared.bias", "shared.weight"]
    nn.check_gradient(network, tensor.ones((2, 3), device=device))


def test_an_unused_parameter_has_gradient_zero(device: Device) -> None:
    class Partly(nn.Layer):
        def __init__(self) -> None:
            self.used = nn.Parameter((2,))
            self.idle = nn.Parameter((3,))

        def forward(self, x: Array) -> Array:
            return x * self.used

    network = Partly().initialize(device)
    network.gradient[...] = 7.0
    order: list[str] = []
    step = nn.value_and_grad(
        network, lambda x: tensor.sum(network(x)), lambda entry: order.append(entry.name)
    )
    _, gradients = step(tensor.ones((2,), device=device))
    assert numpy.asarray(gradients["idle"]).tolist() == [0, 0, 0]
    assert numpy.asarray(network.gradient).tolist() == [1, 1, 0, 0, 0]
    assert sorted(order) == ["idle", "used"]


@pytest.mark.parametrize(
    ("loss", "got"),
    [(lambda x: x, r"float32 \[3\]"), (lambda x: 1.0, "float"), (lambda x: tensor.argmax(x), r"int\d+ \[\]")],
)
def test_a_loss_must_be_a_scalar(loss: Callable[[Array], Any], got: str) -> None:
    network = nn.Sequential(nn.Linear(3, 3)).initialize("numpy")
    with pytest.raises(GradientError, match=f"A loss must be a float32 scalar, got {got}: take the mean"):
        nn.value_and_grad(network, loss)(tensor.ones((3,), device="numpy"))


def test_writing_in_place_is_refused(device: Device) -> None:
    """Silently it would lose the gradient of what was written."""
    network = nn.Sequential(nn.Linear(3, 3)).initialize(device)

    def loss(x: Array) -> Array:
        whole = tensor.zeros((2, 3), device=device)
        whole[0] = network(x)[0]
        return tensor.sum(whole)

    with pytest.raises(GradientError, match=r"assign wrote in place what depends on a parameter"):
        nn.value_and_grad(network, loss)(tensor.ones((1, 3), device=device))


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y.__setitem__((slice(None), 0), 1.0),
        lambda y: y.__setitem__([0, 1], 1.0),
        lambda y: y.__setitem__(y > 0, 1.0),
        lambda y: tensor.index_add(y, ([0, 1], [0, 0]), 1.0),
        lambda y: y.__iadd__(1.0),
    ],
    ids=["slice", "index array", "mask", "index_add", "operator"],
)
def test_writing_into_what_depends_on_a_parameter_is_refused(
    write: Callable[[Array], object], device: Device
) -> None:
    network = nn.Sequential(nn.Linear(3, 3)).initialize(device)

    def loss(x: Array) -> Array:
        y = network(x)
        write(y)
        return tensor.sum(y)

    with pytest.raises(GradientError, match="wrote in place what depends on a parameter"):
        nn.value_and_grad(network, loss)(tensor.ones((2, 3), device=device))


def test_a_recorded_step_is_a_step(device: Device, generator: numpy.random.Generator) -> None:
    """Replayed with other data, samples and learning rate, a recorded step does what plain steps do."""
    images = generator.random((4, 6, 8, 8, 1), numpy.float32)
    labels = generator.integers(0, 10, (4, 6)).astype(numpy.int32)

    def trained(recorded: bool) -> tuple[Any, list[tuple[str, bytes]]]:
        network = nn.Sequential(
            fc1=nn.Linear((8, 8, 1), 20), drop=nn.Dropout(0.5), relu=nn.ReLU(), fc2=nn.Linear(20, 10)
        ).initialize(device, seed=3)
        optimizer = nn.SGD(lr=0.1, momentum=0.9)
        optimizer.initialize(network.vector)
        x, y = (
            tensor.zeros((6, 8, 8, 1), device=device),
            tensor.zeros((6,), dtype=tensor.int32, device=device),
        )
        shipped: list[tuple[str, bytes]] = []

        def ship(entry: nn.Entry) -> None:
            shipped.append((entry.name, numpy.asarray(network.gradient[entry.span]).tobytes()))

        gradient = nn.value_and_grad(
            network,
            lambda x, y: nn.softmax_cross_entropy(network(x), y),
            ship,
        )

        def step() -> None:
            gradient(x, y)
            optimizer.step(network.vector, network.gradient)

        recording = None
        for number in range(4):
            x[...], y[...] = images[number], labels[number]
            network.randomness.set_step(number, range(6 * number, 6 * number + 6))
            optimizer.lr = 0.1 / (number + 1)
            if not recorded:
                step()
            elif recording is None:
                recording = tensor.record(step)
            else:
                recording.replay()
        return numpy.asarray(network.vector), shipped

    plain, plain_shipped = trained(recorded=False)
    replayed, replayed_shipped = trained(recorded=True)
    assert numpy.array_equal(plain, replayed)
    assert plain_shipped == replayed_shipped
    assert len(plain_shipped) == 16
