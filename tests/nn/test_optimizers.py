"""Optimizers against PyTorch's, the same bits on every device, and ten steps of LeNet."""

from collections.abc import Sequence
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

import nn
import tensor
from nn.errors import LayerShapeError, NetworkError
from nn.optimizers.norm import sum_of_squares
from tensor import Array, Device
from tests.nn.test_layers import DTYPES


def run_sgd(
    device: Device | str, vector: NDArray[numpy.float32], gradients: list[NDArray[numpy.float32]]
) -> tuple[NDArray[numpy.uint32], NDArray[numpy.uint32]]:
    """The bits of the vector and of the velocity after one step per gradient."""
    optimizer = nn.SGD(lr=0.03, momentum=0.9, weight_decay=0.01)
    parameters = tensor.asarray(vector, device=device)
    optimizer.initialize(parameters)
    for gradient in gradients:
        optimizer.step(parameters, tensor.asarray(gradient, device=device))
    velocity = numpy.asarray(optimizer.state["velocity"])
    return numpy.asarray(parameters).view(numpy.uint32), velocity.view(numpy.uint32)


def awkward(count: int, generator: numpy.random.Generator) -> NDArray[numpy.float32]:
    """Values of all sizes, denormals, both zeros and infinities among them, as bits fall."""
    values = generator.integers(0, 2**32, count, dtype=numpy.uint32).view(numpy.float32)
    values[numpy.isnan(values)] = 0  # which of the many NaNs comes out is the device's choice
    values[:6] = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38]
    return values


@pytest.mark.parametrize("kind", ["normal", "awkward"])
def test_all_devices_agree_in_every_bit(kind: str, device: Device, generator: numpy.random.Generator) -> None:
    def draw() -> NDArray[numpy.float32]:
        if kind == "awkward":
            return awkward(10_001, generator)
        return generator.standard_normal(10_001).astype(numpy.float32)

    vector, gradients = draw(), [draw() for _ in range(3)]
    with numpy.errstate(all="ignore"):
        expected, expected_velocity = run_sgd("numpy", vector, gradients)
        got, velocity = run_sgd(device, vector, gradients)
    finite = ~numpy.isnan(expected.view(numpy.float32))
    assert finite.mean() > 0.8
    assert numpy.array_equal(got[finite], expected[finite])
    finite = ~numpy.isnan(expected_velocity.view(numpy.float32))
    assert numpy.array_equal(velocity[finite], expected_velocity[finite])


def test_no_denormal_is_left(device: Device, generator: numpy.random.Generator) -> None:
    tiny = (generator.standard_normal(1000) * 1e-38).astype(numpy.float32)
    for bits in run_sgd(device, tiny, [tiny, tiny]):
        values = bits.view(numpy.float32)
        assert not ((values != 0) & (numpy.abs(values) < numpy.finfo(numpy.float32).smallest_normal)).any()
        assert not (bits == 0x80000000).any()


def test_follows_pytorch(device: Device, generator: numpy.random.Generator, torch: Any) -> None:
    vector = generator.standard_normal(1000).astype(numpy.float32)
    gradients = [generator.standard_normal(1000).astype(numpy.float32) for _ in range(10)]
    theirs = torch.nn.Parameter(torch.tensor(vector))
    optimizer = torch.optim.SGD([theirs], lr=0.03, momentum=0.9, weight_decay=0.01)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    got, _ = run_sgd(device, vector, gradients)
    numpy.testing.assert_allclose(got.view(numpy.float32), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_learning_rate_can_be_changed(device: Device) -> None:
    optimizer = nn.SGD(lr=1.0)
    vector, gradient = tensor.zeros((3,), device=device), tensor.ones((3,), device=device)
    optimizer.initialize(vector)
    optimizer.step(vector, gradient)
    optimizer.lr = 0.25
    optimizer.step(vector, gradient)
    assert numpy.asarray(vector).tolist() == [-1.25] * 3
    assert optimizer.lr == 0.25


def test_definition_round_trip() -> None:
    optimizer = nn.SGD(lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert nn.load_optimizer(optimizer.definition()).definition() == optimizer.definition()
    with pytest.raises(NetworkError, match=r"no optimizer of type 'lion'. Known are: sgd, adam"):
        nn.load_optimizer({"type": "lion"})
    with pytest.raises(NetworkError, match="no optimizer of type"):
        nn.load_optimizer({"type": ["sgd"]})
    for params in ({"lr": "fast"}, {"rate": 1}, []):
        with pytest.raises(NetworkError, match=r"optimizer .*sgd.* cannot be made: "):
            nn.load_optimizer({"type": "sgd", "params": params})


def test_misuse_gets_a_sentence() -> None:
    with pytest.raises(NetworkError, match="got lr=-1"):
        nn.SGD(lr=-1)
    with pytest.raises(NetworkError, match="momentum=1"):
        nn.SGD(lr=1, momentum=1)
    x = tensor.zeros((2,), device="numpy")
    with pytest.raises(NetworkError, match=r"call optimizer.initialize\(network.vector\) first"):
        nn.SGD(lr=1).step(x, x)
    optimizer = nn.SGD(lr=1)
    optimizer.initialize(x)
    with pytest.raises(LayerShapeError, match=r"expected .* of shape \[2\], got \[2\] and \[1\]"):
        optimizer.step(x, x[:1])


def as_torch(value: Array) -> NDArray[numpy.float32]:
    """Our weights [O, H, W, I] in PyTorch's order [O, I, H, W]; others as they are."""
    host = numpy.asarray(value)
    return host.transpose(0, 3, 1, 2).copy() if host.ndim == 4 else host


def test_ten_steps_of_lenet_agree_with_pytorch(
    device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    """Weights differ by 1e-7, unless a rounding error decides a near tie of a pooling or a ReLU.

    Then one sample's gradient goes elsewhere, as it also does between PyTorch in float32 and in float64: that
    moved weights by up to 1.1e-4 at lr 0.01 (six seeds), hence the smaller rate here.
    """
    functional = torch.nn.functional
    images = generator.random((10, 32, 28, 28, 1), numpy.float32)
    labels = generator.integers(0, 10, (10, 32)).astype(numpy.int32)
    network = nn.models.lenet().initialize(device, seed=2)
    optimizer = nn.SGD(lr=0.003, momentum=0.9, weight_decay=5e-4)
    optimizer.initialize(network.vector)
    step = nn.value_and_grad(network, lambda x, y: nn.softmax_cross_entropy(network(x), y))
    theirs = {
        name: torch.nn.Parameter(torch.tensor(as_torch(value)))
        for name, value in network.parameters().items()
    }
    their_optimizer = torch.optim.SGD(theirs.values(), lr=0.003, momentum=0.9, weight_decay=5e-4)

    def logits(x: Any) -> Any:
        x = functional.conv2d(x.permute(0, 3, 1, 2), theirs["conv1.weight"], theirs["conv1.bias"])
        x = functional.conv2d(functional.max_pool2d(x, 2), theirs["conv2.weight"], theirs["conv2.bias"])
        x = functional.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)  # our order: height, width, channels
        x = torch.relu(functional.linear(x, theirs["fc3.weight"], theirs["fc3.bias"]))
        return functional.linear(x, theirs["fc4.weight"], theirs["fc4.bias"])

    for x, y in zip(images, labels, strict=True):
        loss, _ = step(tensor.asarray(x, device=device), tensor.asarray(y, device=device))
        optimizer.step(network.vector, network.gradient)
        their_optimizer.zero_grad()
        their_loss = functional.cross_entropy(logits(torch.tensor(x)), torch.tensor(y).long())
        their_loss.backward()
        their_optimizer.step()
        assert float(loss) == pytest.approx(their_loss.item(), abs=1e-4)
    for name, ours in network.parameters().items():
        numpy.testing.assert_allclose(as_torch(ours), theirs[name].detach().numpy(), atol=1e-4, rtol=0)


# All optimizers

EACH: list[Any] = [
    pytest.param(lambda **o: nn.SGD(0.03, 0.9, 0.01, nesterov=True, **o), "SGD",
                 {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}, id="nesterov"),
    pytest.param(lambda **o: nn.Adam(0.01, weight_decay=0.1, **o), "Adam", {"lr": 0.01, "weight_decay": 0.1},
                 id="adam"),
    pytest.param(lambda **o: nn.AdamW(0.01, **o), "AdamW", {"lr": 0.01}, id="adamw"),
    pytest.param(lambda **o: nn.RMSprop(0.01, momentum=0.5, **o), "RMSprop", {"lr": 0.01, "momentum": 0.5},
                 id="rmsprop"),
]  # fmt: skip


def stepped(
    optimizer: nn.Optimizer,
    device: Device | str,
    vector: NDArray[numpy.float32],
    gradients: list[Any],
    table: Sequence[nn.Entry] = (),
) -> list[NDArray[numpy.float32]]:
    """The vector and the optimizer's state after one step per gradient."""
    parameters = tensor.asarray(vector, device=device)
    optimizer.initialize(parameters, table)
    for gradient in gradients:
        optimizer.step(parameters, tensor.asarray(gradient, device=device))
    return [numpy.asarray(each) for each in (parameters, *optimizer.state.values())]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "name", "options"), EACH)
def test_each_follows_pytorchs(
    dtype: str,
    make: Any,
    name: str,
    options: dict[str, Any],
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
) -> None:
    vector = generator.standard_normal(5000).astype(dtype)
    gradients = [generator.standard_normal(5000).astype(dtype) for _ in range(10)]
    theirs = torch.nn.Parameter(torch.tensor(vector))
    optimizer = getattr(torch.optim, name)([theirs], **options)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([theirs], 30.0)
        torch.nn.utils.clip_grad_value_([theirs], 0.5)
        optimizer.step()
    got, *_ = stepped(make(clip_norm=30.0, clip_value=0.5), device, vector, gradients)
    digits = 1e-5 if dtype == "float32" else 1e-11
    numpy.testing.assert_allclose(got, theirs.detach().numpy(), rtol=10 * digits, atol=digits)


LAMB = pytest.param(lambda **o: nn.LAMB(0.01, **o), "", {}, id="lamb")


@pytest.mark.parametrize(("make", "name", "options"), [*EACH, LAMB])
@pytest.mark.parametrize("kind", ["normal", "awkward", "float64"])
def test_each_has_the_same_bits_on_all_devices(
    make: Any, name: str, options: Any, kind: str, device: Device, generator: numpy.random.Generator
) -> None:
    def draw() -> NDArray[numpy.float32]:
        if kind == "awkward":
            return numpy.clip(awkward(10_001, generator), -1e15, 1e15)
        if kind == "float64":  # denormals among them
            return numpy.ldexp(generator.standard_normal(10_001), generator.integers(-1060, 9, 10_001))
        return generator.standard_normal(10_001).astype(numpy.float32)

    vector, gradients = draw(), [draw() for _ in range(3)]
    for clipping in ({}, {"clip_norm": 5.0, "clip_value": 0.5}):
        with numpy.errstate(all="ignore"):
            expected = stepped(make(**clipping), "numpy", vector, gradients)
            got = stepped(make(**clipping), device, vector, gradients)
        for one, other in zip(got, expected, strict=True):
            known = ~numpy.isnan(other)
            assert known.mean() > 0.8
            assert one[known].tobytes() == other[known].tobytes()


def table_of(*sizes: int) -> list[nn.Entry]:
    """A network's table with parameters of these sizes."""
    ends = numpy.cumsum(sizes).tolist()
    return [nn.Entry(f"p{size}", (size,), end - size, size) for size, end in zip(sizes, ends, strict=True)]


def lamb_of_the_paper(
    parameters: list[NDArray[numpy.float64]], gradients: list[list[NDArray[numpy.float64]]]
) -> list[NDArray[numpy.float64]]:
    """Algorithm 2 of You and others, 2019, in its own names and float64, with its defaults for BERT."""
    beta1, beta2, epsilon, decay, eta = 0.9, 0.999, 1e-6, 0.01, 0.03
    m, v = ([numpy.zeros_like(x) for x in parameters] for _ in range(2))
    for t, g in enumerate(gradients, 1):
        for i, x in enumerate(parameters):
            m[i] = beta1 * m[i] + (1 - beta1) * g[i]
            v[i] = beta2 * v[i] + (1 - beta2) * g[i] ** 2
            r = (m[i] / (1 - beta1**t)) / (numpy.sqrt(v[i] / (1 - beta2**t)) + epsilon)
            u = r + decay * x
            norms = numpy.linalg.norm(x), numpy.linalg.norm(u)
            parameters[i] = x - eta * (norms[0] / norms[1] if all(norms) else 1.0) * u
    return parameters


@pytest.mark.parametrize("dtype", DTYPES)
def test_lamb_is_the_papers(dtype: str, device: Device, generator: numpy.random.Generator) -> None:
    """Parameters of one element, of zeros, without gradient, and of several pieces, one after the other."""
    table = table_of(1, 300, 64, 16_384, 16_385, 40_001, 7)
    vector = generator.standard_normal(table[-1].span.stop).astype(dtype)
    vector[table[1].span] *= 30
    vector[table[2].span] = vector[table[6].span] = 0
    gradients = [generator.standard_normal(vector.size).astype(dtype) for _ in range(5)]
    for gradient in gradients:
        gradient[table[6].span] = 0
    parts = [[each[entry.span].astype(numpy.float64) for entry in table] for each in (vector, *gradients)]
    expected = numpy.concatenate(lamb_of_the_paper(parts[0], parts[1:]))
    optimizer = nn.load_optimizer(nn.LAMB(lr=0.03).definition())
    got, *_ = stepped(optimizer, device, vector, gradients, table)
    digits = 2e-6 if dtype == "float32" else 1e-12
    numpy.testing.assert_allclose(got, expected, rtol=10 * digits, atol=digits)


@pytest.mark.parametrize("size", [1, 255, 257, 16_385, 4_210_000])
def test_lamb_has_the_same_bits_on_all_devices(
    size: int, device: Device, generator: numpy.random.Generator
) -> None:
    vector, gradient = (generator.standard_normal(size + 9).astype(numpy.float32) for _ in range(2))
    got, expected = (
        stepped(nn.LAMB(0.1), each, vector, [gradient], table_of(5, size, 4)) for each in (device, "numpy")
    )
    assert [each.tobytes() for each in got] == [each.tobytes() for each in expected]


def test_lamb_launches_as_often_for_any_network(device: Device) -> None:
    def launches(*sizes: int) -> int:
        vector = tensor.ones((sum(sizes),), device=device)
        optimizer = nn.LAMB(0.1)
        optimizer.initialize(vector, table_of(*sizes))
        return len(tensor.record(lambda: optimizer.step(vector, vector.copy()), device=tensor.device(device)))

    assert launches(3) == launches(*[7] * 50, 100_000)
    assert launches(3) <= 3  # averages, moving; and the copy


def test_lamb_wants_the_table_of_the_vector_that_it_is_given() -> None:
    with pytest.raises(NetworkError, match="a vector of 5 elements, got one of 7"):
        nn.LAMB().initialize(tensor.zeros((5,), device="numpy"), table_of(3, 4))


def test_clipping_by_value_bounds_each_element(device: Device) -> None:
    gradient = numpy.array([5, -5, 0.25, numpy.inf], numpy.float32)
    (got,) = stepped(nn.SGD(lr=1.0, clip_value=0.5), device, numpy.zeros(4, numpy.float32), [gradient])[:1]
    assert got.tolist() == [-0.5, 0.5, -0.25, -0.5]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 4096, 4097, 300_000])
def test_the_sum_of_squares_is_right_and_the_same_everywhere(
    count: int, device: Device, generator: numpy.random.Generator
) -> None:
    x = generator.standard_normal(count).astype(numpy.float32)
    total = numpy.asarray(sum_of_squares(tensor.asarray(x, device=device)))
    assert total.tobytes() == numpy.asarray(sum_of_squares(tensor.asarray(x, device="numpy"))).tobytes()
    assert float(total[0]) == pytest.approx(float((x.astype(numpy.float64) ** 2).sum()), rel=1e-5)


def test_a_recorded_step_of_adam_goes_on_counting(device: Device, generator: numpy.random.Generator) -> None:
    vector, gradient = (generator.standard_normal(100).astype(numpy.float32) for _ in range(2))
    expected, *_ = stepped(nn.Adam(0.1), device, vector, [gradient] * 3)
    optimizer = nn.Adam(0.1)
    parameters, slope = tensor.asarray(vector, device=device), tensor.asarray(gradient, device=device)
    optimizer.initialize(parameters)
    recording = tensor.record(lambda: optimizer.step(parameters, slope), device=tensor.device(device))
    for _ in range(2):
        recording.replay()
    assert numpy.asarray(parameters).tobytes() == expected.tobytes()


def test_schedules() -> None:
    def factors(schedule: nn.Schedule, *steps: int) -> list[float]:
        return [round(schedule(step), 6) for step in steps]

    assert factors(nn.Schedule(), 1, 1000) == [1, 1]
    assert factors(nn.Schedule("step", every=10), 1, 10, 11, 21) == [1, 1, 0.1, 0.01]
    assert factors(nn.Schedule("linear", steps=10, end=0.5), 1, 6, 11, 99) == [1, 0.75, 0.5, 0.5]
    assert factors(nn.Schedule("cosine", steps=12, warmup=2), 1, 2, 3, 8, 13) == [0.5, 1, 1, 0.5, 0]
    assert factors(nn.Schedule("one_cycle", steps=100), 1, 30, 100, 101) == [0.04, 1, 0.0001, 0.0001]
    for fraction in numpy.linspace(0, 1, 101):
        assert nn.Schedule("cosine", steps=100)(1 + round(100 * fraction)) == pytest.approx(
            (1 + numpy.cos(numpy.pi * fraction)) / 2, abs=1e-12
        )


def test_schedules_are_pytorchs(torch: Any) -> None:
    of = torch.optim.lr_scheduler
    pairs: list[tuple[nn.Schedule, Any]] = [
        (nn.Schedule("step", every=7, factor=0.5), lambda o: of.StepLR(o, 7, gamma=0.5)),
        (nn.Schedule("linear", steps=20, end=0.1), lambda o: of.LinearLR(o, 1.0, 0.1, total_iters=20)),
        (nn.Schedule("cosine", steps=40, end=0.1), lambda o: of.CosineAnnealingLR(o, 40, eta_min=0.1)),
        (nn.Schedule(warmup=10), lambda o: of.LinearLR(o, 0.1, 1.0, total_iters=9)),
        (
            nn.Schedule("cosine", steps=40, warmup=8),
            lambda o: of.SequentialLR(
                o, [of.LinearLR(o, 1 / 8, 1.0, total_iters=7), of.CosineAnnealingLR(o, 32)], [8]
            ),
        ),
        (
            nn.Schedule("one_cycle", steps=40),
            lambda o: of.OneCycleLR(o, 1.0, total_steps=40, final_div_factor=400.0),
        ),
    ]
    for ours, make in pairs:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = make(optimizer)
        for step in range(1, 41):
            assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), (ours, step)
            if step < 40:
                optimizer.step()
                theirs.step()


def test_an_optimizer_goes_by_its_schedule(device: Device) -> None:
    optimizer = nn.SGD(lr=2.0, schedule=nn.Schedule("step", every=1, factor=0.5))
    again = nn.load_optimizer(optimizer.definition())
    vector = tensor.zeros((1,), device=device)
    again.initialize(vector)
    for step in (1, 2, 3):
        again.at_step(step)
        again.step(vector, tensor.ones((1,), device=device))
    assert float(vector[0]) == -(2 + 1 + 0.5)
    assert again.definition() == optimizer.definition()
    assert repr(optimizer).startswith("SGD(lr=2.0, momentum=0.0, weight_decay=0.0, schedule=")


@nn.register_optimizer
class Lion(nn.Optimizer):
    """As the docstring of nn.Optimizer has it."""

    type_name = "test_lion"
    vectors = ("average",)

    def __init__(self, lr: float, decay: float = 0.5, **options: Any) -> None:
        super().__init__(lr, {"decay": decay}, **options)

    def update(self, w: Any, g: Any, state: Any, numbers: Any) -> Any:
        average = state["average"] * numbers["decay"] + g * (numbers["one"] - numbers["decay"])
        return w - average * numbers["lr"], {"average": average}


def test_an_optimizer_of_ones_own(device: Device) -> None:
    optimizer = nn.load_optimizer({"type": "test_lion", "params": {"lr": 1.0}})
    got, average = stepped(
        optimizer, device, numpy.zeros(2, numpy.float32), [numpy.array([1, 2], numpy.float32)] * 2
    )
    assert average.tolist() == [0.75, 1.5]
    assert got.tolist() == [-1.25, -2.5]
    with pytest.raises(NetworkError, match="Nameless needs a type_name of its own"):

        @nn.register_optimizer
        class Nameless(nn.Optimizer):
            """Whatever."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Adam(beta1=1.0), "Adam expected .* betas within"),
        (lambda: nn.AdamW(eps=0), "AdamW expected .* eps > 0"),
        (lambda: nn.RMSprop(alpha=-1), "RMSprop expected .* alpha and momentum"),
        (lambda: nn.SGD(0.1, clip_norm=0), "expected clip_norm > 0, got 0"),
        (lambda: nn.Schedule("sine"), "no schedule 'sine'. Known are: constant, step"),
        (lambda: nn.Schedule("cosine"), "'cosine' expected steps ≥ 1"),
        (lambda: nn.SGD(0.1, schedule={"speed": 3}), "schedule .* cannot be made"),
    ],
)
def test_impossible_numbers_are_refused(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()
