"""A training step of chargpt, ours against the same network in PyTorch, in turn in one process.

    python scripts/bench_chargpt.py [--batch 16] [--context 64] [--threads 2] [--rounds 4]

One JSON line: best CPU time (of all threads) and best time by the clock of a whole step with AdamW, and
PyTorch's divided by ours: above 1 we are faster. On a busy machine the CPU times still mean something.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads of PyTorch would count as computing

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy
import torch
from timing import SETTLE_S

import nn
import tensor

VOCABULARY, CHANNELS, HEADS, DEPTH = 65, 128, 4, 4
REPETITIONS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = numpy.random.default_rng(0)
    shape = (options.batch, options.context)
    x, y = (generator.integers(0, VOCABULARY, shape).astype(numpy.int32) for _ in range(2))
    steps = {"ours": our_step(x, y), "pytorch": their_step(x, y)}
    best = {name: (float("inf"), float("inf")) for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            best[name] = tuple(min(pair) for pair in zip(best[name], best_ms(step), strict=True))
            time.sleep(SETTLE_S)
    line = {f"{name}_{what}_ms": best[name][i] for name in best for i, what in enumerate(("cpu", "clock"))}
    ratios = {
        f"{what}_ratio": best["pytorch"][i] / best["ours"][i] for i, what in enumerate(("cpu", "clock"))
    }
    print(json.dumps({"batch": options.batch, "context": options.context, **line, **ratios}))


def best_ms(step: Callable[[], object]) -> tuple[float, float]:
    """CPU time and time by the clock, each the best of several runs; the first one does not count."""
    step()
    cpu, clock = [], []
    for _ in range(REPETITIONS):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        step()
        cpu.append(time.process_time() - cpu_begin)
        clock.append(time.perf_counter() - begin)
    return 1e3 * min(cpu), 1e3 * min(clock)


def our_step(x: Any, y: Any) -> Callable[[], object]:
    """One recorded step."""
    device = tensor.device("cpu")
    network = nn.models.chargpt(VOCABULARY, x.shape[1], DEPTH, HEADS, CHANNELS).initialize(device, 0)
    optimizer = nn.AdamW(lr=2e-3, weight_decay=0.1)
    optimizer.initialize(network.vector)
    texts, labels = tensor.asarray(x, device=device), tensor.asarray(y, device=device)
    gradient = nn.value_and_grad(network, lambda: nn.softmax_cross_entropy(network(texts), labels))

    def compute() -> None:
        gradient()
        network.advance(optimizer)

    optimizer.at_step(1)
    recording = tensor.record(compute, device=device)

    def run() -> None:
        recording.replay()
        device.synchronize()

    return run


class Block(torch.nn.Module):
    """nn.models.chargpt.Block in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(CHANNELS), torch.nn.LayerNorm(CHANNELS)
        self.qkv, self.proj = (
            torch.nn.Linear(CHANNELS, 3 * CHANNELS),
            torch.nn.Linear(CHANNELS, CHANNELS),
        )
        self.fc1, self.fc2 = (
            torch.nn.Linear(CHANNELS, 4 * CHANNELS),
            torch.nn.Linear(4 * CHANNELS, CHANNELS),
        )

    def forward(self, x: Any) -> Any:
        N, T, _ = x.shape
        parts = self.qkv(self.norm1(x)).reshape(N, T, 3, HEADS, CHANNELS // HEADS).permute(2, 0, 3, 1, 4)
        seen = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).reshape(N, T, CHANNELS))
        return x + self.fc2(torch.nn.functional.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


def their_step(x: Any, y: Any) -> Callable[[], object]:
    """The same in eager PyTorch."""
    token, place = torch.nn.Embedding(VOCABULARY, CHANNELS), torch.nn.Embedding(x.shape[1], CHANNELS)
    blocks = torch.nn.Sequential(*[Block() for _ in range(DEPTH)], torch.nn.LayerNorm(CHANNELS))
    head = torch.nn.Linear(CHANNELS, VOCABULARY, bias=False)
    parameters = [p for part in (token, place, blocks, head) for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.1, fused=True)
    texts, labels = torch.from_numpy(x).long(), torch.from_numpy(y).long()

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits = head(blocks(token(texts) + place.weight))
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
        optimizer.step()

    return run


if __name__ == "__main__":
    main()
