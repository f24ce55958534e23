#!/usr/bin/env python3
"""Our sort and argsort against NumPy's, in turn in one process: one JSON line per case.

    python scripts/bench_sort.py [--device cpu] [--repetitions 3] [--dtype float32] [SHAPE …]

`ratio` is NumPy's best time by ours: above 1 we are faster. NumPy sorts with the same `stable`.
"""

import argparse
import json

from timing import in_turn_s

SHAPES = ["1048576", "16777216", "10000,100"]


def compare(
    spec: str, dtype: str, text: str, function: str, stable: bool, repetitions: int
) -> dict[str, object]:
    """One line of the result."""
    import numpy

    import tensor

    device, rng = tensor.device(spec), numpy.random.default_rng(0)
    values = (rng.standard_normal([int(each) for each in text.split(",")]) * 1e9).astype(dtype)
    x = tensor.asarray(values, device=device)

    def ours() -> None:
        getattr(tensor, function)(x, stable=stable)
        device.synchronize()

    def theirs() -> None:
        getattr(numpy, function)(values, stable=stable)

    ours_s, numpy_s = in_turn_s(ours, theirs, repetitions, rounds=2)
    return {
        "benchmark": function,
        "device": device.name,
        "dtype": dtype,
        "shape": text,
        "stable": stable,
        "ours_ms": round(ours_s * 1e3, 2),
        "numpy_ms": round(numpy_s * 1e3, 2),
        "ratio": round(numpy_s / ours_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", default=SHAPES, help="as 10000,100")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    for shape in options.shapes:
        for function in ("sort", "argsort"):
            for stable in (False, True):
                line = compare(options.device, options.dtype, shape, function, stable, options.repetitions)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
