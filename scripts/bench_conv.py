#!/usr/bin/env python3
"""Our convolution against PyTorch's, in turn in one process: a JSON line per layer and direction.

    python scripts/bench_conv.py [--device cpu] [--threads 2] [--repetitions 8] [--layers lenet|vgg|all]
    python scripts/bench_conv.py --device gpu [--layers vgg16|resnet50] [--batch 64]

`ratio` is PyTorch's best time by ours: above 1 we are faster. PyTorch gets NCHW, its default; we get NHWC. On
a GPU both are timed over several convolutions in a row in float32, PyTorch on the same card if it has CUDA
(its cuDNN then chooses the algorithm, Winograd's too); `total` is a network's sum over layers, each as often
as it stands there, and its TFLOPS count the multiplications of the direct form.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy
import torch
from timing import in_turn_s

import tensor

Actions = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Layer:
    """A square convolution, `times` of them in its network."""

    name: str
    batch: int
    size: int
    channels: int
    outputs: int
    kernel: int
    padding: int
    stride: int = 1
    times: int = 1

    @property
    def out_size(self) -> int:
        """Height and width of the result."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

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
# size, channels, outputs, kernel, stride, times; padded by half a kernel
NETWORKS = {
    "vgg16": [
        *((224, 3, 64, 3, 1, 1), (224, 64, 64, 3, 1, 1), (112, 64, 128, 3, 1, 1), (112, 128, 128, 3, 1, 1)),
        *((56, 128, 256, 3, 1, 1), (56, 256, 256, 3, 1, 2), (28, 256, 512, 3, 1, 1), (28, 512, 512, 3, 1, 2)),
        (14, 512, 512, 3, 1, 3),
    ],
    "resnet50": [
        *((224, 3, 64, 7, 2, 1), (56, 64, 64, 1, 1, 1), (56, 256, 64, 1, 1, 2), (56, 64, 64, 3, 1, 3)),
        *((56, 64, 256, 1, 1, 4), (56, 256, 128, 1, 1, 1), (56, 128, 128, 3, 2, 1), (28, 512, 128, 1, 1, 3)),
        *((28, 128, 128, 3, 1, 3), (28, 128, 512, 1, 1, 4), (56, 256, 512, 1, 2, 1), (28, 512, 256, 1, 1, 1)),
        *(
            (28, 256, 256, 3, 2, 1),
            (14, 1024, 256, 1, 1, 5),
            (14, 256, 256, 3, 1, 5),
            (14, 256, 1024, 1, 1, 6),
        ),
        *(
            (28, 512, 1024, 1, 2, 1),
            (14, 1024, 512, 1, 1, 1),
            (14, 512, 512, 3, 2, 1),
            (7, 2048, 512, 1, 1, 2),
        ),
        *((7, 512, 512, 3, 1, 2), (7, 512, 2048, 1, 1, 3), (14, 1024, 2048, 1, 2, 1)),
    ],
}
RUN_S = 0.01  # of convolutions in a row on a GPU


def our_actions(layer: Layer, device: tensor.Device) -> Actions:
    """Each direction, until the device has done it."""
    x, w, dy = (tensor.asarray(each, device=device) for each in layer.arrays())
    kernel, options = (layer.kernel, layer.kernel), _options(layer)

    def done(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            action()
            device.synchronize()

        return run

    if device.kind == "gpu":
        done = partial(_replayed, layer, device)
    return {
        "forward": done(lambda: tensor.conv2d(x, w, **options)),
        "backward_data": done(lambda: tensor.conv2d_backward_data(dy, w, x.shape, **options)),
        "backward_weights": done(lambda: tensor.conv2d_backward_weights(x, dy, kernel, **options)),
    }


def _options(layer: Layer) -> dict[str, tuple[int, int]]:
    return {"stride": (layer.stride, layer.stride), "padding": (layer.padding, layer.padding)}


def _in_a_row(layer: Layer) -> int:
    return max(2, min(50, int(RUN_S * 4e4 / layer.gflop)))


def _replayed(layer: Layer, device: tensor.Device, action: Callable[[], object]) -> Callable[[], object]:
    """Several in a row from a recording, until the device has done them."""

    def several() -> None:
        for _ in range(_in_a_row(layer)):
            action()

    recording = tensor.record(several, device=device)

    def run() -> None:
        recording.replay()
        device.synchronize()

    return run


def their_actions(layer: Layer, on_cuda: bool) -> Actions:
    """The same in PyTorch."""
    where = "cuda" if on_cuda else "cpu"
    x, w, dy = (torch.from_numpy(each).to(where).permute(0, 3, 1, 2).contiguous() for each in layer.arrays())
    options = _options(layer)

    def backward(data: bool, weights: bool) -> object:
        geometry = (options["stride"], options["padding"], (1, 1), False, (0, 0), 1, (data, weights, False))
        return torch.ops.aten.convolution_backward(dy, x, w, None, *geometry)

    def done(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            for _ in range(_in_a_row(layer)):
                action()
            torch.cuda.synchronize()

        return run if on_cuda else action

    return {
        "forward": done(lambda: torch.nn.functional.conv2d(x, w, **options)),
        "backward_data": done(lambda: backward(True, False)),
        "backward_weights": done(lambda: backward(False, True)),
    }


def compare(layer: Layer, device: tensor.Device, against: bool, repetitions: int) -> list[dict[str, object]]:
    """A line for each direction; images of three channels are data, whose gradient nobody asks for."""
    on_gpu, lines = device.kind == "gpu", []
    ours, theirs = our_actions(layer, device), their_actions(layer, on_gpu) if against else {}
    count = _in_a_row(layer) if on_gpu else 1
    for direction in ours:
        if on_gpu and direction == "backward_data" and layer.channels == 3:
            continue
        ours_s, torch_s = in_turn_s(ours[direction], theirs.get(direction, ours[direction]), repetitions)
        line: dict[str, object] = {
            "benchmark": "conv",
            "device": device.name,
            "layer": layer.name,
            "direction": direction,
            "ours_ms": round(1e3 * ours_s / count, 3),
            "ours_gflops": round(layer.gflop * count / ours_s, 1),
        }
        if against:
            line |= {"torch_ms": round(1e3 * torch_s / count, 3), "ratio": round(torch_s / ours_s, 2)}
        lines.append(line)
    return lines


def network(name: str, batch: int, device: tensor.Device, repetitions: int) -> None:
    """Each layer of a network, and their sum by direction."""
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = False, True
    against = torch.cuda.is_available()
    sums: dict[str, list[float]] = {}
    for size, channels, outputs, kernel, stride, times in NETWORKS[name]:
        text = f"{name} {size}x{size}x{channels} {kernel}x{kernel}/{stride} {outputs}"
        layer = Layer(text, batch, size, channels, outputs, kernel, kernel // 2, stride, times)
        for line in compare(layer, device, against, repetitions):
            print(json.dumps(line), flush=True)
            for key in (str(line["direction"]), "all"):
                entry = sums.setdefault(key, [0.0, 0.0, 0.0])
                values = (line["ours_ms"], line.get("torch_ms", 0.0), layer.gflop)
                for i, value in enumerate(values):
                    entry[i] += times * float(str(value))
    for direction, (ours_ms, torch_ms, gflop) in sums.items():
        total = {"benchmark": "conv total", "network": name, "batch": batch, "direction": direction}
        found = {"ours_ms": round(ours_ms, 2), "ours_tflops": round(gflop / ours_ms, 1)}
        theirs = {"torch_ms": round(torch_ms, 2), "ratio": round(torch_ms / ours_ms, 2)} if against else {}
        print(json.dumps({**total, **found, **theirs}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--layers", default="all", choices=["lenet", "vgg", "all", *NETWORKS])
    parser.add_argument("--batch", type=int, default=64, help="images, of a whole network")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = tensor.device(options.device)
    if options.layers in NETWORKS:
        network(options.layers, options.batch, device, min(3, options.repetitions))
        return
    for layer in LAYERS:
        if options.layers in ("all", layer.name.split()[0]):
            for line in compare(layer, device, device.kind != "gpu", options.repetitions):
                print(json.dumps({**line, "threads": options.threads}), flush=True)


if __name__ == "__main__":
    main()
