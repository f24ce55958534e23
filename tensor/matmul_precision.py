"""The precision of matrix products: what a device has, and which one is asked for.

float32 is the default and means float32. "tf32" cuts inputs to 10 bits of mantissa and sums in float32, on
tensor cores; "bf16" allows inputs with 7 bits. They are permissions: where a device or a shape has nothing
faster, the product is computed in the next more exact precision that there is.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal, cast, get_args

from tensor.device import Device, OpenCLDevice
from tensor.discovery import device as find_device
from tensor.errors import MeshError
from tensor.nvidia import compute_capability
from tensor.program import cache_folder, source_text

Precision = Literal["float32", "tf32", "bf16"]
PROBE_TIMEOUT_S = 120.0

_asked: ContextVar[Precision] = ContextVar("precision", default="float32")


class PrecisionError(MeshError):
    """A precision that matrix products do not have."""


@contextmanager
def precision(name: Precision) -> Iterator[None]:
    """Let matrix products inside the block, in this thread or task only, use "float32", "tf32" or "bf16".

    "tf32" and "bf16" allow shorter inputs for speed and promise nothing: `precisions` tells what there is.
    There is no kernel for bf16 yet: it computes in tf32 where there is that. NumPy, and convolutions,
    compute in float32 always. Raises PrecisionError for other names.
    """
    token = _asked.set(checked(name))
    try:
        yield
    finally:
        _asked.reset(token)


def checked(name: str | None) -> Precision:
    """`name`, or what the innermost `with precision(…)` says; raises PrecisionError."""
    if name is None:
        return _asked.get()
    if name in get_args(Precision):
        return cast(Precision, name)
    raise PrecisionError(f'precision: expected "float32", "tf32" or "bf16", got {name!r}.')


def precisions(device: Device | str | None = None) -> tuple[Precision, ...]:
    """What matrix products of a device compute in: always "float32", and "tf32" on NVIDIA's Hopper.

    Found out by compiling and running a product in a process of its own, once per device and driver; the
    answer is kept beside the cache of kernels.
    """
    return _precisions(find_device(device))


@cache
def _precisions(device: Device) -> tuple[Precision, ...]:
    hopper = isinstance(device, OpenCLDevice) and compute_capability(device.raw) == (9, 0)
    return ("float32", "tf32") if hopper and _probed(device) else ("float32",)


def _probed(device: Device) -> bool:
    """The remembered answer of the probe, or a new one."""
    sources = source_text("gemm_wgmma.cl")
    identity = "\0".join([device.name, device.driver, sources])
    path = cache_folder() / "precision" / f"{hashlib.sha256(identity.encode()).hexdigest()[:40]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return bool(json.loads(path.read_text(encoding="utf-8"))["tf32"])
    works = _probe_in_a_process(device.spec)
    _store(path, json.dumps({"device": device.name, "driver": device.driver, "tf32": works}))
    return works


def _probe_in_a_process(spec: str) -> bool:
    """Run `probe` where it may crash; what faults on a GPU takes its context with it."""
    command = [sys.executable, "-c", f"from tensor.matmul_precision import probe; probe({spec!r})"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def probe(spec: str) -> None:
    """Compute products with each tile of the tensor cores' kernel; raise if they differ from NumPy's."""
    import numpy

    from tensor import gemm, gemm_wgmma
    from tensor.creation import asarray

    device, random = find_device(spec), numpy.random.default_rng(0)
    for tile, (M, N, K) in product(gemm_wgmma.TILES, ((256, 512, 128), (130, 270, 77))):
        a, b = random.random((M, K), numpy.float32), random.random((K, N), numpy.float32)
        left, right = asarray(a, device=device), asarray(b, device=device)
        output = asarray(numpy.full((M, N), numpy.nan, numpy.float32), device=device)
        from_left, from_right = (gemm.Matrices(None, 0, 0, *x.strides) for x in (left, right))
        launch = gemm_wgmma.prepare(device, gemm.Product(1, M, N, K), from_left, from_right, tile)
        launch(output, left, right)
        if not numpy.allclose(output.numpy(), a @ b, rtol=2e-3):
            raise PrecisionError(f"tf32 on {device.name} gave a wrong product of {M}×{K} and {K}×{N}.")


def _store(path: Path, text: str) -> None:
    with suppress(OSError):  # without a cache the probe runs again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=".new", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        os.replace(file.name, path)
