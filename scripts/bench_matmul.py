#!/usr/bin/env python3
"""Our matrix product against NumPy's, in turn in one process: one JSON line per size.

    python scripts/bench_matmul.py [--device cpu] [--threads 2] [--repetitions 15] [M,N,K …]

`ratio` is NumPy's best time by ours: above 1 we are faster. Packing is inside our time, transfers to the device are not.
"""

import argparse
import json
import os
import time
from collections.abc import Callable

SIZES = ["1536,1536,1536", "1024,1024,1024", "512,512,512", "256,256,256", "64,500,800", "64,800,500", "500,800,64"]
SETTLE_S = 0.05  # OpenBLAS' threads go on spinning for a moment after a product


def best_s(action: Callable[[], object], repetitions: int) -> float:
    """The shortest of several runs; the first one, which warms up, does not count."""
    action()
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=SIZES, help="M,N,K")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # before NumPy is imported

    import numpy

    import tensor

    device = tensor.device(options.device)
    rng = numpy.random.default_rng(0)
    for size in options.sizes:
        M, N, K = map(int, size.split(","))
        a, b = rng.standard_normal((M, K), dtype=numpy.float32), rng.standard_normal((K, N), dtype=numpy.float32)
        ours_a, ours_b = tensor.asarray(a, device=device), tensor.asarray(b, device=device)

        def ours(x: tensor.Array = ours_a, y: tensor.Array = ours_b) -> None:
            x @ y
            device.synchronize()

        def theirs(x: numpy.ndarray = a, y: numpy.ndarray = b) -> None:
            x @ y

        rounds = [(best_s(theirs, options.repetitions), time.sleep(SETTLE_S), best_s(ours, options.repetitions))]
        rounds += [(best_s(theirs, options.repetitions), time.sleep(SETTLE_S), best_s(ours, options.repetitions))]
        numpy_s, ours_s = min(each[0] for each in rounds), min(each[2] for each in rounds)
        flops = 2 * M * N * K / 1e9
        line = {
            "benchmark": "matmul",
            "device": device.name,
            "M": M,
            "N": N,
            "K": K,
            "threads": options.threads,
            "ours_gflops": round(flops / ours_s, 1),
            "numpy_gflops": round(flops / numpy_s, 1),
            "ratio": round(numpy_s / ours_s, 3),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
