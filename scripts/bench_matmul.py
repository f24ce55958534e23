#!/usr/bin/env python3
"""Our matrix product against NumPy's, in turn in one process: one JSON line per size.

    python scripts/bench_matmul.py [--device cpu] [--dtype float32] [--threads 2] [--repetitions 8] [M,N,K …]

`ratio` is NumPy's best time by ours: above 1 we are faster. Our time includes packing, but no transfer to the
device.
"""

import argparse
import json
import os

from timing import in_turn_s

SIZES = [
    "1536,1536,1536",
    "1024,1024,1024",
    "512,512,512",
    "256,256,256",
    "64,500,800",
    "64,800,500",
    "500,800,64",
    "64,10,500",
]


def compare(spec: str, dtype: str, M: int, N: int, K: int, repetitions: int) -> dict[str, object]:
    """One line of the result; imports NumPy only now, when its number of threads is set."""
    import numpy

    import tensor

    device, rng = tensor.device(spec), numpy.random.default_rng(0)
    a, b = ((9 * rng.standard_normal(shape)).astype(dtype) for shape in ((M, K), (K, N)))
    ours_a, ours_b = tensor.asarray(a, device=device), tensor.asarray(b, device=device)

    def ours() -> None:
        tensor.matmul(ours_a, ours_b)
        device.synchronize()

    ours_s, numpy_s = in_turn_s(ours, lambda: numpy.matmul(a, b), repetitions)
    gflop = 2 * M * N * K / 1e9
    return {
        "benchmark": "matmul",
        "device": device.name,
        "dtype": dtype,
        "M": M,
        "N": N,
        "K": K,
        "ours_gflops": round(gflop / ours_s, 1),
        "numpy_gflops": round(gflop / numpy_s, 1),
        "ratio": round(numpy_s / ours_s, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", default=SIZES, help="M,N,K")
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="NumPy's")
    parser.add_argument("--repetitions", type=int, default=8)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    for size in options.sizes:
        M, N, K = map(int, size.split(","))
        line = compare(options.device, options.dtype, M, N, K, options.repetitions)
        print(json.dumps({**line, "threads": options.threads}), flush=True)


if __name__ == "__main__":
    main()
