#!/usr/bin/env python3
"""Memory bandwidth of elementwise operations and reductions, as a ratio to a device copy in the same run.

    python scripts/bench_elementwise.py [--device cpu] [--elements 16777216] [--only exp,sum] [--json]

GB/s count each byte that has to be read or written once. The ratios are that rate by a copy's in the same
run: the driver's own (clEnqueueCopyBuffer), and our kernel's, which may be the faster one. Each operation is
recorded and replayed, so Python's time is not in it; scripts/bench_eager.py measures that.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

from timing import best_s

Case = tuple[str, int, Callable[[], Any]]  # name, bytes that have to move, the operation


def cases(device: Any, count: int) -> list[Case]:
    """The operations on float32 arrays of `count` elements, and of [4096, count / 4096]."""
    import numpy

    import tensor

    random = numpy.random.default_rng(0)
    x, y, z = (
        tensor.asarray(random.random(count, dtype=numpy.float32) + 0.5, device=device) for _ in range(3)
    )
    matrix, other = x.reshape(4096, -1), y.reshape(4096, -1)
    row, column = y[: matrix.shape[1]], z[:4096].reshape(4096, 1)
    block, half, mask = x.reshape(256, -1, 1024), tensor.astype(x, "int32"), x < 1.0
    n = 4 * count
    elementwise: list[Case] = [
        ("copy", 2 * n, lambda: x.copy()),
        ("add", 3 * n, lambda: x + y),
        ("multiply by number", 2 * n, lambda: x * 2.0),
        ("a*b+c, two launches", 6 * n, lambda: x * y + z),
        ("exp", 2 * n, lambda: tensor.exp(x)),
        ("log", 2 * n, lambda: tensor.log(x)),
        ("tanh", 2 * n, lambda: tensor.tanh(x)),
        ("sqrt", 2 * n, lambda: tensor.sqrt(x)),
        ("less", 2 * n + count, lambda: x < y),
        ("where", 3 * n + count, lambda: tensor.where(mask, x, y)),
        ("astype int32", 2 * n, lambda: tensor.astype(x, "int32")),
        ("astype float32", 2 * n, lambda: tensor.astype(half, "float32")),
        ("add row", 2 * n, lambda: matrix + row),
        ("add column", 2 * n, lambda: matrix + column),
        ("add transposed", 3 * n, lambda: matrix + other.reshape(matrix.shape[1], -1).T),
        ("copy transposed", 2 * n, lambda: matrix.T.copy()),
        ("copy every second", n, lambda: x[::2].copy()),
        ("copy permuted 0 2 1", 2 * n, lambda: tensor.permute_dims(block, (0, 2, 1)).copy()),
    ]
    names = [
        name for name in ("sum", "mean", "max", "prod", "var", "argmax", "argmin") if hasattr(tensor, name)
    ]
    reductions: list[Case] = []
    for name in names:
        reduce = getattr(tensor, name)
        for label, source, axis in (
            ("all", x, None),
            ("last axis", matrix, 1),
            ("first axis", matrix, 0),
            ("middle axis", block, 1),
            ("last of 16", x.reshape(-1, 16), 1),
            ("first of 16", x.reshape(16, -1), 0),
        ):
            results = source.size // (source.size if axis is None else source.shape[axis])
            reductions.append(
                (
                    f"{name} {label}",
                    n + results * (8 if name.startswith("arg") else 4),
                    lambda reduce=reduce, source=source, axis=axis: reduce(source, axis=axis),
                )
            )
    return elementwise + reductions


def copy_s(device: Any, count: int, times: int) -> float:
    """One clEnqueueCopyBuffer of `count` floats."""
    import pyopencl

    import tensor

    source, target = (tensor.zeros(count, device=device) for _ in range(2))

    def copy() -> None:
        for _ in range(times):
            pyopencl.enqueue_copy(device.queue.raw, target.buffer, source.buffer)
        device.synchronize()

    return best_s(copy, 20) / times


def replay_s(device: Any, operation: Callable[[], Any], times: int) -> float:
    """One replay of the operation."""
    import tensor

    recording = tensor.record(operation, device=device)

    def replay() -> None:
        for _ in range(times):
            recording.replay()
        device.synchronize()

    return best_s(replay, 20) / times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--elements", type=int, default=2**24, help="a multiple of 2²⁰")
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--json", action="store_true", help="one JSON line per operation")
    options = parser.parse_args()
    import tensor

    device = tensor.device(options.device)
    times = 1 if device.kind == "cpu" else 10
    cases_ = cases(device, options.elements)
    copies_s = copy_s(device, options.elements, times), replay_s(device, cases_[0][2], times)
    driver, ours = (8e-9 * options.elements / each for each in copies_s)
    print(f"# {device.name}: a copy by the driver {driver:,.1f} GB/s, by us {ours:,.1f} GB/s", flush=True)
    wanted = options.only.split(",")
    for name, size_bytes, operation in cases_:
        if any(each in name for each in wanted):
            seconds = replay_s(device, operation, times)
            gb_s = size_bytes / seconds / 1e9
            line = {
                "op": name,
                "gb_s": round(gb_s, 1),
                "ratio": round(gb_s / driver, 2),
                "ratio_to_ours": round(gb_s / ours, 2),
                "us": round(1e6 * seconds, 1),
            }
            print(
                json.dumps(line)
                if options.json
                else "{op:24} {gb_s:9,.1f} GB/s {ratio:6.2f} {ratio_to_ours:6.2f} {us:11,.1f} µs".format(
                    **line
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
