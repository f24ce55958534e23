"""Winograd's form of 3×3 convolution for CPUs, against PyTorch in double precision."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import tensor
from tensor import cpu_vectors, winograd_cpu
from tensor.array import Shape
from tensor.device import Device
from tensor.geometry import geometry
from tests.devices import opencl_cpus

torch = pytest.importorskip("torch")

# images [N, H, W, C], outputs, padding
SHAPES = [
    ((1, 1, 1, 16), 16, (1, 1)),
    ((1, 3, 3, 16), 24, (0, 0)),
    ((1, 4, 4, 8), 8, (1, 1)),
    ((2, 7, 9, 24), 40, (1, 1)),
    ((3, 6, 5, 40), 16, (0, 0)),
    ((2, 9, 8, 16), 72, (2, 2)),
    ((3, 1, 14, 32), 16, (1, 2)),
    ((2, 5, 11, 16), 16, (0, 2)),
    ((1, 31, 30, 104), 136, (1, 1)),  # more tiles than one block has
    ((2, 48, 50, 200), 264, (1, 0)),  # more channels and outputs than one group sums, in several parts
]
# How its work is cut: the constants that say so, and values for which it has to be right.
BLOCKS = {
    "FEWEST_TILES": (1, 3, 17, 256),
    "TILES_PER_BLOCK": (12, 24, 96),
    "LARGEST_CHANNELS": (24, 48, 192),
    "LARGEST_OUTPUTS": (16, 64, 256),
    "GROUPS_PER_UNIT": (1, 8, 64),
}
TOLERANCE = 2e-6  # of the largest value, as for the direct form


@pytest.fixture(params=[cpu_vectors.LANES, cpu_vectors.WIDE_LANES])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of either width, whatever the widest are that this machine has."""
    monkeypatch.setattr(cpu_vectors, "lanes", lambda _: request.param)


@pytest.fixture(params=opencl_cpus(), ids=lambda each: each.spec)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, lanes: None) -> Device:
    """Every CPU under OpenCL, with Winograd's form for small images too."""
    monkeypatch.setattr(winograd_cpu, "FEWEST_PIXELS", 0)
    monkeypatch.setattr(winograd_cpu, "FEWEST_CHANNELS", 8)
    chosen: Device = request.param
    return chosen


def random(*shape: int) -> Any:
    return numpy.random.default_rng(sum(shape)).standard_normal(shape, dtype=numpy.float32)


def nchw(x: Any) -> Any:
    return torch.from_numpy(x).permute(0, 3, 1, 2).double()


def agree(ours: tensor.Array, truth: Any) -> None:
    expected = truth.permute(0, 2, 3, 1).numpy()
    assert ours.shape == expected.shape
    assert float(numpy.abs(ours.numpy() - expected).max()) < TOLERANCE * float(numpy.abs(expected).max())


@pytest.mark.parametrize(("image", "outputs", "padding"), SHAPES)
def test_three_directions(device: Device, image: Shape, outputs: int, padding: tuple[int, int]) -> None:
    x, w = random(*image), random(outputs, 3, 3, image[3])
    dy = random(
        image[0], *(size + 2 * pad - 2 for size, pad in zip(image[1:3], padding, strict=True)), outputs
    )
    compare(device, x, w, dy, padding, groups=1)


def test_each_group_by_itself(device: Device) -> None:
    compare(device, random(2, 9, 7, 48), random(32, 3, 3, 24), random(2, 9, 7, 32), (1, 1), groups=2)


@pytest.mark.parametrize("seed", range(3))
def test_random_sizes(device: Device, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And random blocks and parts into which the work is cut, in the middle of memory that is NaN."""
    generator = numpy.random.default_rng(seed)

    def some(*choices: int) -> int:
        return int(generator.choice(choices))

    for _ in range(20):
        for name, choices in BLOCKS.items():
            monkeypatch.setattr(winograd_cpu, name, some(*choices))
        padding, groups = (some(0, 1, 2), some(0, 1, 2)), some(1, 1, 1, 2)
        height, width = (int(generator.integers(max(1, 3 - 2 * pad), 20)) for pad in padding)
        channels, outputs = (8 * int(generator.integers(1, 10)) for _ in range(2))
        image = (some(1, 2, 3), height, width, channels * groups)
        result = (image[0], height + 2 * padding[0] - 2, width + 2 * padding[1] - 2, outputs * groups)
        x, w, dy = (random(*each) for each in (image, (outputs * groups, 3, 3, channels), result))
        compare(device, x, w, dy, padding, groups, in_nan)


def in_nan(values: Any, device: Device) -> tensor.Array:
    whole = numpy.full((3 * len(values), *values.shape[1:]), numpy.nan, numpy.float32)
    whole[len(values) : 2 * len(values)] = values
    return tensor.asarray(whole, device=device)[len(values) : 2 * len(values)]


def compare(
    device: Device,
    x: Any,
    w: Any,
    dy: Any,
    padding: tuple[int, int],
    groups: int,
    placed: Callable[..., tensor.Array] = tensor.asarray,
) -> None:
    options = {"padding": padding, "groups": groups}
    ours = [placed(each, device=device) for each in (x, w, dy)]
    dx, dw, _ = torch.ops.aten.convolution_backward(
        *(nchw(dy), nchw(x), nchw(w), None, (1, 1), padding, (1, 1)),
        *(False, (0, 0), groups, (True, True, False)),
    )
    with tensor.profile(device) as profile:
        y = tensor.conv2d(ours[0], ours[1], **options)
        our_dx = tensor.conv2d_backward_data(ours[2], ours[1], x.shape, **options)
        our_dw = tensor.conv2d_backward_weights(ours[0], ours[2], (3, 3), **options)
    agree(y, torch.nn.functional.conv2d(nchw(x), nchw(w), **options))
    agree(our_dx, dx)
    agree(our_dw, dw)
    assert "winograd_gather" in str(profile)
    assert "conv_cpu" not in str(profile)


def test_what_it_reads_beyond_the_images_does_not_count(device: Device) -> None:
    """NaN in the memory around images, gradients and weights stays there."""
    x, w, dy = random(2, 5, 7, 16), random(24, 3, 3, 16), random(2, 5, 7, 24)
    ours_x, ours_w, ours_dy = (in_nan(each, device) for each in (x, w, dy))
    assert numpy.isfinite(tensor.conv2d(ours_x, ours_w, padding=(1, 1)).numpy()).all()
    assert numpy.isfinite(tensor.conv2d_backward_data(ours_dy, ours_w, x.shape, padding=(1, 1)).numpy()).all()
    assert numpy.isfinite(
        tensor.conv2d_backward_weights(ours_x, ours_dy, (3, 3), padding=(1, 1)).numpy()
    ).all()


def test_the_same_bits_each_time(device: Device) -> None:
    x, dy = (tensor.asarray(random(7, 14, 14, n), device=device) for n in (16, 24))
    first = tensor.conv2d_backward_weights(x, dy, (3, 3), padding=(1, 1)).numpy()
    for _ in range(3):
        assert numpy.array_equal(first, tensor.conv2d_backward_weights(x, dy, (3, 3), padding=(1, 1)).numpy())


@pytest.mark.parametrize(
    ("image", "weight", "stride", "padding"),
    [
        ((4, 32, 32, 20), (16, 3, 3, 20), 1, 1),  # channels that are no whole vectors
        ((4, 32, 32, 16), (20, 3, 3, 16), 1, 1),
        ((4, 32, 32, 16), (16, 3, 5, 16), 1, 1),
        ((4, 32, 32, 16), (16, 3, 3, 16), 2, 1),
        ((4, 32, 32, 16), (16, 3, 3, 16), 1, 3),
        ((1, 8, 8, 16), (16, 3, 3, 16), 1, 1),
    ],
)
def test_what_it_leaves_to_the_direct_form(image: Shape, weight: Shape, stride: int, padding: int) -> None:
    pairs = {"stride": (stride, stride), "padding": (padding, padding)}
    assert not winograd_cpu.suits(geometry("conv2d", image, weight, **pairs, dilation=(1, 1), groups=1))
