#!/usr/bin/env python3
"""Our convolution against PyTorch's on the CPU, in turn in one process: a JSON line per layer and direction.

    python scripts/bench_conv.py [--device cpu] [--threads 2] [--repetitions 8] [--layers lenet|vgg|all]

`ratio` is PyTorch's best time by ours: above 1 we are faster. PyTorch gets NCHW, its default; we get NHWC.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from timing import in_turn_s

import tensor

Actions = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Layer:
    """A square convolution with stride 1."""

    name: str
    batch: int
    size: int
    channels: int
    outputs: int
    kernel: int
    padding: int

    @property
    def out_size(self) -> int:
        """Height and width of the result."""
        return self.size + 2 * self.padding - self.kernel + 1

    @property
    def gflop(self) -> float:
        """Arithmetic of one direction, in 10⁹ operations."""
        return 2e-9 * self.batch * self.out_size**2 * self.outputs * self.kernel**2 * self.channels

    def arrays(self) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Images, weights and the gradient of the result."""
        rng = numpy.random.default_rng(0)
        shapes = [
            (self.batch, self.size, self.size, self.channels),
            (self.outputs, self.kernel, self.kernel, self.channels),
            (self.batch, self.out_size, self.out_size, self.outputs),
        ]
        x, w, dy = (rng.standard_normal(shape, dtype=numpy.float32) for shape in shapes)
        return x, w, dy


LAYERS = [
    Layer("lenet conv1", 64, 28, 1, 20, 5, 0),
    Layer("lenet conv2", 64, 12, 20, 50, 5, 0),
    Layer("vgg conv2_2", 1, 112, 128, 128, 3, 1),
    Layer("vgg conv5_1", 4, 14, 512, 512, 3, 1),
]


def our_actions(layer: Layer, device: tensor.Device) -> Actions:
    """Each direction, until the device has done it."""
    x, w, dy = (tensor.asarray(each, device=device) for each in layer.arrays())
    padding, kernel = (layer.padding, layer.padding), (layer.kernel, layer.kernel)

    def done(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            action()
            device.synchronize()

        return run

    return {
        "forward": done(lambda: tensor.conv2d(x, w, padding=padding)),
        "backward_data": done(lambda: tensor.conv2d_backward_data(dy, w, x.shape, padding=padding)),
        "backward_weights": done(lambda: tensor.conv2d_backward_weights(x, dy, kernel, padding=padding)),
    }


def their_actions(layer: Layer) -> Actions:
    """The same in PyTorch."""
    x, w, dy = (torch.from_numpy(each).permute(0, 3, 1, 2).contiguous() for each in layer.arrays())
    padding = (layer.padding, layer.padding)

    def backward(data: bool, weights: bool) -> object:
        options = (None, (1, 1), padding, (1, 1), False, (0, 0), 1, (data, weights, False))
        return torch.ops.aten.convolution_backward(dy, x, w, *options)

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, w, padding=padding),
        "backward_data": lambda: backward(True, False),
        "backward_weights": lambda: backward(False, True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--layers", default="all", choices=["lenet", "vgg", "all"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = tensor.device(options.device)
    for layer in LAYERS:
        if options.layers not in ("all", layer.name.split()[0]):
            continue
        ours, theirs = our_actions(layer, device), their_actions(layer)
        for direction in ours:
            ours_s, torch_s = in_turn_s(ours[direction], theirs[direction], options.repetitions)
            line = {
                "benchmark": "conv",
                "device": device.name,
                "layer": layer.name,
                "direction": direction,
                "ours_ms": round(1e3 * ours_s, 3),
                "torch_ms": round(1e3 * torch_s, 3),
                "ours_gflops": round(layer.gflop / ours_s, 1),
                "ratio": round(torch_s / ours_s, 2),
                "threads": options.threads,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
