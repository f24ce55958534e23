#!/usr/bin/env python3
"""What `@tensor.fuse` gains: three chains of elementwise operations, fused and one by one, in turn.

python scripts/bench_fusion.py [--device cpu] [--elements 16777216,1000]
"""

import argparse
from collections.abc import Callable
from typing import Any

from timing import in_turn_s


def chains() -> dict[str, Callable[..., Any]]:
    """GELU by tanh of x; normalisation of rows x by m, v, g, b; Adam's step of w, g, m, v."""
    import tensor

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + tensor.tanh(0.7978846 * (x + 0.044715 * x * x * x)))

    def normalise(x: Any, m: Any, v: Any, g: Any, b: Any) -> Any:
        return (x - m) / tensor.sqrt(v + 1e-5) * g + b

    def adam(w: Any, g: Any, m: Any, v: Any) -> Any:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return w - 0.001 * m / (tensor.sqrt(v) + 1e-8), m, v

    return {"gelu": gelu, "normalise": normalise, "adam": adam}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--elements", default="16777216,1000", help="several, separated by commas")
    options = parser.parse_args()
    import numpy

    import tensor

    device, random = tensor.device(options.device), numpy.random.default_rng(0)

    def some(*shape: int) -> Any:
        return tensor.asarray(random.random(shape, dtype=numpy.float32), device=device)

    for count in map(int, options.elements.split(",")):
        columns = 1024 if count % 1024 == 0 else 100
        arguments = {
            "gelu": [some(count)],
            "normalise": [some(count // columns, columns), *[some(columns) for _ in range(4)]],
            "adam": [some(count) for _ in range(4)],
        }
        for name, chain in chains().items():

            def run(function: Any, values: Any = arguments[name]) -> None:
                function(*values)
                device.synchronize()

            fused = tensor.fuse(chain)
            fused_s, eager_s = in_turn_s(
                lambda run=run, fused=fused: run(fused),
                lambda run=run, chain=chain: run(chain),
                10 if count > 1e6 else 300,
            )
            print(
                f"{name:10} {count:9,} elements: one by one {1e6 * eager_s:10,.1f} µs, "
                f"fused {1e6 * fused_s:10,.1f} µs, gain {eager_s / fused_s:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
