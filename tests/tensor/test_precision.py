"""The precision of matrix products: who may ask for what, and that tf32 is right wherever there is tf32."""

import threading
from typing import Any

import numpy
import pytest

import tensor
from tensor import gemm, gemm_gpu, gemm_wgmma, matmul_precision
from tensor.device import Device


def random(*shape: int) -> Any:
    return numpy.random.default_rng(sum(shape)).standard_normal(shape, dtype=numpy.float32)


def relative_error(ours: Any, a: Any, b: Any) -> float:
    truth = a.astype(numpy.float64) @ b.astype(numpy.float64)
    return float(numpy.linalg.norm(ours - truth) / numpy.linalg.norm(truth))


def test_float32_is_the_default_and_means_it(device: Device) -> None:
    a, b = random(300, 700), random(700, 400)
    x, y = tensor.asarray(a, device=device), tensor.asarray(b, device=device)
    assert tensor.precisions(device)[0] == "float32"
    assert relative_error((x @ y).numpy(), a, b) < 2e-6
    with tensor.precision("tf32"):
        assert relative_error(tensor.matmul(x, y, precision="float32").numpy(), a, b) < 2e-6


@pytest.mark.parametrize("name", ["tf32", "bf16"])
@pytest.mark.parametrize(
    ("M", "N", "K"), [(300, 400, 700), (257, 1001, 333), (96, 97, 2000), (5, 6, 7), (0, 4, 2)]
)
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
def test_any_precision_is_right_in_all_transposes(
    device: Device, name: tensor.Precision, M: int, N: int, K: int, left_turned: bool, right_turned: bool
) -> None:
    a, b = random(M, K), random(K, N)
    x = tensor.asarray(a.T.copy(), device=device).T if left_turned else tensor.asarray(a, device=device)
    y = tensor.asarray(b.T.copy(), device=device).T if right_turned else tensor.asarray(b, device=device)
    ours = tensor.matmul(x, y, precision=name).numpy()
    assert ours.shape == (M, N)
    if M:
        assert relative_error(ours, a, b) < 1e-3


@pytest.mark.parametrize("tile", gemm_wgmma.TILES, ids=str)
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
def test_each_tile_of_the_tensor_cores(
    device: Device,
    tile: gemm_wgmma.Tile,
    left_turned: bool,
    right_turned: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "tf32" not in tensor.precisions(device):
        pytest.skip("no tf32 here")
    monkeypatch.setattr(gemm_wgmma, "TILES", (tile,))
    for M, N, K in ((512, 512, 256), (300, 700, 1000), (257, 131, 333)):
        a, b = random(M, K), random(K, N)
        x = tensor.asarray(a.T.copy(), device=device).T if left_turned else tensor.asarray(a, device=device)
        y = tensor.asarray(b.T.copy(), device=device).T if right_turned else tensor.asarray(b, device=device)
        assert relative_error(tensor.matmul(x, y, precision="tf32").numpy(), a, b) < 1e-3


def test_tf32_of_views_and_stacks(device: Device) -> None:
    x, y = random(3, 260, 300), random(1, 300, 280)
    ours, theirs = tensor.asarray(x, device=device), tensor.asarray(y, device=device)
    with tensor.precision("tf32"):
        assert relative_error((ours @ theirs).numpy(), x, y) < 1e-3
        views = ours[1, 1:, 3:200] @ theirs[0, 3:200, ::2]
        assert relative_error(views.numpy(), x[1, 1:, 3:200], y[0, 3:200, ::2]) < 1e-3


def test_infinities_and_nan_stay_in_their_rows(device: Device) -> None:
    a, b = random(256, 512), random(512, 256)
    a[4, 3], a[7, 5] = numpy.inf, numpy.nan
    ours = tensor.matmul(tensor.asarray(a, device=device), tensor.asarray(b, device=device), precision="tf32")
    assert not numpy.isfinite(ours.numpy()[[4, 7]]).any()
    assert numpy.isfinite(numpy.delete(ours.numpy(), [4, 7], 0)).all()


def test_a_context_ends_nests_and_is_of_one_thread() -> None:
    seen = []
    with tensor.precision("tf32"):
        thread = threading.Thread(target=lambda: seen.append(matmul_precision.checked(None)))
        thread.start()
        thread.join()
        with tensor.precision("float32"):
            seen.append(matmul_precision.checked(None))
        seen.append(matmul_precision.checked(None))
    seen.append(matmul_precision.checked(None))
    assert seen == ["float32", "float32", "tf32", "float32"]


def test_an_unknown_precision_is_an_error() -> None:
    x = tensor.ones((2, 2))
    with pytest.raises(tensor.errors.MeshError, match='"float32", "tf32" or "bf16", got \'fp8\''):
        tensor.matmul(x, x, precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(tensor.errors.MeshError, match="fp8"), tensor.precision("fp8"):  # type: ignore[arg-type]
        pass


def test_a_probe_that_fails_means_float32(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The probe's process dies, whatever the device: the answer is no, and it is remembered."""
    monkeypatch.setenv("MESH_CACHE", str(tmp_path))
    monkeypatch.setattr(matmul_precision.sys, "executable", "/bin/false")
    assert not matmul_precision._probed(device)
    monkeypatch.setattr(matmul_precision, "_probe_in_a_process", lambda _: True)
    assert not matmul_precision._probed(device)


@pytest.mark.parametrize("factor", [1, 1.01])
def test_a_probe_tells_right_products_from_wrong_ones(
    opencl: Device, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the plain kernel in place of the tensor cores', which is right, and then one per cent off."""

    def prepare(device: Device, sizes: gemm.Product, a: gemm.Matrices, b: gemm.Matrices, *_: Any) -> Any:
        def launch(c: tensor.Array, *sides: tensor.Array) -> None:
            gemm_gpu.prepare(device, sizes, a, b)(c, *sides)
            tensor.kernel("kernel void f(global float *c, float by) { c[0] *= by; }", "f")((1,), c, factor)

        return launch

    monkeypatch.setattr(gemm_wgmma, "prepare", prepare)
    if factor == 1:
        matmul_precision.probe(opencl.spec)
    else:
        with pytest.raises(tensor.errors.MeshError, match="gave a wrong product of 256×128 and 128×512"):
            matmul_precision.probe(opencl.spec)
