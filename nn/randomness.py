"""What randomness in a network is keyed by: the seed, the step and the sample, never the peer.

So a sample meets the same Dropout mask, and is cut and coloured in the same way, whichever peer it is dealt
to, and a step that is done again has the same result. Step and sample numbers live in device memory: a step
that `tensor.record` keeps reads the new ones when it is replayed.
"""

from collections.abc import Sequence

import numpy
from numpy.typing import ArrayLike

import tensor
from nn.errors import NetworkError
from tensor import Array, Device


class Randomness:
    """The key of the step at hand, shared by all layers of a network.

    `step`: int32 [1]; `samples`: int32 [N], the number of each sample of the batch within the data set or the
    step; both on the network's device.
    """

    def __init__(self, seed: int, device: Device) -> None:
        self.seed = seed
        self.step = tensor.zeros((1,), dtype=tensor.int32, device=device)
        self._samples: Array | None = None

    def set_step(self, step: int, samples: ArrayLike | Sequence[int]) -> None:
        """Key the next forward pass by `step` and one number per sample; outside of `tensor.record`."""
        numbers = numpy.asarray(samples, dtype=numpy.int32)
        self.step[...] = numpy.array([step], dtype=numpy.int32)
        if self._samples is None or self._samples.shape != numbers.shape:
            self._samples = tensor.asarray(numbers, device=self.step.device)
        else:
            self._samples[...] = numbers  # in place, where a recording looks for them

    def samples_of(self, batch: int, title: str) -> Array:
        """The numbers of a batch's samples; `title` names the layer that asks, should they not be known."""
        if self._samples is None or self._samples.shape != (batch,):
            known = "none" if self._samples is None else str(self._samples.size)
            raise NetworkError(
                f"{title} needs the numbers of the batch's {batch} samples for its draws, got {known}: "
                "call network.randomness.set_step(step, samples) before it, or network.evaluate()."
            )
        return self._samples
