#!/usr/bin/env python3
"""Our convolution against PyTorch's on the CPU, in turn in one process: one JSON line per layer and direction.

    python scripts/bench_conv.py [--device cpu] [--threads 2] [--repetitions 15] [--layers lenet|vgg|all]

`ratio` is PyTorch's best time by ours: above 1 we are faster. PyTorch gets NCHW, its default; we get NHWC.
"""

import argparse
import json
import os
import time
from collections.abc import Callable

# batch, height, width, channels, outputs, kernel, padding
LAYERS = {
    "lenet conv1": (64, 28, 28, 1, 20, 5, 0),
    "lenet conv2": (64, 12, 12, 20, 50, 5, 0),
    "vgg conv2_2": (1, 112, 112, 128, 128, 3, 1),
    "vgg conv5_1": (4, 14, 14, 512, 512, 3, 1),
}
SETTLE_S = 0.05  # PyTorch's threads go on spinning for a moment


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--layers", default="all", choices=["lenet", "vgg", "all"])
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before PyTorch is imported

    import numpy
    import torch

    import tensor

    torch.set_num_threads(options.threads)
    device = tensor.device(options.device)
    rng = numpy.random.default_rng(0)
    for name, (N, H, W, C, O, K, padding) in LAYERS.items():  # noqa: E741 - the literature's letter
        if options.layers not in ("all", name.split()[0]):
            continue
        P, Q = H + 2 * padding - K + 1, W + 2 * padding - K + 1
        x, w, dy = (
            rng.standard_normal(shape, dtype=numpy.float32) for shape in [(N, H, W, C), (O, K, K, C), (N, P, Q, O)]
        )
        ours_x, ours_w, ours_dy = (tensor.asarray(each, device=device) for each in (x, w, dy))
        pad = {"padding": (padding, padding)}
        ours: dict[str, Callable[[], object]] = {
            "forward": lambda: tensor.conv2d(ours_x, ours_w, **pad),
            "backward_data": lambda: tensor.conv2d_backward_data(ours_dy, ours_w, x.shape, **pad),
            "backward_weights": lambda: tensor.conv2d_backward_weights(ours_x, ours_dy, (K, K), **pad),
        }
        their_x, their_w, their_dy = (torch.from_numpy(each).permute(0, 3, 1, 2).contiguous() for each in (x, w, dy))

        def backward(data: bool, weights: bool) -> object:
            tail = ((1, 1), (padding, padding), (1, 1), False, (0, 0), 1, (data, weights, False))
            return torch.ops.aten.convolution_backward(their_dy, their_x, their_w, None, *tail)

        theirs: dict[str, Callable[[], object]] = {
            "forward": lambda: torch.nn.functional.conv2d(their_x, their_w, padding=padding),
            "backward_data": lambda: backward(True, False),
            "backward_weights": lambda: backward(False, True),
        }
        for direction, action in ours.items():

            def run(action: Callable[[], object] = action) -> None:
                action()
                device.synchronize()

            rounds = []
            for _ in range(2):
                torch_s = best_s(theirs[direction], options.repetitions)
                time.sleep(SETTLE_S)
                rounds.append((torch_s, best_s(run, options.repetitions)))
            torch_s, ours_s = (min(each[i] for each in rounds) for i in (0, 1))
            flops = 2 * N * P * Q * O * K * K * C / 1e9
            line = {
                "benchmark": "conv",
                "device": device.name,
                "layer": name,
                "direction": direction,
                "threads": options.threads,
                "ours_ms": round(1e3 * ours_s, 3),
                "torch_ms": round(1e3 * torch_s, 3),
                "ours_gflops": round(flops / ours_s, 1),
                "ratio": round(torch_s / ours_s, 2),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
