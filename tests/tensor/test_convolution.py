"""Convolution in its three directions against PyTorch in double precision, every backend and each kernel."""

from types import ModuleType
from typing import Any

import numpy
import pytest

import tensor
from tensor import convolution, convolution_cpu, convolution_gpu, cpu_vectors, gpu_tile
from tensor.array import Shape
from tensor.device import Device
from tests.devices import opencl_cpus, opencl_devices, with_gpu_kernels

torch = pytest.importorskip("torch")

KERNELS = [(each, None) for each in tensor.devices() if each.backend == "numpy"]
KERNELS += [(each, convolution_cpu) for each in opencl_cpus()]
KERNELS += [(each, convolution_gpu) for each in opencl_devices()]
KERNELS += [(each, None) for each in with_gpu_kernels() if each not in tensor.devices()]


def name(value: Any) -> str:
    device, kernels = value
    return f"{device.spec}-{kernels.__name__.split('_')[-1]}" if kernels else device.spec


@pytest.fixture(params=KERNELS, ids=name)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Every device; OpenCL's with the kernels for GPUs, and its CPUs with those for CPUs as well."""
    chosen: tuple[Device, ModuleType | None] = request.param
    if chosen[1] is not None:
        real = convolution._launcher
        monkeypatch.setattr(
            convolution,
            "_launcher",
            lambda x, kernel: chosen[1] if max(kernel) <= convolution_gpu.LARGEST_KERNEL else real(x, kernel),
        )
    return chosen[0]


# images [N, H, W, C], weights [O, KH, KW, C], stride, padding
SHAPES = [
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0)),
    ((2, 12, 12, 1), (20, 5, 5, 1), (1, 1), (0, 0)),
    ((3, 12, 12, 20), (50, 5, 5, 20), (1, 1), (0, 0)),
    ((2, 8, 9, 3), (7, 3, 3, 3), (1, 1), (1, 1)),
    ((2, 9, 7, 4), (24, 3, 2, 4), (2, 1), (1, 0)),
    ((1, 11, 13, 17), (33, 3, 5, 17), (3, 2), (0, 2)),
    ((3, 5, 5, 16), (16, 1, 1, 16), (1, 1), (0, 0)),
    ((3, 6, 6, 9), (5, 1, 1, 9), (2, 2), (0, 0)),
    ((1, 4, 4, 2), (3, 4, 4, 2), (1, 1), (3, 3)),
    ((1, 2, 3, 5), (1, 2, 3, 5), (1, 1), (0, 0)),
    ((1, 7, 7, 1), (1, 3, 3, 1), (4, 4), (2, 2)),
    ((7, 6, 5, 20), (9, 3, 3, 20), (1, 1), (1, 1)),
    ((6, 7, 5, 16), (3, 2, 3, 16), (2, 2), (0, 1)),
    ((12, 5, 4, 8), (9, 3, 3, 8), (1, 1), (1, 1)),
    ((23, 4, 5, 3), (5, 2, 2, 3), (1, 1), (0, 1)),
    ((2, 20, 18, 2), (3, 17, 5, 2), (1, 1), (2, 1)),
    ((1, 40, 6, 1), (2, 34, 2, 1), (2, 1), (0, 0)),
]


# images [N, H, W, C], weights [O, KH, KW, C / groups], stride, padding, dilation, groups
GROUPED = [
    ((2, 9, 8, 6), (6, 3, 3, 1), (1, 1), (1, 1), (1, 1), 6),
    ((3, 8, 11, 45), (45, 3, 2, 1), (2, 1), (1, 0), (1, 1), 45),
    ((2, 12, 13, 8), (8, 3, 3, 1), (2, 3), (2, 4), (3, 2), 8),
    ((1, 13, 12, 36), (36, 2, 5, 1), (4, 2), (0, 3), (2, 4), 36),
    ((2, 9, 3, 4), (4, 5, 7, 1), (1, 1), (2, 3), (1, 1), 4),
    ((2, 7, 6, 6), (9, 3, 3, 2), (1, 2), (1, 0), (1, 1), 3),
    ((2, 7, 6, 3), (6, 2, 2, 1), (1, 1), (1, 1), (2, 1), 3),
    ((2, 11, 9, 5), (4, 3, 3, 5), (2, 1), (2, 3), (2, 3), 1),
]


def random(*shape: int) -> Any:
    return numpy.random.default_rng(sum(shape)).standard_normal(shape, dtype=numpy.float32)


def nchw(x: Any) -> Any:
    return torch.from_numpy(x).permute(0, 3, 1, 2).double()


def nhwc(x: Any) -> Any:
    return x.permute(0, 2, 3, 1).numpy()


def agree(ours: Any, expected: Any) -> None:
    assert ours.shape == expected.shape
    assert ours.dtype == numpy.float32
    scale = max(float(numpy.abs(expected).max()), 1e-3)
    assert float(numpy.abs(ours - expected).max()) < 2e-6 * scale


@pytest.mark.parametrize(
    ("image", "weight", "stride", "padding", "dilation", "groups"),
    [(*each, (1, 1), 1) for each in SHAPES] + GROUPED,
)
def test_three_directions(
    device: Device, image: Shape, weight: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    x, w = random(*image), random(*weight)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    truth = torch.nn.functional.conv2d(nchw(x), nchw(w), **options)
    dy = random(*nhwc(truth).shape)
    dx, dw, _ = torch.ops.aten.convolution_backward(
        *(nchw(dy), nchw(x), nchw(w), None, stride, padding, dilation),
        *(False, (0, 0), groups, (True, True, False)),
    )
    ours_x, ours_w, ours_dy = (tensor.asarray(each, device=device) for each in (x, w, dy))
    agree(tensor.conv2d(ours_x, ours_w, **options).numpy(), nhwc(truth))
    agree(tensor.conv2d_backward_data(ours_dy, ours_w, x.shape, **options).numpy(), nhwc(dx))
    agree(tensor.conv2d_backward_weights(ours_x, ours_dy, weight[1:3], **options).numpy(), nhwc(dw))


def test_images_beyond_the_range_of_an_int(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form with 64-bit offsets, of images that do not need it."""
    monkeypatch.setattr(convolution_gpu, "INTS", 0)
    test_three_directions(device, (2, 9, 7, 4), (24, 3, 2, 4), (2, 1), (1, 0), (1, 1), 1)


@pytest.mark.parametrize("tile", [convolution_gpu.NARROW, convolution_gpu.LITTLE], ids=["narrow", "little"])
def test_tiles_for_few_columns(
    device: Device, monkeypatch: pytest.MonkeyPatch, tile: gpu_tile.GpuTile
) -> None:
    if convolution._launcher(tensor.ones((1,), device=device), (3, 3)) is not convolution_gpu:
        pytest.skip("the kernels for CPUs have no such tiles")
    monkeypatch.setattr(convolution_gpu, "TILES", (tile,))
    test_three_directions(device, (3, 12, 12, 20), (50, 5, 5, 20), (1, 1), (0, 0), (1, 1), 1)


@pytest.mark.parametrize(
    "device", [(each, convolution_cpu) for each in opencl_cpus()], indirect=True, ids=name
)
@pytest.mark.parametrize("lanes", [cpu_vectors.LANES, cpu_vectors.WIDE_LANES])
@pytest.mark.parametrize(("image", "weight", "stride", "padding"), SHAPES)
def test_vectors_of_either_width(
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    lanes: int,
    image: Shape,
    weight: Shape,
    stride: Any,
    padding: Any,
) -> None:
    """Whatever the widest are that this machine has."""
    monkeypatch.setattr(cpu_vectors, "lanes", lambda _: lanes)
    test_three_directions(device, image, weight, stride, padding, (1, 1), 1)


@pytest.mark.parametrize("device", opencl_cpus(), ids=lambda each: each.spec)
def test_gradients_of_little_need_little_memory_on_many_units(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "compute_units", 64)
    x = tensor.asarray(random(6, 8, 8, 8), device=device)
    with tensor.use_device(device):
        tensor.reset_peak_memory()
        before = tensor.memory().in_use_bytes
        tensor.conv2d_backward_weights(x, x, (5, 5), padding=(2, 2))
        assert tensor.memory().peak_bytes - before < 20 * x.size_bytes


def test_views_and_offsets(device: Device) -> None:
    x, w = random(3, 10, 9, 4), random(6, 3, 3, 4)
    ours_x = tensor.permute_dims(tensor.asarray(x.transpose(0, 3, 1, 2).copy(), device=device), (0, 2, 3, 1))[
        1:, ::2
    ]
    ours_w = tensor.asarray(numpy.concatenate([w, w * 2]), device=device)[6:]
    truth = torch.nn.functional.conv2d(nchw(x)[1:, :, ::2], 2 * nchw(w))
    agree(tensor.conv2d(ours_x, ours_w).numpy(), nhwc(truth))
    dy = random(*nhwc(truth).shape)
    ours_dy = tensor.asarray(numpy.concatenate([dy, dy]), device=device)[2:]
    ours = tensor.conv2d_backward_weights(ours_x, ours_dy, (3, 3)).numpy()
    again = tensor.conv2d_backward_weights(
        tensor.asarray(x[1:, ::2], device=device), tensor.asarray(dy, device=device), (3, 3)
    )
    assert numpy.array_equal(ours, again.numpy())


def test_a_border_meets_no_infinity(device: Device) -> None:
    """Padding is zeros that are added, not values outside the image that are multiplied by zero."""
    x, w = numpy.zeros((2, 4, 4, 2), numpy.float32), numpy.ones((3, 3, 3, 2), numpy.float32)
    x[0] = numpy.inf
    ours = tensor.conv2d(
        tensor.asarray(x, device=device), tensor.asarray(w, device=device), padding=(1, 1)
    ).numpy()
    assert numpy.isposinf(ours[0]).all()
    assert not ours[1].any()


def test_nothing_in_means_zeros_or_nothing_out(device: Device) -> None:
    def zeros(*shape: int) -> tensor.Array:
        return tensor.zeros(shape, device=device)

    assert tensor.conv2d(zeros(0, 5, 5, 2), zeros(3, 2, 2, 2)).shape == (0, 4, 4, 3)
    assert not tensor.conv2d(zeros(1, 5, 5, 0), zeros(3, 2, 2, 0)).numpy().any()
    assert not tensor.conv2d_backward_weights(zeros(0, 5, 5, 2), zeros(0, 4, 4, 3), (2, 2)).numpy().any()
    assert tensor.conv2d_backward_data(zeros(0, 4, 4, 3), zeros(3, 2, 2, 2), (0, 5, 5, 2)).shape == (
        0,
        5,
        5,
        2,
    )


def test_the_same_bits_each_time(device: Device) -> None:
    x, dy = (tensor.asarray(random(7, 14, 14, n), device=device) for n in (5, 19))
    first = tensor.conv2d_backward_weights(x, dy, (3, 3), padding=(1, 1)).numpy()
    for _ in range(3):
        assert numpy.array_equal(first, tensor.conv2d_backward_weights(x, dy, (3, 3), padding=(1, 1)).numpy())


def test_errors_name_what_was_seen(device: Device) -> None:
    x, w = tensor.zeros((1, 4, 4, 2), device=device), tensor.zeros((3, 2, 2, 5), device=device)
    with pytest.raises(tensor.errors.ShapeError, match=r"\(1, 4, 4, 2\) and weights \(3, 2, 2, 5\)"):
        tensor.conv2d(x, w)
    with pytest.raises(tensor.errors.ShapeError, match="does not fit"):
        tensor.conv2d(x, tensor.zeros((3, 6, 6, 2), device=device))
    with pytest.raises(tensor.errors.ShapeError, match=r"of 2 groups do not fit; .* C and O multiples"):
        tensor.conv2d(x, w, groups=2)
    with pytest.raises(tensor.errors.ShapeError, match=r"5×5 does not fit in images of 4×4"):
        tensor.conv2d(x, tensor.zeros((3, 3, 3, 2), device=device), dilation=(2, 2))
    with pytest.raises(tensor.errors.ShapeError, match=r"stride \(0, 1\)"):
        tensor.conv2d(x, tensor.zeros((3, 2, 2, 2), device=device), stride=(0, 1))
    with pytest.raises(tensor.errors.ShapeError, match=r"expected dy of shape \(1, 3, 3, 3\)"):
        tensor.conv2d_backward_weights(x, tensor.zeros((1, 4, 4, 3), device=device), (2, 2))
    with pytest.raises(tensor.errors.DTypeError, match="int32"):
        tensor.conv2d(x, tensor.zeros((3, 2, 2, 2), dtype=tensor.int32, device=device))
