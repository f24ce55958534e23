"""The moving average of a network's weights, which often does better than the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from nn.errors import NetworkError
from nn.layer import Layer


class ExponentialAverage:
    """average ← decay · average + (1 − decay) · state, at each `update()`; it begins as the present state.

    `vector` is as `network.state`, [P + B]. Source: B. Polyak, A. Juditsky: "Acceleration of
    Stochastic Approximation by Averaging", 1992, with weights that fade.
    """

    def __init__(self, network: Layer, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise NetworkError(f"ExponentialAverage expected 0 ≤ decay < 1, got {decay}.")
        self.network, self.decay = network, decay
        self.vector = network.state.copy()

    def update(self) -> None:
        """Follow the network's state, after a step; no wait."""
        self.vector += (self.network.state - self.vector) * (1 - self.decay)

    @contextmanager
    def in_use(self) -> Iterator[Layer]:
        """The network with the average in place of its own state, inside the block: to evaluate or to save
        it."""
        own = self.network.state.copy()
        self.network.state[...] = self.vector
        try:
            yield self.network
        finally:
            self.network.state[...] = own
