"""Train chargpt on tinyshakespeare, say how the validation loss falls, and let it write.

    MESH_DATA=… python scripts/train_chargpt.py [--device cpu] [--steps 2000] [--batch 16] [--goal 1.9]

It stops at the first validation loss of at most `--goal`. Talk goes to stderr; one JSON line with the result
and then the sample go to stdout. Exit code 1: the goal was not reached.
"""

import argparse
import json
import sys
import time

import nn
import tensor

EVALUATE_EVERY = 250
EVALUATION_BATCH = 128


class Trainer:
    """A recorded training step of one batch size, and the mean loss over the validation part."""

    def __init__(self, text: nn.data.Text, context: int, options: argparse.Namespace) -> None:
        self.text, self.context, self.options = text, context, options
        self.device = tensor.device(options.device)
        self.network = nn.models.chargpt(len(text.characters), context).initialize(self.device, options.seed)
        schedule = nn.Schedule("cosine", steps=options.steps, warmup=100, end=0.1)
        self.optimizer = nn.AdamW(lr=options.lr, beta2=0.99, weight_decay=0.1, schedule=schedule)
        self.optimizer.initialize(self.network.vector)
        self.x = tensor.zeros((options.batch, context), dtype=tensor.int32, device=self.device)
        self.y = tensor.zeros(self.x.shape, dtype=tensor.int32, device=self.device)
        self.recording: tensor.Recording | None = None

    def step(self, number: int) -> tensor.Array:
        """One step; its loss, a scalar on the device."""
        x, y = self.text.training_batch(self.options.seed, number, self.options.batch, self.context)
        self.x[...], self.y[...] = x, y
        self.optimizer.at_step(number)
        if self.recording is None:
            self.recording = tensor.record(self._compute, device=self.device)
        else:
            self.recording.replay()
        return self.recording.result  # type: ignore[no-any-return]  # what _compute returns

    def _compute(self) -> tensor.Array:
        gradient = nn.value_and_grad(
            self.network, lambda: nn.softmax_cross_entropy(self.network(self.x), self.y)
        )
        loss, _ = gradient()
        self.network.advance(self.optimizer)
        return loss

    def validate(self) -> float:
        """The mean loss over all characters of the validation part, cut in pieces of the context's length."""
        x, y = self.text.validation_windows(self.context)
        total = 0.0
        self.network.evaluate()
        for begin in range(0, len(x), EVALUATION_BATCH):
            part = slice(begin, begin + EVALUATION_BATCH)
            logits = self.network(tensor.asarray(x[part], device=self.device))
            labels = tensor.asarray(y[part], device=self.device)
            total += float(nn.softmax_cross_entropy(logits, labels, "sum"))
        self.network.train()
        return total / x.size


def train(trainer: Trainer) -> tuple[int, float, float]:
    """Steps until the goal or the end: how many, the last validation loss, seconds."""
    begin, loss, number = time.monotonic(), float("inf"), 0
    for number in range(1, trainer.options.steps + 1):
        of_batch = trainer.step(number)
        if number % EVALUATE_EVERY == 0 or number == trainer.options.steps:
            loss = trainer.validate()
            talk = f"step {number}  training {float(of_batch):.3f}  validation {loss:.4f}"
            print(f"{talk}  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
            if loss <= trainer.options.goal:
                break
    return number, loss, time.monotonic() - begin


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="as tensor.device takes it")
    parser.add_argument("--text", default="tinyshakespeare", help="as nn.data.load_text takes it")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--goal", type=float, default=1.9, help="validation loss at which to stop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=int, default=500, help="characters of the sample")
    parser.add_argument("--temperature", type=float, default=0.8)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    text = nn.data.load_text(options.text)
    trainer = Trainer(text, options.context, options)
    steps, loss, seconds = train(trainer)
    facts = {
        "benchmark": "chargpt training",
        "device": trainer.device.name,
        "parameters": trainer.network.vector.size,
        "batch": options.batch,
        "steps": steps,
        "validation_loss": round(loss, 4),
        "seconds": round(seconds),
    }
    print(json.dumps(facts))
    tokens = nn.generate(trainer.network, text.encode("\n"), options.write, options.temperature, options.seed)
    print(text.decode(tokens))
    sys.exit(0 if loss <= options.goal else 1)


if __name__ == "__main__":
    main()
