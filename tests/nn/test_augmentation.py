"""Augmentation: pieces are pieces of the image, PyTorch and Pillow agree on what is computed, and what a
sample meets depends on (seed, step, sample) alone."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

import nn
import tensor
from nn.errors import GradientError, LayerShapeError, NetworkError
from nn.layers.boxes import Drawing, cut_boxes, draw_boxes, draw_four
from tensor import Device
from tensor.philox import fold_key

Floats = NDArray[numpy.float32]


def images(count: int = 6, height: int = 10, width: int = 9, channels: int = 3) -> Floats:
    """No two pixels alike, within [0, 1]."""
    size = count * height * width * channels
    values = numpy.random.default_rng(5).permutation(size).astype(numpy.float32) / numpy.float32(size)
    return values.reshape((count, height, width, channels))


def varied(
    layer: nn.Layer, x: Floats, device: Device, samples: Sequence[int], step: int = 3, seed: int = 1
) -> Floats:
    """What a layer makes of x while it trains."""
    network = nn.Sequential(layer=layer).initialize(device, seed)
    network.randomness.set_step(step, samples)
    return numpy.asarray(network(tensor.asarray(x, device=device)))


def evaluated(layer: nn.Layer, x: Floats, device: Device) -> Floats:
    network = nn.Sequential(layer=layer).initialize(device).evaluate()
    return numpy.asarray(network(tensor.asarray(x, device=device)))


def places(pieces: Floats, x: Floats, padding: int, mirrored: bool = False) -> list[list[tuple[int, int]]]:
    """For each piece, all (top, left) at which it lies in its padded image."""
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = numpy.pad(x, around)[:, :, :: -1 if mirrored else 1]
    size = pieces.shape[1:3]
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2)).transpose(
        0, 1, 2, 4, 5, 3
    )
    found = (windows == pieces[:, None, None]).all(axis=(3, 4, 5))
    return [[(int(top), int(left)) for top, left in numpy.argwhere(each)] for each in found]


def test_crops_come_from_anywhere_in_the_padded_image(device: Device) -> None:
    x = numpy.repeat(images(1), 300, axis=0)
    found = places(varied(nn.RandomCrop((7, 6), padding=1), x, device, range(300)), x, padding=1)
    assert all(len(each) == 1 for each in found)
    assert {each[0] for each in found} == {(top, left) for top in range(6) for left in range(6)}


def test_flips_mirror_a_part_of_the_images(device: Device) -> None:
    x = images(400, 3, 4)
    y = varied(nn.RandomHorizontalFlip(0.3), x, device, range(400))
    mirrored = (y == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (y == x).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.3) < 0.07  # three standard deviations of 400 draws


def test_evaluation_takes_the_middle(device: Device) -> None:
    x = images()
    assert numpy.array_equal(evaluated(nn.RandomCrop((6, 7)), x, device), x[:, 2:8, 1:8])
    assert numpy.array_equal(evaluated(nn.RandomHorizontalFlip(), x, device), x)
    assert numpy.array_equal(evaluated(nn.ColorJitter(0.4, 0.4, 0.4), x, device), x)
    wider = evaluated(nn.RandomCrop((12, 9), padding=2), x, device)
    assert numpy.array_equal(wider, numpy.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))))


@pytest.mark.parametrize("size", [(5, 4), (17, 23)], ids=["smaller", "larger"])
def test_resized_pieces_are_those_of_pytorch(size: tuple[int, int], device: Device, torch: Any) -> None:
    x = images()
    step, samples = (tensor.asarray(numpy.asarray(a, numpy.int32), device=device) for a in ([2], range(6)))
    drawing = Drawing(size, flip=0.5, area=(0.2, 0.9), ratio=(0.5, 2.0))
    boxes = draw_boxes(step, samples, 99, (10, 9), drawing)
    ours = numpy.asarray(cut_boxes(tensor.asarray(x, device=device), boxes, size))
    top, left, down, right = torch.from_numpy(numpy.array(boxes)).T[:, :, None]
    rows = (2 * (top + torch.arange(size[0]) * down) + 1) / 10 - 1
    columns = (2 * (left + torch.arange(size[1]) * right) + 1) / 9 - 1
    grid = torch.stack([columns[:, None, :].expand(6, *size), rows[:, :, None].expand(6, *size)], dim=3)
    theirs = torch.nn.functional.grid_sample(
        torch.from_numpy(x.transpose(0, 3, 1, 2)), grid, padding_mode="border", align_corners=False
    )
    numpy.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=2e-5)
    assert len({float(each) for each in right.flatten()}) == 6
    assert bool((right > 0).any())
    assert bool((right < 0).any())


def test_drawn_pieces_have_the_area_and_the_ratio_and_lie_inside(device: Device) -> None:
    step, samples = (tensor.asarray(numpy.asarray(a, numpy.int32), device=device) for a in ([2], range(500)))
    drawing = Drawing((7, 7), area=(0.1, 0.5), ratio=(0.75, 1.25))
    boxes = numpy.asarray(draw_boxes(step, samples, 4, (60, 80), drawing)).astype(numpy.float64)
    lengths = boxes[:, 2:] * 7
    begins = boxes[:, :2] + 0.5 - 0.5 * boxes[:, 2:]
    area, ratio = lengths.prod(axis=1) / 4800, lengths[:, 1] / lengths[:, 0]
    assert 0.0999 < area.min() < 0.12
    assert 0.48 < area.max() < 0.5001
    assert 0.7499 < ratio.min() < 0.77
    assert 1.23 < ratio.max() < 1.2501
    assert begins.min() > -1e-4
    assert (begins + lengths <= numpy.array([60, 80]) + 1e-4).all()


def test_the_middle_of_another_ratio_is_pytorchs(device: Device, torch: Any) -> None:
    x = images(2, 12, 20)
    middle = torch.from_numpy(x[:, :, 4:16].transpose(0, 3, 1, 2))
    theirs = torch.nn.functional.interpolate(middle, (8, 8), mode="bilinear", align_corners=False)
    ours = evaluated(nn.RandomResizedCrop(8), x, device)
    numpy.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_colours_are_changed_as_by_pillow(number: int, device: Device) -> None:
    enhance = pytest.importorskip("PIL.ImageEnhance")
    image = pytest.importorskip("PIL.Image")
    kind = (enhance.Brightness, enhance.Contrast, enhance.Color)[number]
    strengths = [0.0, 0.0, 0.0]
    strengths[number] = 0.7
    layer = nn.ColorJitter(*strengths)
    x = numpy.random.default_rng(1).integers(0, 256, (5, 12, 10, 3), numpy.uint8)
    ours = varied(layer, x.astype(numpy.float32) / 255, device, range(5)) * 255
    step, samples = (tensor.asarray(numpy.asarray(a, numpy.int32), device=device) for a in ([3], range(5)))
    draws = draw_four(step, samples, fold_key((1, zlib.crc32(b"layer"))))
    factors = 0.3 + 1.4 * numpy.asarray(draws)[:, number]
    assert factors.min() < 0.8
    assert factors.max() > 1.2
    for got, one, factor in zip(ours, x, factors, strict=True):
        wanted = numpy.asarray(kind(image.fromarray(one)).enhance(float(factor)), numpy.float32)
        assert numpy.abs(got - wanted).max() <= 2  # Pillow rounds to whole numbers on the way


def test_grey_images_have_brightness_and_contrast_only(device: Device) -> None:
    x = images(4, channels=1)
    assert numpy.array_equal(varied(nn.ColorJitter(saturation=0.9), x, device, range(4)), x)
    y = varied(nn.ColorJitter(contrast=0.5), x, device, range(4))
    slope = (y[:, 4, 4, 0] - y[:, 5, 5, 0]) / (x[:, 4, 4, 0] - x[:, 5, 5, 0])
    assert len(set(slope)) == 4


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.25), ([0.1, 0.2, 0.3], 2.0), ([0.1, 0.2, 0.3], [1, 2, 3])])
def test_normalize(mean: Any, std: Any, device: Device) -> None:
    x = images()
    wanted = (x - numpy.asarray(mean)) / numpy.asarray(std)
    layer = nn.Normalize(mean, std)
    numpy.testing.assert_allclose(varied(layer, x, device, range(6)), wanted, atol=1e-6)
    numpy.testing.assert_allclose(evaluated(layer, x, device), wanted, atol=1e-6)
    nn.check_gradient(
        nn.Sequential(layer=layer).initialize(device), tensor.asarray(x[:1, :2, :2], device=device)
    )


LAYERS: dict[str, Callable[[], nn.Layer]] = {
    "crop": lambda: nn.RandomCrop(8, padding=2),
    "flip": lambda: nn.RandomHorizontalFlip(),
    "resized": lambda: nn.RandomResizedCrop(7),
    "jitter": lambda: nn.ColorJitter(0.4, 0.4, 0.4),
    "2016": lambda: nn.DataAugmentation([6, 7], 0.01, random_crop=True, random_flip=True, mean=[3, 4, 5]),
}


@pytest.mark.parametrize("name", LAYERS)
class TestEveryLayer:
    def test_all_devices_agree(self, name: str, device: Device) -> None:
        ours, numpys = (
            varied(LAYERS[name](), images(), d, range(6)) for d in (device, tensor.device("numpy"))
        )
        numpy.testing.assert_allclose(ours, numpys, atol=2e-6)
        if name in ("crop", "flip"):
            assert numpy.array_equal(ours, numpys)

    def test_a_sample_meets_the_same_whoever_computes_it(self, name: str, device: Device) -> None:
        x, samples = images(), [40, 7, 2**31 - 1, 0, 12, 13]
        whole = varied(LAYERS[name](), x, device, samples)
        for share in (slice(0, 1), slice(1, 4), slice(4, 6)):
            assert numpy.array_equal(varied(LAYERS[name](), x[share], device, samples[share]), whole[share])

    def test_step_seed_sample_and_layer_change_it(self, name: str, device: Device) -> None:
        x = numpy.repeat(images(1), 8, axis=0)
        first = varied(LAYERS[name](), x, device, range(8))
        assert any(not numpy.array_equal(first[0], each) for each in first)
        assert not numpy.array_equal(first, varied(LAYERS[name](), x, device, range(8), step=4))
        assert not numpy.array_equal(first, varied(LAYERS[name](), x, device, range(8), seed=2))
        network = nn.Sequential(other=LAYERS[name]()).initialize(device, 1)
        network.randomness.set_step(3, range(8))
        assert not numpy.array_equal(first, numpy.asarray(network(tensor.asarray(x, device=device))))

    def test_a_replay_draws_anew(self, name: str, device: Device) -> None:
        x = images()
        network = nn.Sequential(layer=LAYERS[name]()).initialize(device, 1)
        network.randomness.set_step(1, range(6))
        source = tensor.asarray(x, device=device)
        recording = tensor.record(lambda: network(source), device=device)
        network.randomness.set_step(2, range(10, 16))
        source[...] = x[::-1].copy()
        wanted = varied(LAYERS[name](), x[::-1].copy(), device, range(10, 16), step=2)
        assert numpy.array_equal(numpy.asarray(recording.replay()), wanted)

    def test_no_gradient_goes_back(self, name: str, device: Device) -> None:
        network = nn.Sequential(norm=nn.BatchNorm(3), layer=LAYERS[name]()).initialize(device)
        network.randomness.set_step(1, range(6))
        step = nn.value_and_grad(network, lambda x: tensor.sum(network(x)))
        with pytest.raises(GradientError, match="has no derivative"):
            step(tensor.asarray(images(), device=device))

    def test_unknown_samples_and_other_arrays_are_errors(self, name: str) -> None:
        network = nn.Sequential(layer=LAYERS[name]()).initialize("numpy")
        with pytest.raises(NetworkError, match="needs the numbers of the batch's 6 samples"):
            network(tensor.asarray(images(), device="numpy"))
        with pytest.raises(LayerShapeError, match=r"'layer' expected an input of shape \[N, H, W, "):
            network(tensor.zeros((2, 3), device="numpy"))
        with pytest.raises(tensor.errors.DTypeError, match="expected float32, got uint8"):
            network(tensor.zeros((2, 9, 9, 3), dtype=tensor.uint8, device="numpy"))


def test_the_layer_of_2016(device: Device) -> None:
    """Its spec: 10×9 pixels of n·10 + c·3 + y·2 + x and a mean become 6×7, without the mean, times ½."""
    n, y, x, c = numpy.meshgrid(*map(numpy.arange, (3, 10, 9, 2)), indexing="ij")
    mean = numpy.array([0.25, 0.75])
    bottom = ((n * 10 + c * 3 + y * 2 + x + mean) / 256).astype(numpy.float32)
    top = (bottom * 256 - mean)[:, 2:8, 1:8] * 0.5
    layer = nn.DataAugmentation([6, 7], scale=0.5, mean=[0.25, 0.75])
    for got in (varied(layer, bottom, device, range(3)), evaluated(layer, bottom, device)):
        numpy.testing.assert_allclose(got, top, rtol=1e-6, atol=1e-5)
    layer = nn.DataAugmentation([6, 7], random_crop=True, random_flip=True)
    big = images(50, 10, 9, 1)
    pieces = varied(layer, big, device, range(50))
    plain, mirrored = places(pieces, big, 0), places(pieces, big, 0, mirrored=True)
    assert all(len(one) + len(other) == 1 for one, other in zip(plain, mirrored, strict=True))
    assert 10 < sum(map(len, mirrored)) < 40
    assert len({each[0] for each in plain if each}) > 6


def test_what_cannot_be() -> None:
    with pytest.raises(NetworkError, match=r"size of at least 1 and padding ≥ 0; got RandomCrop\(size=0\)"):
        nn.RandomCrop(0)
    with pytest.raises(NetworkError, match="0 ≤ probability ≤ 1, got 2"):
        nn.RandomHorizontalFlip(2)
    with pytest.raises(NetworkError, match=r"area \(least, most\) within"):
        nn.RandomResizedCrop(8, area=(0, 1))
    with pytest.raises(NetworkError, match="strengths of at least 0"):
        nn.ColorJitter(contrast=-1)
    with pytest.raises(NetworkError, match="a std above 0"):
        nn.Normalize(0.5, 0)
    with pytest.raises(NetworkError, match="one for each channel"):
        nn.Normalize([0.5, 0.5], [1, 1, 1])
    with pytest.raises(NetworkError, match="out_shape of at least 1"):
        nn.DataAugmentation([0, 5])
    x = tensor.zeros((2, 6, 9, 3), device="numpy")
    with pytest.raises(LayerShapeError, match=r"RandomCrop expected .* \[N, ≥7, ≥7, C\], got \[2, 6, 9, 3\]"):
        nn.RandomCrop(9, padding=1)(x)
    with pytest.raises(LayerShapeError, match=r"\[\.\.\., 2\], got"):
        nn.Normalize([1, 2], [1, 2])(x)
    with pytest.raises(LayerShapeError, match="1 or 3"):
        nn.ColorJitter(0.5)(tensor.zeros((2, 6, 9, 2), device="numpy"))
