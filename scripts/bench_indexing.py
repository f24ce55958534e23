#!/usr/bin/env python3
"""Indexing with arrays and masks against NumPy, in turn in one process: JSON lines.

    python scripts/bench_indexing.py [--device cpu] [--repetitions 9]

`ratio` is NumPy's best time by ours: above 1 we are faster. Elements: 1 Mi random ones of 4 Mi float32. Rows:
16 Ki random ones of a table of 50,000 rows with 256 columns, as an embedding reads and adds them.
"""

import argparse
import json
import operator
from collections.abc import Callable
from typing import Any

from timing import in_turn_s

Pair = tuple[Callable[[], Any], Callable[[], Any]]


def cases(spec: str) -> dict[str, Pair]:
    """What we do and what NumPy does, by name."""
    import numpy

    rng = numpy.random.default_rng(0)
    x, values = rng.random(2**22, numpy.float32), rng.random(2**20, numpy.float32)
    table, rows = rng.random((50_000, 256), numpy.float32), rng.random((2**14, 256), numpy.float32)
    return {
        "x + 0": pair(spec, lambda x: x + 0, x),
        "x[i]": pair(spec, lambda x, i: x[i], x, rng.integers(0, 2**22, 2**20)),
        "x[i] = v": pair(spec, operator.setitem, x, rng.integers(0, 2**22, 2**20), values),
        "x[i] = 0": pair(spec, zero, x, rng.integers(0, 2**22, 2**20)),
        "index_add": pair(spec, add_at, x, rng.integers(0, 2**22, 2**20), values),
        "x[mask]": pair(spec, lambda x, mask: x[mask], x, x > 0.5),
        "x[mask] = 0": pair(spec, zero, x, x > 0.5),
        "rows + 0": pair(spec, lambda x: x + 0, rows),
        "rows x[i]": pair(spec, lambda x, i: x[i], table, rng.integers(0, 50_000, 2**14)),
        "rows x[i] = v": pair(spec, operator.setitem, table, rng.integers(0, 50_000, 2**14), rows),
        "rows index_add": pair(spec, add_at, table, rng.integers(0, 50_000, 2**14), rows),
        "columns x[:, i]": pair(spec, lambda x, i: x[:, i], rows, rng.integers(0, 256, 300)),
    }


def pair(spec: str, act: Callable[..., Any], *values: Any) -> Pair:
    """`act` on our arrays, waiting for the device, and on NumPy's."""
    import tensor

    ours, theirs = [tensor.asarray(each, device=spec) for each in values], [each.copy() for each in values]
    device = ours[0].device
    return (lambda: (act(*ours), device.synchronize())), (lambda: act(*theirs))


def zero(x: Any, key: Any) -> None:
    x[key] = 0.0


def add_at(x: Any, key: Any, values: Any) -> None:
    import numpy

    import tensor

    (tensor.index_add if isinstance(x, tensor.Array) else numpy.add.at)(x, key, values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    for name, (ours, theirs) in cases(options.device).items():
        ours_s, numpy_s = in_turn_s(ours, theirs, options.repetitions)
        times = {"ours_ms": round(ours_s * 1e3, 3), "numpy_ms": round(numpy_s * 1e3, 3)}
        print(json.dumps({"benchmark": name, **times, "ratio": round(numpy_s / ours_s, 2)}), flush=True)


if __name__ == "__main__":
    main()
