"""A training step of a model, ours against PyTorch: loss, gradients, images/s, in turn.

    python scripts/bench_model.py vgg16 --batch 2 [--size 224] [--device cpu] [--torch cpu] [--rounds 3]

One JSON line on stdout: the relative difference of the losses and of each parameter's gradient (largest, in
the norm), and the best rates of both. With --double also how far all gradients are from PyTorch's in float64:
ours, PyTorch's in float32, and ours from those where each ReLU passes and each pooling chooses what they do
in ours, which leaves the arithmetic alone; and loss and gradients of our network in float64. A timing on a
shared machine means nothing by itself: only the ratio does.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from timing import in_turn_s

sys.path.insert(0, str(Path(__file__).parent.parent))

import nn
import tensor
from tests.torch_twin import Twin, calm, without_dropout

CLASSES = 1000


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    generator = numpy.random.default_rng(0)
    shape = (options.size, options.size, 3)
    images = generator.normal(size=(options.batch, *shape)).astype(numpy.float32)
    labels = generator.integers(0, CLASSES, options.batch).astype(numpy.int32)
    device = tensor.device(options.device)
    network = made(options.model, shape).initialize(device, seed=0)
    calm(network)
    twin = Twin(network, torch, options.torch)
    ours = our_step(network, images, labels)
    theirs = their_step(
        twin, torch.tensor(images).to(options.torch), torch.tensor(labels).long().to(options.torch)
    )
    facts = {"model": options.model, "batch": options.batch, "size": options.size, "device": device.name}
    facts |= differences(network, twin, ours(), theirs())
    if options.double:
        double = made(options.model, shape).initialize(device, dtype=tensor.float64)
        double.state[...] = network.state.astype(tensor.float64)
        facts |= from_double(network, double, twin, images, labels)
    print(json.dumps(facts | rates(device, ours, theirs, options)))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=[name for name in nn.models.names() if name != "chargpt"])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu", help="ours, as tensor.device takes it")
    parser.add_argument("--torch", default="cpu", help="PyTorch's: cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--double", action="store_true", help="compare with float64 too")
    return parser.parse_args()


def made(model: str, shape: tuple[int, ...]) -> nn.Layer:
    return without_dropout(nn.models.by_name(model, input_shape=shape, classes=CLASSES))


def our_step(network: nn.Layer, images: Any, labels: Any) -> Callable[[], float]:
    """Loss and gradients of one recorded step; the weights stay."""
    device = network.vector.device
    x, y = tensor.asarray(images, device=device), tensor.asarray(labels, device=device)
    gradient = nn.value_and_grad(network, lambda: nn.softmax_cross_entropy(network(x), y))
    recording = tensor.record(lambda: gradient()[0], device=device)

    def run() -> float:
        return float(recording.replay())  # reading the loss waits for the loss, not for the gradients

    return run


def their_step(twin: Twin, x: Any, y: Any) -> Callable[[], float]:
    """The same in eager PyTorch."""

    def run() -> float:
        for each in twin.parameters.values():
            each.grad = None
        loss = torch.nn.functional.cross_entropy(twin(x), y)
        loss.backward()
        return float(loss.detach())

    return run


def differences(network: nn.Layer, twin: Twin, our_loss: float, their_loss: float) -> dict[str, Any]:
    """How far losses and gradients are apart, relative to PyTorch's."""
    theirs = twin.gradients()
    apart = {
        name: float(
            numpy.linalg.norm(numpy.asarray(x) - theirs[name]) / max(numpy.linalg.norm(theirs[name]), 1e-12)
        )
        for name, x in network.gradients().items()
    }
    worst = max(apart, key=lambda name: apart[name])
    whole = numpy.concatenate([theirs[name].ravel() for name in apart])
    ours = numpy.concatenate([numpy.asarray(x).ravel() for x in network.gradients().values()])
    return {
        "loss": our_loss,
        "loss_difference": abs(our_loss - their_loss) / abs(their_loss),
        "gradient_difference": float(numpy.linalg.norm(ours - whole) / numpy.linalg.norm(whole)),
        "worst_parameter": [worst, apart[worst]],
    }


def from_double(
    network: nn.Layer, double: nn.Layer, single: Twin, images: Any, labels: Any
) -> dict[str, float]:
    """How far all gradients together are from PyTorch's in float64, relative to these; `double` is the same
    network in float64, whose loss is compared too."""
    exact = Twin(network, torch, dtype=torch.float64)
    x, y = torch.tensor(images).double(), torch.tensor(labels).long()
    device = double.vector.device
    our_loss, in_double = nn.value_and_grad(double, lambda x, y: nn.softmax_cross_entropy(double(x), y))(
        tensor.asarray(images.astype(numpy.float64), device=device), tensor.asarray(labels, device=device)
    )
    ours = {name: numpy.asarray(gradient) for name, gradient in network.gradients().items()}

    def apart(of: dict[str, Any], truth: dict[str, Any]) -> float:
        squares = sum(float(numpy.square(of[name] - right).sum()) for name, right in truth.items())
        return float(numpy.sqrt(squares / sum(float(numpy.square(each).sum()) for each in truth.values())))

    their_loss = their_step(exact, x, y)()
    truth = exact.gradients()
    facts = {
        "float64_loss_difference": abs(float(our_loss) - their_loss) / abs(their_loss),
        "float64_gradient_difference": apart(
            {name: numpy.asarray(g) for name, g in in_double.items()}, truth
        ),
        "from_float64": apart(ours, truth),
        "pytorch_from_float64": apart(single.gradients(), truth),
    }
    exact.follow(tensor.asarray(images, device=network.vector.device))
    their_step(exact, x, y)()
    return facts | {"from_float64_on_the_same_branches": apart(ours, exact.gradients())}


def rates(device: tensor.Device, ours: Any, theirs: Any, options: argparse.Namespace) -> dict[str, float]:
    """Images/s of both, the best of several runs in turn."""

    def our_whole() -> None:
        ours()
        device.synchronize()

    def their_whole() -> None:
        theirs()
        if options.torch != "cpu":
            torch.cuda.synchronize()

    seconds, their_seconds = in_turn_s(our_whole, their_whole, 1, options.rounds)
    return {
        "images_s": options.batch / seconds,
        "pytorch_images_s": options.batch / their_seconds,
        "ratio": their_seconds / seconds,
    }


if __name__ == "__main__":
    main()
