#!/usr/bin/env python3
"""What a small eager operation costs the host, as a ratio to enqueuing a kernel whose arguments are set.

    python scripts/bench_eager.py [--device cpu] [--elements 1000] [--without-driver] [--json]

Both in turn in one process: the best of many rounds of a few calls each, with the queue empty before and its
emptying not counted. `raw` is pyopencl.enqueue_nd_range_kernel alone, of our own kernel for a + b. A CPU runs
kernels on the same cores meanwhile; `--without-driver` enqueues nothing, so that Python's part is left (and a
call of nothing for `raw`), which other work disturbs less. `raw, later` comes 10 µs after the last call, as
eager operations do: on a CPU the driver's thread may sleep by then, and has to be woken.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

CALLS, ROUNDS = 20, 400
LATER_S = 10e-6


def call_s(device: Any, operation: Callable[[], object]) -> float:
    """One round: seconds per call."""
    device.synchronize()
    begin = time.perf_counter()
    for _ in range(CALLS):
        operation()
    return (time.perf_counter() - begin) / CALLS


def later_call_s(device: Any, operation: Callable[[], object]) -> float:
    """One round of calls that come LATER_S after one another: seconds per call, without the time between."""
    device.synchronize()
    spent = 0.0
    for _ in range(CALLS):
        begin = time.perf_counter() + LATER_S
        while time.perf_counter() < begin:
            pass
        operation()
        spent += time.perf_counter() - begin
    return spent / CALLS


def operations(device: Any, count: int) -> dict[str, Callable[[], object]]:
    """The raw enqueue first, then ours."""
    import numpy

    import tensor
    from tensor.pointwise import prepare

    random = numpy.random.default_rng(0)
    a, b = (tensor.asarray(random.random(count, dtype=numpy.float32), device=device) for _ in range(2))
    preset = prepare("a + b", a.dtype, a.layout, a.layout, b.layout)
    assert preset is not None
    preset(a.copy(), a, b)
    kernel, sizes = preset.idle_kernel, preset.sizes
    enqueue, queue = device.queue.driver_enqueue, device.queue.raw
    wide, narrow = a[: count // 10 * 10].reshape(-1, 10), b[:100].reshape(10, 10)
    return {
        "raw": lambda: enqueue(queue, kernel, *sizes),
        "a + b": lambda: a + b,
        "a * 2.0": lambda: a * 2.0,
        "a < b": lambda: a < b,
        "exp(a)": lambda: tensor.exp(a),
        "sum(a)": lambda: tensor.sum(a),
        "astype(a, int32)": lambda: tensor.astype(a, "int32"),
        "a.copy()": lambda: a.copy(),
        "[n, 10] @ [10, 10]": lambda: wide @ narrow,
        "a[1:]": lambda: a[1:],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--elements", type=int, default=1000)
    parser.add_argument("--without-driver", action="store_true", help="enqueue nothing")
    parser.add_argument("--json", action="store_true", help="one JSON line per operation")
    options = parser.parse_args()
    import tensor

    device = tensor.device(options.device)
    if options.without_driver:
        device.queue.driver_enqueue = lambda *_: None
        device.queue.direct = lambda *_: lambda: 0
    chosen = operations(device, options.elements)
    best = dict.fromkeys(("raw", "raw, later", *chosen), float("inf"))
    for _ in range(ROUNDS):
        best["raw, later"] = min(best["raw, later"], later_call_s(device, chosen["raw"]))
        for name, operation in chosen.items():
            best[name] = min(best[name], call_s(device, operation))
    for name, seconds in best.items():
        line = {"op": name, "us": round(1e6 * seconds, 2), "ratio": round(seconds / best["raw"], 2)}
        print(json.dumps(line) if options.json else "{op:18} {us:7.2f} µs {ratio:6.2f}".format(**line))


if __name__ == "__main__":
    main()
