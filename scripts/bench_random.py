#!/usr/bin/env python3
"""Random numbers against NumPy's generator, in turn in one process: one JSON line per case.

    python scripts/bench_random.py [--device cpu] [--count 16777216] [--repetitions 3]

`ratio` is NumPy's best time by ours: above 1 we are faster.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

from timing import in_turn_s


def cases(spec: str, n: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """What we draw and what NumPy draws, by name."""
    import numpy

    import tensor

    ours, theirs = tensor.random.default_rng(1, spec), numpy.random.default_rng(1)
    return {
        "random": (lambda: ours.random(n), lambda: theirs.random(n, numpy.float32)),
        "normal": (lambda: ours.normal(shape=n), lambda: theirs.standard_normal(n, numpy.float32)),
        "integers(1000)": (lambda: ours.integers(1000, shape=n), lambda: theirs.integers(1000, size=n)),
        "integers(2**50)": (lambda: ours.integers(2**50, shape=n), lambda: theirs.integers(2**50, size=n)),
        "permutation of a sixteenth": (
            lambda: ours.permutation(n // 16),
            lambda: theirs.permutation(n // 16),
        ),
    }


def main() -> None:
    import tensor

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=2**24)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    device = tensor.device(options.device)
    for name, (ours, theirs) in cases(options.device, options.count).items():

        def ours_done(draw: Callable[[], Any] = ours) -> None:
            draw()
            device.synchronize()

        ours_s, numpy_s = in_turn_s(ours_done, theirs, options.repetitions, rounds=2)
        times = {"ours_ms": round(ours_s * 1e3, 1), "numpy_ms": round(numpy_s * 1e3, 1)}
        print(json.dumps({"benchmark": name, **times, "ratio": round(numpy_s / ours_s, 2)}), flush=True)


if __name__ == "__main__":
    main()
