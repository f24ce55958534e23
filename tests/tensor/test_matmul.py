"""The matrix product against NumPy in double precision, on every backend, with each kernel."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy
import pytest

import tensor
from tensor import cpu_tile, cpu_vectors, gemm, gemm_gpu, gemm_narrow, gpu_tile, reduce_launch
from tensor.array import Array
from tensor.device import Device
from tests.devices import opencl_cpus, opencl_devices, with_gpu_kernels

matmul_module = sys.modules["tensor.matmul"]  # `tensor.matmul` is the function

EVERY_DEVICE = pytest.mark.parametrize("device", tensor.devices(), ids=lambda device: device.spec)
OPENCL_DEVICES = pytest.mark.parametrize("device", opencl_devices(), ids=lambda device: device.spec)
OPENCL_CPUS = pytest.mark.parametrize("device", opencl_cpus(), ids=lambda device: device.spec)


def random(*shape: int) -> Any:
    return numpy.random.default_rng(sum(shape)).standard_normal(shape, dtype=numpy.float32)


def agree(ours: Any, a: Any, b: Any) -> None:
    """Each element within the rounding error that a sum of K products may have."""
    expected = a.astype(numpy.float64) @ b.astype(numpy.float64)
    bound = numpy.abs(a).astype(numpy.float64) @ numpy.abs(b).astype(numpy.float64)
    assert ours.shape == expected.shape
    assert ours.dtype == numpy.float32
    assert numpy.all(numpy.abs(ours - expected) <= 1e-6 * bound + 1e-30)


SIZES = [
    *[(1, 1, 1), (1, 7, 1), (6, 16, 8), (5, 15, 7), (7, 17, 9), (13, 33, 300), (64, 10, 500), (1, 100, 257)],
    *[(200, 1, 3), (97, 300, 31), (128, 128, 128), (0, 3, 4), (3, 0, 4), (3, 4, 0)],
]


@EVERY_DEVICE
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
@pytest.mark.parametrize(("M", "N", "K"), SIZES)
def test_all_transposes(
    device: Device, M: int, N: int, K: int, left_turned: bool, right_turned: bool
) -> None:
    a, b = random(M, K), random(K, N)
    left = tensor.asarray(a.T.copy(), device=device).T if left_turned else tensor.asarray(a, device=device)
    right = tensor.asarray(b.T.copy(), device=device).T if right_turned else tensor.asarray(b, device=device)
    agree((left @ right).numpy(), a, b)


VIEWS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: x[2:40, 1:30], lambda x: x[3:32, 5:60]),
    (lambda x: x[::2, ::3], lambda x: x[::3, ::2]),
    (lambda x: x[::-1, :], lambda x: x[:, ::-1]),
    (lambda x: x[10, :], lambda x: x),
    (lambda x: x, lambda x: x[:, 7]),
    (lambda x: x[4], lambda x: x[:, 3]),
]


@EVERY_DEVICE
@pytest.mark.parametrize(("left", "right"), VIEWS)
def test_views(device: Device, left: Callable[[Any], Any], right: Callable[[Any], Any]) -> None:
    x = random(64, 64)
    ours = tensor.asarray(x, device=device)
    agree(tensor.matmul(left(ours), right(ours)).numpy(), left(x), right(x))


STACKS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((5, 9, 8), (5, 8, 7)),
    ((5, 9, 8), (8, 7)),
    ((9, 8), (4, 8, 7)),
    ((2, 1, 9, 8), (3, 8, 7)),
    ((2, 3, 9, 8), (2, 3, 8, 17)),
    ((3, 9, 8), (8,)),
    ((8,), (3, 8, 7)),
    ((0, 9, 8), (8, 7)),
]


@EVERY_DEVICE
@pytest.mark.parametrize(("a_shape", "b_shape"), STACKS)
def test_stacks_broadcast(device: Device, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = random(*a_shape), random(*b_shape)
    agree(tensor.matmul(tensor.asarray(a, device=device), tensor.asarray(b, device=device)).numpy(), a, b)


@EVERY_DEVICE
def test_a_stack_of_views_that_cannot_be_joined(device: Device) -> None:
    x = random(4, 3, 6, 5)
    ours = tensor.asarray(x, device=device)
    agree(
        (ours[::2, 1:] @ tensor.permute_dims(ours, (0, 1, 3, 2))[::2, 1:]).numpy(),
        x[::2, 1:],
        x[::2, 1:].swapaxes(2, 3),
    )


Multiply = Callable[[Array, Array, Array, gemm.Product], None]


def by_launch(launch: Callable[..., None]) -> Multiply:
    def multiply(c: Array, a: Array, b: Array, sizes: gemm.Product) -> None:
        left, right = (gemm.Matrices(x.buffer, x.offset, 0, *x.strides) for x in (a, b))
        launch(a.device, sizes, left, right, c.buffer, 0)

    return multiply


def on_gpu(c: Array, a: Array, b: Array, sizes: gemm.Product) -> None:
    left, right = (gemm.Matrices(None, x.offset, 0, *x.strides) for x in (a, b))
    gemm_gpu.prepare(a.device, sizes, left, right)(c, a, b)


def small(c: Array, a: Array, b: Array, sizes: gemm.Product, tile: cpu_tile.Tile) -> None:
    left, right = (gemm.Matrices(None, x.offset, 0, *x.strides) for x in (a, b))
    gemm.prepare_small(a.device, sizes, left, right, tile)(c, a, b)


def launched(multiply: Multiply, a: Array, b: Array) -> Array:
    output = tensor.full((a.shape[0], b.shape[1]), float("nan"), device=a.device)
    multiply(output, a, b, gemm.Product(1, *output.shape, a.shape[1]))
    return output


@pytest.mark.parametrize(
    ("device", "multiply"),
    [
        (device, multiply)
        for device in opencl_cpus()
        for tile in (cpu_tile.TILE, cpu_tile.WIDE_TILE, cpu_tile.NARROW_WIDE_TILE)
        for multiply in (by_launch(partial(gemm.launch_packed, tile=tile)), partial(small, tile=tile))
    ]
    + [(device, on_gpu) for device in opencl_devices()],
    ids=lambda each: getattr(each, "spec", None) or getattr(each, "__name__", None) or str(each.keywords),
)
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
@pytest.mark.parametrize(
    ("M", "N", "K"), [(1, 1, 1), (130, 70, 41), (201, 517, 790), (6, 16, 1), (65, 129, 16)]
)
def test_each_kernel_by_itself(
    device: Device, multiply: Multiply, M: int, N: int, K: int, left_turned: bool, right_turned: bool
) -> None:
    a, b = random(M, K), random(K, N)
    left = tensor.asarray(a.T.copy(), device=device).T if left_turned else tensor.asarray(a, device=device)
    right = tensor.asarray(b.T.copy(), device=device).T if right_turned else tensor.asarray(b, device=device)
    agree(launched(multiply, left, right).numpy(), a, b)


@pytest.mark.parametrize("device", opencl_cpus(), ids=lambda each: each.spec)
def test_the_first_large_product_may_be_a_recorded_one(device: Device) -> None:
    """How wide the device's vectors are is asked then."""
    cpu_vectors.lanes.cache_clear()
    x = random(600, 600)
    ours = tensor.asarray(x, device=device)
    recording = tensor.record(lambda: ours @ ours, device=device)
    for _ in range(2):
        agree(recording.replay().numpy(), x, x)


NARROW = [
    *[(77, 1, 8), (1, 77, 100), (50, 2, 9), (3, 65, 31), (131, 4, 300), (5, 131, 517), (61, 6, 24)],
    *[(7, 40, 255), (8, 8, 64), (9, 100, 257), (129, 10, 100), (10, 33, 41), (12, 200, 53)],
]
NARROW_WIDE = [
    *[(130, 1, 16), (1, 129, 100), (150, 2, 37), (3, 81, 31), (131, 4, 300), (5, 131, 517), (61, 6, 24)],
    *[(7, 40, 255), (32, 8, 64), (9, 100, 257), (129, 10, 100), (10, 49, 41), (12, 200, 53)],
]


@OPENCL_CPUS
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
@pytest.mark.parametrize(
    ("M", "N", "K", "lanes"),
    [(*each, cpu_vectors.LANES) for each in NARROW]
    + [(*each, cpu_vectors.WIDE_LANES) for each in NARROW_WIDE],
)
def test_narrow_products(
    device: Device, M: int, N: int, K: int, lanes: int, left_turned: bool, right_turned: bool
) -> None:
    """Slices with infinite numbers around them: what is read or written too far shows."""
    a, b = random(2, M, K), random(2, K, N)
    left, right = amid_infinities(a, left_turned, device), amid_infinities(b, right_turned, device)
    output = tensor.full(2 * M * N + 16, -7.0, device=device)
    sides = (gemm.Matrices(None, x.offset, *x.strides) for x in (left, right))
    launch = gemm_narrow.prepare_for(lanes, device, gemm.Product(2, M, N, K), *sides)
    assert launch is not None
    launch(output[8:-8], left, right)
    values = output.numpy()
    assert numpy.all(values[:8] == -7)
    assert numpy.all(values[-8:] == -7)
    agree(values[8:-8].reshape(2, M, N), a, b)


@OPENCL_CPUS
def test_what_is_too_small_for_wide_vectors_has_narrower_ones(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_lanes(monkeypatch, cpu_vectors.WIDE_LANES)
    sizes, sides = (
        gemm.Product(1, 77, 1, 8),
        (gemm.Matrices(None, 0, 0, 8, 1), gemm.Matrices(None, 0, 0, 1, 1)),
    )
    assert gemm_narrow.prepare_for(cpu_vectors.WIDE_LANES, device, sizes, *sides) is None
    assert gemm_narrow.prepare(device, sizes, *sides) is not None


def amid_infinities(x: Any, turned: bool, device: Device) -> Array:
    """A view with the values of x; turned, its columns are dense."""
    inside = x.swapaxes(1, 2) if turned else x
    around = tensor.asarray(numpy.pad(inside, 9, constant_values=numpy.inf), device=device)
    view = around[9:-9, 9:-9, 9:-9]
    return view.mT if turned else view


def use_lanes(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """Vectors of this width, whatever the widest are that this machine has."""
    monkeypatch.setattr(cpu_vectors, "lanes", lambda _: lanes)
    monkeypatch.setattr(matmul_module, "_ready", {})


BOTH_WIDTHS = pytest.mark.parametrize("lanes", [cpu_vectors.LANES, cpu_vectors.WIDE_LANES])


@OPENCL_CPUS
@BOTH_WIDTHS
def test_products_in_vectors_of_either_width(
    device: Device, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    use_lanes(monkeypatch, lanes)
    for M, N, K in (*SIZES, *NARROW, (600, 600, 400)):
        test_all_transposes(device, M, N, K, False, False)
        test_all_transposes(device, M, N, K, True, True)
    for left, right in VIEWS:
        test_views(device, left, right)
    for stacks in STACKS:
        test_stacks_broadcast(device, *stacks)


@EVERY_DEVICE
@BOTH_WIDTHS
@pytest.mark.parametrize(("K", "infinite"), [(13, 7), (29, 14)])
def test_an_infinity_before_the_last_steps_counts_once(
    device: Device, monkeypatch: pytest.MonkeyPatch, lanes: int, K: int, infinite: int
) -> None:
    """The last steps of k that are no whole vector are read with some that were read before."""
    use_lanes(monkeypatch, lanes)
    a, b = numpy.ones((70, K), numpy.float32), numpy.ones((K, 3), numpy.float32)
    a[5, infinite], b[infinite, 1] = numpy.inf, -1.0
    ours = (tensor.asarray(a, device=device) @ tensor.asarray(b, device=device)).numpy()
    assert ours[5].tolist() == [numpy.inf, -numpy.inf, numpy.inf]
    assert numpy.isfinite(numpy.delete(ours, 5, 0)).all()


@OPENCL_DEVICES
@pytest.mark.parametrize("tile", gemm_gpu.TILES, ids=str)
@pytest.mark.parametrize("parts", [1, 3])
def test_each_tile_for_gpus(
    device: Device, tile: gpu_tile.GpuTile, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_tile, "plan", lambda *_: gpu_tile.Plan(tile, parts, 48 // parts))
    for M, N in ((150, 140), (257, 68), (33, 301)):
        a, b = random(M, 43), random(43, N)
        ours = launched(on_gpu, *(tensor.asarray(each, device=device) for each in (a, b)))
        agree(ours.numpy(), a, b)


@pytest.mark.parametrize("one_launch", [False, True])
@pytest.mark.parametrize("device", [each for each in with_gpu_kernels() if each.kind == "gpu"], ids=str)
def test_a_matrix_by_a_vector_on_gpus(
    device: Device, one_launch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if one_launch:  # else in the form for any product, where the sum is cut in chunks
        monkeypatch.setattr(reduce_launch, "_groups_see_writes", lambda _: True)
    monkeypatch.setattr(matmul_module, "_ready", {})
    for rows, depth in ((1, 1), (300, 5000), (7, 40_000), (4004, 260), (333, 77)):
        matrix, vector, apart = random(rows, depth), random(depth), random(2 * depth + 1)[1::2]
        a, x = tensor.asarray(matrix, device=device), tensor.asarray(vector, device=device)
        b = tensor.asarray(matrix.T.copy(), device=device)
        y = tensor.asarray(random(2 * depth + 1), device=device)[1::2]
        for ours, theirs in ((a, matrix), (b.T, matrix)):
            for right, its in ((x, vector), (y, apart)):
                agree((ours @ right).numpy(), theirs, its)
                agree((right @ ours.T).numpy(), its, theirs.T)


@OPENCL_DEVICES
def test_rows_far_apart_for_gpus(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form with 64-bit offsets, of matrices that do not need it."""
    monkeypatch.setattr(gemm_gpu, "INTS", 0)
    a, b = random(150, 43), random(43, 140)
    ours = launched(on_gpu, *(tensor.asarray(each, device=device) for each in (a, b)))
    agree(ours.numpy(), a, b)


@pytest.mark.parametrize(
    ("rows", "columns", "depth"), [(1, 1, 1), (64, 64, 100_000), (64, 27, 802_816), (4096, 4096, 4096)]
)
def test_parts_cover_the_sum(rows: int, columns: int, depth: int) -> None:
    plan = gpu_tile.plan(132, rows, columns, depth)
    assert (plan.parts - 1) * plan.depth < depth <= plan.parts * plan.depth


@EVERY_DEVICE
def test_the_same_bits_each_time(device: Device) -> None:
    a, b = (tensor.asarray(random(257, 257), device=device) for _ in range(2))
    first = (a @ b).numpy()
    assert all(numpy.array_equal(first, (a @ b).numpy()) for _ in range(3))


@EVERY_DEVICE
def test_infinities_stay_in_their_rows(device: Device) -> None:
    a, b = random(9, 20), random(20, 18)
    a[4, 3] = numpy.inf
    ours = (tensor.asarray(a, device=device) @ tensor.asarray(b, device=device)).numpy()
    assert not numpy.isfinite(ours[4]).any()
    assert numpy.isfinite(numpy.delete(ours, 4, 0)).all()


@EVERY_DEVICE
def test_errors_name_what_was_seen(device: Device) -> None:
    x = tensor.zeros((2, 3), device=device)
    with pytest.raises(tensor.errors.ShapeError, match=r"\(2, 3\) and \(2, 3\)"):
        tensor.matmul(x, x)
    with pytest.raises(tensor.errors.ShapeError):
        tensor.matmul(tensor.zeros((2, 1, 3), device=device), tensor.zeros((3, 3, 1), device=device))
    with pytest.raises(tensor.errors.ShapeError):
        tensor.matmul(x, tensor.zeros((), device=device))
    with pytest.raises(tensor.errors.DTypeError, match="bool"):
        tensor.matmul(x, tensor.zeros((3, 2), dtype=tensor.bool, device=device))
    assert tensor.matmul(x, tensor.zeros((3, 0), device=device)).shape == (2, 0)


@pytest.mark.parametrize("units", [1, 2, 64])
@pytest.mark.parametrize(
    ("M", "N", "K"),
    [(97, 16, 5), (1536, 1536, 1536), (100_000, 100, 385), (500, 9000, 1), (201, 70, 790)],
)
def test_blocks_are_whole_panels_and_cover_the_product(M: int, N: int, K: int, units: int) -> None:
    for tile in (cpu_tile.TILE, cpu_tile.WIDE_TILE, cpu_tile.NARROW_WIDE_TILE):
        rows, columns, depth = gemm.packed_blocks(gemm.Product(1, M, N, K), units, tile)
        assert rows % tile.rows == 0
        assert columns % tile.columns == 0
        assert 0 < rows <= 192
        assert 0 < columns <= 256
    assert 0 < depth <= 384
