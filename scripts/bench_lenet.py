"""LeNet training, batch 64: images/s of ours on an OpenCL CPU device against PyTorch, in turn.

    python scripts/bench_lenet.py [--device cpu] [--threads 2] [--rounds 7]

One JSON line on stdout; the ratio is the median over the rounds of ours / PyTorch's. A timing on a shared
machine means nothing by itself: only the ratio does.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy
import torch

import nn
import tensor

BATCH = 64
STEPS = 20


def our_step(device: tensor.Device, images: numpy.ndarray, labels: numpy.ndarray) -> Callable[[], None]:
    """A recorded training step: forward, backward, momentum SGD."""
    network = nn.models.lenet().initialize(device, seed=0)
    optimizer = nn.SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)
    optimizer.initialize(network.vector)
    x, y = tensor.asarray(images, device=device), tensor.asarray(labels, device=device)
    gradient = nn.value_and_grad(network, lambda x, y: nn.softmax_cross_entropy(network(x), y))

    def step() -> None:
        gradient(x, y)
        optimizer.step(network.vector, network.gradient)

    recording = tensor.record(step, device=device)

    def run() -> None:
        for _ in range(STEPS):
            recording.replay()
        device.synchronize()

    return run


def their_step(images: numpy.ndarray, labels: numpy.ndarray) -> Callable[[], None]:
    """The same in eager PyTorch."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 50, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(800, 500),
        torch.nn.ReLU(),
        torch.nn.Linear(500, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x, y = torch.tensor(images.transpose(0, 3, 1, 2).copy()), torch.tensor(labels).long()

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()

    return run


def rate(run: Callable[[], None]) -> float:
    """Images per second of one call."""
    begin = time.perf_counter()
    run()
    return BATCH * STEPS / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = numpy.random.default_rng(0)
    images = generator.random((BATCH, 28, 28, 1), numpy.float32)
    labels = generator.integers(0, 10, BATCH).astype(numpy.int32)
    device = tensor.device(arguments.device)
    ours, theirs = our_step(device, images, labels), their_step(images, labels)
    ours(), theirs()  # warm up
    rates = [(rate(ours), rate(theirs)) for _ in range(arguments.rounds)]
    print(
        json.dumps(
            {
                "benchmark": "lenet training",
                "batch": BATCH,
                "device": device.name,
                "pytorch_threads": arguments.threads,
                "images_s": round(statistics.median(mine for mine, _ in rates)),
                "pytorch_images_s": round(statistics.median(other for _, other in rates)),
                "ratio": round(statistics.median(mine / other for mine, other in rates), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
