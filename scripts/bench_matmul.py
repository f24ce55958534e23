#!/usr/bin/env python3
"""Our matrix product against NumPy's, on a GPU against PyTorch's, in turn in one process: a JSON line each.

    python scripts/bench_matmul.py [--device cpu] [--threads 2] [--repetitions 8] [M,N,K …]
    python scripts/bench_matmul.py --device gpu [--precision tf32] [--layouts nn,nt,tn,tt] [M,N,K …]

`ratio` is their best time by ours: above 1 we are faster. Our time includes packing, but no transfer to the
device. On a GPU both are timed over many products in a row, ours replayed (`tensor.record`); PyTorch is left
out where it has no CUDA. `layouts` says of A and of B whether they are transposed views. `error` is the
relative error of some rows, in the norm.
"""

import argparse
import json
import os
from collections.abc import Callable
from typing import Any

from timing import in_turn_s

CPU_SIZES = [
    "1536,1536,1536",
    "1024,1024,1024",
    "512,512,512",
    "256,256,256",
    "64,500,800",
    "64,800,500",
    "500,800,64",
    "64,10,500",
]
GPU_SIZES = [
    *("2048,2048,2048", "4096,4096,4096", "8192,8192,8192", "1024,1024,1024", "512,512,512"),
    *("4095,4097,4099", "64,64,100000", "27,64,802816", "4096,64,4096"),
]
RUN_S = 0.03  # of products in a row on a GPU


def compare_on_cpu(spec: str, M: int, N: int, K: int, repetitions: int) -> dict[str, object]:
    """One line of the result; imports NumPy only now, when its number of threads is set."""
    import numpy

    import tensor

    device, rng = tensor.device(spec), numpy.random.default_rng(0)
    a, b = rng.standard_normal((M, K), dtype=numpy.float32), rng.standard_normal((K, N), dtype=numpy.float32)
    ours_a, ours_b = tensor.asarray(a, device=device), tensor.asarray(b, device=device)

    def ours() -> None:
        tensor.matmul(ours_a, ours_b)
        device.synchronize()

    ours_s, numpy_s = in_turn_s(ours, lambda: numpy.matmul(a, b), repetitions)
    gflop = 2 * M * N * K / 1e9
    return {
        "device": device.name,
        "ours_gflops": round(gflop / ours_s, 1),
        "numpy_gflops": round(gflop / numpy_s, 1),
        "ratio": round(numpy_s / ours_s, 3),
    }


def compare_on_gpu(
    spec: str, M: int, N: int, K: int, layout: str, precision: Any, repetitions: int
) -> dict[str, object]:
    """One line of the result for matrices that are transposed views where `layout` says t."""
    import numpy

    import tensor

    device, rng = tensor.device(spec), numpy.random.default_rng(0)
    a, b = (
        rng.standard_normal(shape if each == "n" else shape[::-1], dtype=numpy.float32)
        for each, shape in zip(layout, ((M, K), (K, N)), strict=True)
    )

    def turned(x: Any, each: str) -> Any:
        return x if each == "n" else x.T

    ours_a, ours_b = (
        turned(tensor.asarray(x, device=device), each) for x, each in zip((a, b), layout, strict=True)
    )
    count = max(2, min(200, int(RUN_S * 40e12 / (2 * M * N * K))))

    def products() -> Any:
        for _ in range(count):
            c = tensor.matmul(ours_a, ours_b, precision=precision)
        return c

    recording = tensor.record(products, device=device)

    def ours() -> None:
        recording.replay()
        device.synchronize()

    theirs = _theirs_on_gpu(turned, a, b, layout, precision, count)
    ours_s, theirs_s = in_turn_s(ours, theirs or ours, repetitions)
    rows, left, right = slice(0, 64), turned(a, layout[0]), turned(b, layout[1])
    truth = left[rows].astype(numpy.float64) @ right
    error = numpy.linalg.norm(recording.result[rows].numpy() - truth) / numpy.linalg.norm(truth)
    tera = 2e-12 * M * N * K * count
    compared = {"torch_tflops": round(tera / theirs_s, 1), "ratio": round(theirs_s / ours_s, 3)}
    return {
        "device": device.name,
        "layout": layout,
        "precision": precision,
        "ours_tflops": round(tera / ours_s, 1),
        "ours_us": round(1e6 * ours_s / count, 1),
        **(compared if theirs else {}),
        "error": float(f"{error:.1e}"),
    }


def _theirs_on_gpu(
    turned: Callable[[Any, str], Any], a: Any, b: Any, layout: str, precision: str, count: int
) -> Callable[[], None] | None:
    """The same products in PyTorch on the same card, if it has CUDA."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    x, y = (turned(torch.from_numpy(m).cuda(), each) for m, each in zip((a, b), layout, strict=True))

    def run() -> None:
        for _ in range(count):
            torch.matmul(x, y)
        torch.cuda.synchronize()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", help="M,N,K")
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="NumPy's")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bf16"])
    parser.add_argument("--layouts", default="nn", help="of GPUs' matrices, as nn,nt,tn,tt")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    import tensor

    on_gpu = tensor.device(options.device).kind == "gpu"
    for size in options.sizes or (GPU_SIZES if on_gpu else CPU_SIZES):
        M, N, K = map(int, size.split(","))
        line: dict[str, object] = {"benchmark": "matmul", "M": M, "N": N, "K": K}
        if not on_gpu:
            found = compare_on_cpu(options.device, M, N, K, options.repetitions)
            print(json.dumps({**line, **found, "threads": options.threads}), flush=True)
            continue
        for layout in options.layouts.split(","):
            found = compare_on_gpu(
                options.device, M, N, K, layout, options.precision, min(3, options.repetitions)
            )
            print(json.dumps({**line, **found}), flush=True)


if __name__ == "__main__":
    main()
