#!/usr/bin/env python3
"""Sorting, scanning and searching against NumPy, in turn in one process: one JSON line per case.

    python scripts/bench_sort.py [--device cpu] [--repetitions 3] [--dtype float32] [--shape 10000,100 …]
        [FUNCTION …]

`ratio` is NumPy's best time by ours: above 1 we are faster. sort and argsort are compared with the same
`stable`.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

from timing import in_turn_s

SHAPES = ["1048576", "16777216", "10000,100"]

# Each works in both libraries, on values x, bools b and ascending values s.
FUNCTIONS: dict[str, Callable[[Any, Any, Any, Any], object]] = {
    "sort": lambda m, x, b, s: m.sort(x, stable=False),
    "stable sort": lambda m, x, b, s: m.sort(x, stable=True),
    "argsort": lambda m, x, b, s: m.argsort(x, stable=False),
    "stable argsort": lambda m, x, b, s: m.argsort(x, stable=True),
    "cumulative_sum": lambda m, x, b, s: m.cumulative_sum(x, axis=-1),
    "cumulative_sum of columns": lambda m, x, b, s: m.cumulative_sum(x, axis=0),
    "nonzero": lambda m, x, b, s: m.nonzero(b),
    "searchsorted": lambda m, x, b, s: m.searchsorted(s, x),
    "unique_values": lambda m, x, b, s: m.unique_values(x),
    "unique_all": lambda m, x, b, s: m.unique_all(x),
}


def compare(spec: str, dtype: str, text: str, name: str, repetitions: int) -> dict[str, object]:
    """One line of the result."""
    import numpy

    import tensor

    device, rng = tensor.device(spec), numpy.random.default_rng(0)
    x = (rng.standard_normal([int(each) for each in text.split(",")]) * 1e9).astype(dtype)
    values = (x, x > 0, numpy.sort(x, axis=None))
    arrays = [tensor.asarray(each, device=device) for each in values]
    function = FUNCTIONS[name]

    def ours() -> None:
        function(tensor, *arrays)
        device.synchronize()

    ours_s, numpy_s = in_turn_s(ours, lambda: function(numpy, *values), repetitions, rounds=2)
    return {
        "benchmark": name,
        "device": device.name,
        "dtype": dtype,
        "shape": text,
        "ours_ms": round(ours_s * 1e3, 2),
        "numpy_ms": round(numpy_s * 1e3, 2),
        "ratio": round(numpy_s / ours_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("functions", nargs="*", default=FUNCTIONS, help=", ".join(FUNCTIONS))
    parser.add_argument("--shape", action="append", help="as 10000,100; may be given several times")
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    for shape in options.shape or SHAPES:
        for name in options.functions:
            line = compare(options.device, options.dtype, shape, name, options.repetitions)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
