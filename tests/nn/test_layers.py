"""Every layer against PyTorch and finite differences; wrong shapes named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

import nn
import tensor
from nn.autograd import differentiate, recording
from nn.errors import GradientError, LayerShapeError, NetworkError, NotInitializedError
from nn.follow import follow
from tensor import Array, Device

Floats = NDArray[Any]
DTYPES = ["float32", "float64"]


def distinct(shape: tuple[int, ...], generator: numpy.random.Generator) -> Floats:
    """Random order, no two values closer than 0.1, none within 0.05 of 0: no kink is near."""
    count = int(numpy.prod(shape))
    return ((generator.permutation(count) - count // 2 + 0.5) * 0.1).astype(numpy.float32).reshape(shape)


def channels_first(x: Any) -> Any:
    return x.permute(0, 3, 1, 2)


def channels_last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)


# The references: (PyTorch, our layer) to a function of PyTorch's tensors


def convolution(torch: Any, layer: nn.Conv2d) -> Callable[..., Any]:
    def run(x: Any, weight: Any, *bias: Any) -> Any:
        y = torch.nn.functional.conv2d(
            channels_first(x),
            channels_first(weight),
            *bias,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        return channels_last(y)

    return run


def transposed(torch: Any, layer: nn.ConvTranspose2d) -> Callable[..., Any]:
    def run(x: Any, weight: Any, *bias: Any) -> Any:
        y = torch.nn.functional.conv_transpose2d(
            channels_first(x),
            channels_first(weight),
            *bias,
            stride=layer.stride,
            padding=layer.padding,
            output_padding=layer.output_padding,
            groups=layer.groups,
        )
        return channels_last(y)

    return run


def pooling(kind: str, *arguments: Any, **options: Any) -> Callable[[Any, nn.Layer], Callable[[Any], Any]]:
    def reference(torch: Any, layer: nn.Layer) -> Callable[[Any], Any]:
        pool = getattr(torch.nn, kind)(*arguments, **options)
        return lambda x: channels_last(pool(channels_first(x)))

    return reference


def linear(torch: Any, layer: nn.Linear) -> Callable[..., Any]:
    return lambda x, *parameters: torch.nn.functional.linear(x.reshape(x.shape[0], -1), *parameters)


def of_torch(name: str, *arguments: Any, **options: Any) -> Callable[[Any, nn.Layer], Callable[[Any], Any]]:
    return lambda torch, layer: lambda x: getattr(torch.nn.functional, name)(x, *arguments, **options)


def normalized(name: str, *arguments: Any, **options: Any) -> Callable[[Any, nn.Layer], Callable[..., Any]]:
    def reference(torch: Any, layer: nn.Layer) -> Callable[..., Any]:
        return lambda x, *parameters: getattr(torch.nn.functional, name)(
            x, *arguments, *parameters, **options
        )

    return reference


def batch_norm(torch: Any, layer: nn.BatchNorm) -> Callable[..., Any]:
    def run(x: Any, weight: Any, bias: Any) -> Any:
        y = torch.nn.functional.batch_norm(channels_first(x), None, None, weight, bias, True, eps=layer.eps)
        return channels_last(y)

    return run


def group_norm(torch: Any, layer: nn.GroupNorm) -> Callable[..., Any]:
    return lambda x, w, b: channels_last(
        torch.nn.functional.group_norm(channels_first(x), layer.groups, w, b)
    )


CASES: list[Any] = [
    pytest.param(lambda: nn.Conv2d(3, 4, 3), convolution, (2, 6, 5, 3), id="convolution"),
    pytest.param(lambda: nn.Conv2d(1, 20, 5), convolution, (2, 9, 9, 1), id="convolution one channel"),
    pytest.param(
        lambda: nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), bias=False),
        convolution,
        (2, 7, 6, 3),
        id="convolution stride and padding",
    ),
    pytest.param(
        lambda: nn.Conv2d(4, 4, 3, 2, 1, groups=4), convolution, (2, 7, 6, 4), id="convolution depthwise"
    ),
    pytest.param(
        lambda: nn.Conv2d(4, 6, (3, 2), 1, 2, dilation=(2, 1), groups=2),
        convolution,
        (2, 5, 6, 4),
        id="convolution dilated groups",
    ),
    pytest.param(lambda: nn.ConvTranspose2d(3, 4, 2, 2), transposed, (2, 3, 4, 3), id="transposed"),
    pytest.param(
        lambda: nn.ConvTranspose2d(4, 6, 3, (2, 1), (1, 2), (1, 0), groups=2, bias=False),
        transposed,
        (2, 3, 4, 4),
        id="transposed groups and output padding",
    ),
    pytest.param(
        lambda: nn.MaxPool2d(2),
        pooling("MaxPool2d", 2, ceil_mode=True),
        (2, 5, 6, 3),
        id="max",
    ),
    pytest.param(
        lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=False),
        pooling("MaxPool2d", 3, 2, 1),
        (2, 7, 6, 3),
        id="max rounded down",
    ),
    pytest.param(
        lambda: nn.AvgPool2d((3, 2), (2, 3), (1, 0)),
        pooling("AvgPool2d", (3, 2), (2, 3), (1, 0)),
        (2, 7, 8, 3),
        id="average",
    ),
    pytest.param(
        lambda: nn.AvgPool2d(3, 2, 1, True, count_include_pad=False),
        pooling("AvgPool2d", 3, 2, 1, True, False),
        (2, 6, 5, 3),
        id="average of the inside",
    ),
    pytest.param(
        lambda: nn.GlobalMaxPool2d(),
        lambda torch, layer: lambda x: x.amax((1, 2)),
        (2, 4, 3, 5),
        id="global max",
    ),
    pytest.param(
        lambda: nn.GlobalAvgPool2d(),
        lambda torch, layer: lambda x: x.mean((1, 2)),
        (2, 4, 3, 5),
        id="global average",
    ),
    pytest.param(
        lambda: nn.Reshape((2, 6)),
        lambda torch, layer: lambda x: x.reshape(-1, 2, 6),
        (3, 4, 3),
        id="reshape",
    ),
    pytest.param(
        lambda: nn.Upsample((2, 3)),
        pooling("Upsample", scale_factor=(2, 3)),
        (2, 3, 4, 2),
        id="upsample nearest",
    ),
    pytest.param(
        lambda: nn.Upsample((2, 3), "bilinear"),
        pooling("Upsample", scale_factor=(2, 3), mode="bilinear"),
        (2, 3, 4, 2),
        id="upsample bilinear",
    ),
    pytest.param(
        lambda: nn.Upsample((1, 4), "bilinear"),
        pooling("Upsample", scale_factor=(1, 4), mode="bilinear"),
        (1, 2, 1, 3),
        id="upsample one column",
    ),
    pytest.param(
        lambda: nn.ZeroPad2d((1, 0), (2, 3)),
        pooling("ZeroPad2d", padding=(0, 3, 1, 2)),
        (2, 3, 4, 2),
        id="padding",
    ),
    pytest.param(lambda: nn.Linear(12, 5), linear, (3, 12), id="linear"),
    pytest.param(lambda: nn.Linear((2, 3, 2), 5), linear, (3, 2, 3, 2), id="linear of images"),
    pytest.param(lambda: nn.Linear(12, 5, bias=False), linear, (3, 12), id="linear no bias"),
    pytest.param(lambda: nn.ReLU(), lambda torch, layer: torch.relu, (3, 4), id="relu"),
    pytest.param(lambda: nn.ReLU6(), of_torch("relu6"), (20, 8), id="relu6"),
    pytest.param(lambda: nn.LeakyReLU(0.1), of_torch("leaky_relu", 0.1), (3, 4), id="leaky relu"),
    pytest.param(lambda: nn.Sigmoid(), of_torch("sigmoid"), (3, 4), id="sigmoid"),
    pytest.param(lambda: nn.Tanh(), of_torch("tanh"), (3, 4), id="tanh"),
    pytest.param(lambda: nn.SiLU(), of_torch("silu"), (3, 4), id="silu"),
    pytest.param(lambda: nn.GELU(), of_torch("gelu"), (20, 8), id="gelu"),
    pytest.param(lambda: nn.GELU("tanh"), of_torch("gelu", approximate="tanh"), (3, 4), id="gelu by tanh"),
    pytest.param(lambda: nn.Softmax(1), of_torch("softmax", 1), (3, 4, 2), id="softmax"),
    pytest.param(lambda: nn.BatchNorm(3), batch_norm, (4, 2, 3, 3), id="batch norm"),
    pytest.param(lambda: nn.LayerNorm((3, 4)), normalized("layer_norm", (3, 4)), (2, 3, 4), id="layer norm"),
    pytest.param(lambda: nn.GroupNorm(2, 4), group_norm, (3, 2, 3, 4), id="group norm"),
    pytest.param(lambda: nn.RMSNorm(4), normalized("rms_norm", (4,), eps=1e-6), (3, 4), id="rms norm"),
    pytest.param(lambda: nn.Flatten(), lambda torch, layer: lambda x: x.flatten(1), (3, 4, 2), id="flatten"),
]


def gradients_of(layer: nn.Layer, x: Array, gradient: Floats) -> tuple[Floats, list[Floats]]:
    """The output, and the gradients of the input and of all parameters, in this order."""
    sources = [x, *layer.parameters().values()]
    found: dict[int, Floats] = {}

    def receive(index: int, value: Array | None) -> None:
        assert value is not None
        found[index] = numpy.asarray(value)

    with recording(sources) as tape:
        y = layer(x)
    differentiate(tape, y, tensor.asarray(gradient, device=y.device), receive)
    assert not tape.steps
    return numpy.asarray(y), [found[index] for index in range(len(sources))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "reference", "shape"), CASES)
def test_agrees_with_pytorch(
    make: Callable[[], nn.Layer],
    reference: Any,
    shape: tuple[int, ...],
    dtype: str,
    device: Device,
    generator: numpy.random.Generator,
    torch: Any,
) -> None:
    layer = make().initialize(device, seed=5, dtype=dtype)
    x = distinct(shape, generator).astype(dtype)
    tensors = [torch.tensor(x), *(torch.tensor(numpy.asarray(p)) for p in layer.parameters().values())]
    for each in tensors:
        each.requires_grad_()
    expected = reference(torch, layer)(*tensors)
    gradient = generator.standard_normal(tuple(expected.shape)).astype(dtype)
    expected.backward(torch.tensor(gradient))

    got, gradients = gradients_of(layer, tensor.asarray(x, device=device), gradient)
    digits = 1e-5 if dtype == "float32" else 1e-12
    numpy.testing.assert_allclose(got, expected.detach().numpy(), rtol=digits, atol=10 * digits)
    for each, wanted in zip(gradients, tensors, strict=True):
        assert wanted.grad is not None
        assert each.dtype == dtype
        scale = float(wanted.grad.abs().max())
        numpy.testing.assert_allclose(each, wanted.grad.numpy(), rtol=digits, atol=digits * max(scale, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "reference", "shape"), CASES)
def test_agrees_with_finite_differences(
    make: Callable[[], nn.Layer],
    reference: Any,
    shape: tuple[int, ...],
    dtype: str,
    device: Device,
    generator: numpy.random.Generator,
) -> None:
    layer = make().initialize(device, seed=5, dtype=dtype)
    x = tensor.asarray(distinct(shape, generator).astype(dtype), device=device)
    nn.check_gradient(layer, x, elements=8 if dtype == "float32" else 2)


def test_the_check_finds_a_wrong_gradient() -> None:
    class Wrong(nn.Layer):
        def forward(self, x: Array) -> Array:
            return x * x

        def backward(self, gradient: Array, output: Array, x: Array) -> Array:
            return gradient * x

    layer = Wrong().initialize("numpy")
    with pytest.raises(
        GradientError, match=r"The gradient of input 0\[\d+\] in Wrong is .*; finite differences"
    ):
        nn.check_gradient(layer, tensor.asarray(numpy.ones(4, numpy.float32), device="numpy"))


@pytest.mark.parametrize(
    ("make", "shape", "sentence"),
    [
        (
            lambda: nn.Conv2d(1, 2, 5),
            (2, 28, 28, 3),
            r"Conv2d 'only' expected .* \[N, ≥5, ≥5, 1\], got \[2, 28, 28, 3\]",
        ),
        (
            lambda: nn.Conv2d(1, 2, 5, padding=1),
            (2, 2, 9, 1),
            r"Conv2d 'only' expected .*≥3, ≥3, 1\], got \[2, 2, 9, 1\]",
        ),
        (
            lambda: nn.MaxPool2d(3),
            (2, 2, 3, 1),
            r"MaxPool2d 'only' expected .* \[N, ≥3, ≥3, C\], got \[2, 2, 3, 1\]",
        ),
        (lambda: nn.AvgPool2d(2), (4, 4), r"AvgPool2d 'only' expected .* \[N, ≥2, ≥2, C\], got \[4, 4\]"),
        (lambda: nn.Reshape((2, 3)), (4, 5), r"Reshape 'only' expected .* of 6 elements a sample, got"),
        (lambda: nn.Upsample(), (4, 5), r"Upsample 'only' expected .* \[N, ≥1, ≥1, C\], got \[4, 5\]"),
        (lambda: nn.GlobalMaxPool2d(), (4, 5), r"GlobalMaxPool2d 'only' expected .*, got \[4, 5\]"),
        (lambda: nn.Linear((2, 3), 5), (7, 6), r"Linear 'only' expected .* \[N, 2, 3\], got \[7, 6\]"),
    ],
)
def test_a_wrong_shape_names_the_layer(
    make: Callable[[], nn.Layer], shape: tuple[int, ...], sentence: str
) -> None:
    network = nn.Sequential(only=make()).initialize("numpy")
    with pytest.raises(LayerShapeError, match=sentence):
        network(tensor.zeros(shape, device="numpy"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(0, 2, 3),
        lambda: nn.Conv2d(1, 2, (3, 0)),
        lambda: nn.Conv2d(1, 2, 3, padding=-1),
        lambda: nn.Conv2d(1, 2, 3, dilation=0),
        lambda: nn.Conv2d(1, 2, 3, groups=0),
        lambda: nn.ConvTranspose2d(1, 2, 3, stride=0),
        lambda: nn.Linear((3, 0), 2),
        lambda: nn.MaxPool2d(0),
        lambda: nn.AvgPool2d(2, stride=0),
        lambda: nn.Reshape((2, 0)),
        lambda: nn.Upsample((1, 0)),
    ],
)
def test_sizes_of_nothing_are_refused(make: Callable[[], nn.Layer]) -> None:
    with pytest.raises(
        NetworkError,
        match=r"at least 1.*; got (Conv2d|ConvTranspose2d|Linear|MaxPool2d|AvgPool2d|Reshape|Upsample)\(",
    ):
        make()


def test_a_padding_below_zero_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"at least 0; got ZeroPad2d\(before=0, after=\(0, -1\)\)"):
        nn.ZeroPad2d(0, (0, -1))


def test_an_unknown_way_to_upsample_is_refused() -> None:
    with pytest.raises(NetworkError, match="a mode of nearest or bilinear, got 'bicubic'"):
        nn.Upsample(2, "bicubic")


def test_a_wide_padding_is_refused() -> None:
    with pytest.raises(
        NetworkError, match=r"MaxPool2d expected a padding of at most half the window \(2, 2\)"
    ):
        nn.MaxPool2d(2, padding=2)


def test_groups_and_output_padding_that_do_not_fit_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"Conv2d\(.*expected channels that are multiples of its groups"):
        nn.Conv2d(4, 3, 1, groups=2)
    with pytest.raises(NetworkError, match="an output_padding of at least 0, less than the stride"):
        nn.ConvTranspose2d(1, 1, 3, stride=2, output_padding=2)
    network = nn.Sequential(only=nn.ConvTranspose2d(1, 1, 1, padding=1)).initialize("numpy")
    with pytest.raises(
        LayerShapeError, match=r"'only' expected .*, 1\] that leaves pixels, got \[1, 2, 2, 1\]"
    ):
        network(tensor.zeros((1, 2, 2, 1), device="numpy"))


def test_a_layer_without_memory_says_what_to_call() -> None:
    network = nn.models.lenet()
    with pytest.raises(NotInitializedError, match=r"Conv2d.*no weight yet: call network.initialize\(\)"):
        network(tensor.zeros((1, 28, 28, 1), device="numpy"))
    assert not hasattr(network, "vector")
    assert not hasattr(network, "misspelt")


def test_a_layer_without_forward_says_so() -> None:
    with pytest.raises(NetworkError, match=r"Layer\(\) has no forward\(\)"):
        nn.Layer()(tensor.zeros((1,), device="numpy"))


def test_sequential_takes_layers_only() -> None:
    with pytest.raises(NetworkError, match=r"given 3 as '1'; expected an nn.Layer"):
        nn.Sequential(nn.ReLU(), 3)  # type: ignore[arg-type]  # the error is what is tested


class TestDropout:
    def drop(
        self, device: Device, samples: list[int], step: int = 3, seed: int = 1, ratio: float = 0.4
    ) -> Floats:
        network = nn.Sequential(drop=nn.Dropout(ratio)).initialize(device, seed=seed)
        network.randomness.set_step(step, samples)
        return numpy.asarray(network(tensor.ones((len(samples), 10, 25), device=device)))

    def test_keeps_the_mean_and_drops_the_ratio(self, device: Device) -> None:
        y = self.drop(device, list(range(200)))
        assert set(numpy.unique(y)) == {0, numpy.float32(1 / 0.6)}
        # 50,000 draws: three standard deviations of the part dropped are 0.0066
        assert abs((y == 0).mean() - 0.4) < 0.0066

    def test_the_mask_follows_the_sample_not_its_place(self, device: Device) -> None:
        y, reordered = self.drop(device, [4, 9, 2]), self.drop(device, [2, 4])
        assert numpy.array_equal(y[2], reordered[0])
        assert numpy.array_equal(y[0], reordered[1])
        assert not numpy.array_equal(y[0], y[1])

    def test_step_and_seed_change_the_mask(self, device: Device) -> None:
        y = self.drop(device, [4])
        assert not numpy.array_equal(y, self.drop(device, [4], step=4))
        assert not numpy.array_equal(y, self.drop(device, [4], seed=2))

    def test_two_layers_have_masks_of_their_own(self, device: Device) -> None:
        network = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).initialize(device)
        network.randomness.set_step(0, range(20))
        dropped = numpy.asarray(network(tensor.ones((20, 100), device=device))) == 0
        assert abs(dropped.mean() - 0.75) < 0.04

    def test_all_devices_draw_the_same_mask(self, device: Device) -> None:
        assert numpy.array_equal(self.drop(device, [5, 7]), self.drop(tensor.device("numpy"), [5, 7]))

    def test_gradient(self, device: Device, generator: numpy.random.Generator) -> None:
        network = nn.Sequential(drop=nn.Dropout(0.3)).initialize(device)
        network.randomness.set_step(1, range(3))
        nn.check_gradient(network, tensor.asarray(distinct((3, 8), generator), device=device), elements=24)

    def test_evaluation_leaves_all_as_it_is(self, device: Device) -> None:
        network = nn.Sequential(drop=nn.Dropout(0.3)).initialize(device).evaluate()
        x = tensor.ones((3, 8), device=device)
        assert numpy.array_equal(numpy.asarray(network(x)), numpy.ones((3, 8)))

    def test_unknown_samples_are_an_error(self) -> None:
        network = nn.Sequential(drop=nn.Dropout(0.3)).initialize("numpy")
        with pytest.raises(
            NetworkError, match=r"Dropout 'drop' needs the numbers of the batch's 3 samples .* got none"
        ):
            network(tensor.ones((3, 8), device="numpy"))

    def test_a_ratio_of_one_is_refused(self) -> None:
        with pytest.raises(NetworkError, match="expected 0 ≤ ratio < 1, got 1"):
            nn.Dropout(1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_statistics_are_pytorchs(
    dtype: str, device: Device, generator: numpy.random.Generator, torch: Any
) -> None:
    network = nn.Sequential(norm=nn.BatchNorm(3)).initialize(device, dtype=dtype)
    other = torch.nn.BatchNorm2d(3).to(getattr(torch, dtype))
    optimizer = nn.SGD(lr=0.0)
    optimizer.initialize(network.vector)
    assert [entry.name for entry in network.buffer_table] == ["norm.running_mean", "norm.running_var"]
    for _ in range(3):
        x = generator.normal(2, 3, (5, 2, 4, 3)).astype(dtype)
        other(channels_first(torch.tensor(x)))
        network(tensor.asarray(x, device=device))
        network.advance(optimizer)
    for name, wanted in (("running_mean", other.running_mean), ("running_var", other.running_var)):
        got = numpy.asarray(network.buffers()[f"norm.{name}"])
        numpy.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5 if dtype == "float32" else 1e-13)
    other.eval()
    expected = channels_last(other(channels_first(torch.tensor(x)))).detach().numpy()
    y = network.evaluate()(tensor.asarray(x, device=device))
    digits = 1e-5 if dtype == "float32" else 1e-13
    numpy.testing.assert_allclose(numpy.asarray(y), expected, rtol=10 * digits, atol=digits)


def test_buffers_have_the_same_bits_on_every_device(generator: numpy.random.Generator) -> None:
    observed = generator.normal(size=1000).astype(numpy.float32)
    observed[::7] = 1e-40  # a denormal
    rates = numpy.full(1000, 0.1, numpy.float32)
    results = []
    for each in tensor.devices():
        buffers = tensor.asarray(observed[::-1], device=each)
        follow(buffers, tensor.asarray(observed, device=each), tensor.asarray(rates, device=each))
        results.append(numpy.asarray(buffers).tobytes())
    assert len(set(results)) == 1


def test_buffers_are_saved_and_loaded(tmp_path: Path) -> None:
    network = nn.Sequential(norm=nn.BatchNorm(2), fc=nn.Linear(2, 2)).initialize("numpy")
    network.state[...] = numpy.arange(network.state.size, dtype=numpy.float32)
    nn.save(tmp_path / "network", network)
    again = nn.load(tmp_path / "network", nn.Sequential(norm=nn.BatchNorm(2), fc=nn.Linear(2, 2)))
    assert numpy.asarray(again.network.state).tolist() == numpy.asarray(network.state).tolist()
    assert again.network.vector.size == 10
    assert again.network.state.size == 14


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.BatchNorm(0), "channels ≥ 1"),
        (lambda: nn.GroupNorm(3, 4), "`groups` divides"),
        (lambda: nn.LayerNorm(()), "sizes ≥ 1"),
        (lambda: nn.RMSNorm(2, eps=0), "eps > 0"),
        (lambda: nn.LeakyReLU(2), "0 ≤ slope < 1"),
    ],
)
def test_impossible_normalizations_are_refused(make: Callable[[], nn.Layer], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()
