"""Train a model on a data set of images, from several seeds, and say how accurate each becomes.

    python scripts/train_images.py resnet18 --data digits --epochs 20 --seeds 3 --crop 1

`--crop`, `--flip` and `--jitter` put augmentation in front of the model. Talk goes to stderr; one JSON line
with the result goes to stdout, in which `waited` counts the batches that were not ready when asked for.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import nn
import tensor

EVALUATION_BATCH = 500


class Trainer:
    """A network from one seed, and its training steps, recorded once for each size of batch."""

    def __init__(
        self, data: nn.data.Dataset, device: tensor.Device, seed: int, options: argparse.Namespace
    ) -> None:
        self.data, self.device = data, device
        self.network = network_for(data, options).initialize(device, seed)
        self.loader = nn.data.Loader(
            data.training, options.batch, seed, options.epochs, device=device, ahead=options.ahead
        )
        schedule = nn.Schedule("cosine", steps=len(self.loader), end=0.01) if options.cosine else None
        self.optimizer = nn.SGD(options.lr, 0.9, options.weight_decay, schedule=schedule)
        self.optimizer.initialize(self.network.vector)
        self._recordings: dict[int, tuple[tensor.Array, tensor.Array, tensor.Recording]] = {}
        self.waited = 0

    def train(self, talk: Callable[[int, float], None]) -> None:
        """All epochs; `talk` gets each epoch's number and the loss of its last batch."""
        with iter(self.loader) as batches:
            for batch in batches:
                loss = self._step(batch)
                if batch.step % self.loader.batches_an_epoch == 0:
                    talk(batch.epoch + 1, float(loss))
            self.waited = batches.waited

    def _step(self, batch: nn.data.Batch) -> tensor.Array:
        self.network.randomness.set_step(batch.step, batch.samples)
        self.optimizer.at_step(batch.step)
        known = self._recordings.get(len(batch.samples))
        if known is None:
            x, y = batch.inputs.copy(), batch.labels.copy()
            known = x, y, tensor.record(lambda: self._compute(x, y), device=self.device)
            self._recordings[len(batch.samples)] = known
        else:
            known[0][...], known[1][...] = batch.inputs, batch.labels
            known[2].replay()
        return known[2].result  # type: ignore[no-any-return]  # what _compute returns

    def _compute(self, x: tensor.Array, y: tensor.Array) -> tensor.Array:
        loss, _ = nn.value_and_grad(self.network, lambda: nn.softmax_cross_entropy(self.network(x), y))()
        self.network.advance(self.optimizer)
        return loss

    def accuracy(self) -> float:
        """The part of the test images that the network names rightly."""
        self.network.evaluate()
        right = 0.0
        for batch in nn.data.Loader(self.data.testing, EVALUATION_BATCH, device=self.device):
            right += float(nn.accuracy(self.network(batch.inputs), batch.labels)) * len(batch.samples)
        self.network.train()
        return right / len(self.data.testing)


def network_for(data: nn.data.Dataset, options: argparse.Namespace) -> nn.Sequential:
    """The model behind what augments its input."""
    height, width, channels = data.input_shape
    layers: dict[str, nn.Layer] = {}
    if options.crop:
        layers["crop"] = nn.RandomCrop((height, width), padding=options.crop)
    if options.flip:
        layers["flip"] = nn.RandomHorizontalFlip()
    if options.jitter:
        layers["jitter"] = nn.ColorJitter(*[options.jitter] * 3)
    model = nn.models.by_name(options.model, input_shape=(height, width, channels), classes=data.classes)
    return nn.Sequential(**layers, model=model)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=[name for name in nn.models.names() if name != "chargpt"])
    parser.add_argument("--data", default="digits", help="as nn.data.load takes it")
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=120)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--cosine", action="store_true", help="let the rate fall to a hundredth")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--crop", type=int, default=0, help="pixels that images are moved by, at most")
    parser.add_argument("--flip", action="store_true", help="mirror every second image")
    parser.add_argument("--jitter", type=float, default=0.0, help="strength of changes to the colours")
    parser.add_argument("--ahead", type=int, default=2, help="batches that are kept ready")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    data = nn.data.load(options.data)
    begin, accuracies, batches, waited = time.monotonic(), [], 0, 0
    device = tensor.device(options.device)
    for seed in range(options.seeds):
        trainer = Trainer(data, device, seed, options)

        def talk(epoch: int, loss: float, seed: int = seed) -> None:
            where = f"seed {seed}  epoch {epoch}  loss {loss:.4f}"
            print(f"{where}  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

        trainer.train(talk)
        accuracies.append(trainer.accuracy())
        print(f"seed {seed}  accuracy {accuracies[-1]:.2%}", file=sys.stderr, flush=True)
        batches, waited = batches + len(trainer.loader), waited + trainer.waited
    facts = {
        "benchmark": f"{options.model} on {options.data}",
        "device": device.name,
        "epochs": options.epochs,
        "accuracies": [round(each, 4) for each in accuracies],
        "mean": round(sum(accuracies) / len(accuracies), 4),
        "batches": batches,
        "waited": waited,
        "seconds": round(time.monotonic() - begin),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
