"""Peak bytes of a training step by batch, with and without checkpoint=, as the table of docs/memory.md.

    python scripts/memory_table.py [--models vgg16,resnet152] [--batches 1,2,4] [--segments 8] [--device cpu]
                                   [--size 224] [--recorded] [--precision bfloat16]

A step is forward and backward in training; the weights stay. Bytes are those that arrays occupy beside what
is there for good (`tensor.memory().peak_bytes`), by a device's own counting; that of --recorded is what a
recording holds for its replays.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy

sys.path.insert(0, str(Path(__file__).parent.parent))

import nn
import tensor
from nn.mixed_precision import Precision

CLASSES = 1000


def main() -> None:
    options = parsed()
    device = tensor.device(options.device)
    print(f"{device.name}, MiB; in brackets the seconds of one step", file=sys.stderr)
    cuts = [None, *map(int, options.segments.split(","))]
    heads = ["plain", *(f"checkpoint={cut}" for cut in cuts[1:])]
    print(f"| model | batch | {' | '.join(heads)} |")
    print("|---|---|" + "---|" * len(cuts))
    for model in options.models.split(","):
        shape = (options.size, options.size, 3)
        network = nn.models.by_name(model, input_shape=shape, classes=CLASSES).initialize(device)
        standing = device.memory().in_use_bytes
        for batch in map(int, options.batches.split(",")):
            steps = (step_of(network, shape, batch, cut, options.precision) for cut in cuts)
            cells = [measured(step, device, options.recorded) for step in steps]
            print(f"| {model} | {batch} | {' | '.join(cells)} |", flush=True)
        print(f"{model}: {standing / 2**20:,.0f} MiB of weights and gradients", file=sys.stderr)
        del network


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="vgg16,resnet152")
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--segments", default="8")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recorded", action="store_true", help="what a recording of the step holds")
    parser.add_argument("--precision", default="float32", help="of nn.value_and_grad")
    return parser.parse_args()


def step_of(
    network: nn.Layer, shape: tuple[int, ...], batch: int, cut: int | None, precision: Precision
) -> Callable[[], tensor.Array]:
    """Forward and backward of one batch."""
    generator = numpy.random.default_rng(0)
    device = network.vector.device
    x = tensor.asarray(generator.standard_normal((batch, *shape), numpy.float32), device=device)
    y = tensor.asarray(generator.integers(0, CLASSES, batch).astype(numpy.int32), device=device)
    network.randomness.set_step(1, range(batch))
    step = nn.value_and_grad(
        network, lambda: nn.softmax_cross_entropy(network(x), y), checkpoint=cut, precision=precision
    )
    return lambda: step()[0]


def measured(step: Callable[[], tensor.Array], device: tensor.Device, recorded: bool) -> str:
    """MiB and seconds of one step, or MiB of its recording."""
    device.release_memory()
    memory = device.memory()
    if recorded:
        kept = tensor.record(step, device=device)
        after = device.memory()
        grown = after.in_use_bytes + after.held_bytes - memory.in_use_bytes - memory.held_bytes
        assert len(kept)
        return f"{grown / 2**20:,.0f}"
    device.reset_peak_memory()
    begin = perf_counter()
    loss = float(step())
    device.synchronize()
    seconds = perf_counter() - begin
    assert numpy.isfinite(loss)
    return f"{(device.memory().peak_bytes - memory.in_use_bytes) / 2**20:,.0f} ({seconds:.1f})"


if __name__ == "__main__":
    main()
