"""LeNet training, batch 64: images/s of ours on an OpenCL device against PyTorch, in turn.

    python scripts/bench_lenet.py [--device cpu] [--torch cpu] [--threads 2] [--rounds 7] [--steps 20]

One JSON line on stdout; the ratio is the median over the rounds of ours / PyTorch's. A timing on a shared
machine means nothing by itself: only the ratio does. With --torch cuda, PyTorch's step is also timed
as a CUDA graph.
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
WARM_UP = 3  # eager steps that CUDA wants before a graph is captured


def our_step(
    device: tensor.Device, images: numpy.ndarray, labels: numpy.ndarray, steps: int
) -> Callable[[], None]:
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
        for _ in range(steps):
            recording.replay()
        device.synchronize()

    return run


def their_steps(
    images: numpy.ndarray, labels: numpy.ndarray, steps: int, device: str
) -> dict[str, Callable[[], None]]:
    """The same in PyTorch: eager, and on CUDA as a graph."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 50, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(800, 500),
        torch.nn.ReLU(),
        torch.nn.Linear(500, 10),
    ).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), device=device)
    y = torch.tensor(labels, device=device).long()

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    def repeated(one: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(steps):
                one()
            if device != "cpu":
                torch.cuda.synchronize()

        return run

    if device == "cpu":
        return {"eager": repeated(step)}
    return {"eager": repeated(step), "graph": repeated(captured(step).replay)}


def captured(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """A CUDA graph of a step, by PyTorch's recipe: first some eager ones on a stream beside."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def rate(run: Callable[[], None], steps: int) -> float:
    """Images per second of one call."""
    begin = time.perf_counter()
    run()
    return BATCH * steps / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="ours, as tensor.device takes it")
    parser.add_argument("--torch", default="cpu", help="PyTorch's: cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="in a round")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    generator = numpy.random.default_rng(0)
    images = generator.random((BATCH, 28, 28, 1), numpy.float32)
    labels = generator.integers(0, 10, BATCH).astype(numpy.int32)
    device = tensor.device(arguments.device)
    steps = arguments.steps
    runs = {"ours": our_step(device, images, labels, steps)}
    runs |= their_steps(images, labels, steps, arguments.torch)
    for run in runs.values():
        run()  # warm up
    rates = [{name: rate(run, steps) for name, run in runs.items()} for _ in range(arguments.rounds)]
    facts = {
        "benchmark": "lenet training",
        "batch": BATCH,
        "device": device.name,
        "pytorch_threads": arguments.threads,
        "images_s": round(statistics.median(each["ours"] for each in rates)),
        "pytorch_images_s": round(statistics.median(each["eager"] for each in rates)),
        "ratio": round(statistics.median(each["ours"] / each["eager"] for each in rates), 3),
    }
    if "graph" in runs:
        facts["pytorch_graph_images_s"] = round(statistics.median(each["graph"] for each in rates))
        facts["graph_ratio"] = round(statistics.median(each["ours"] / each["graph"] for each in rates), 3)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
