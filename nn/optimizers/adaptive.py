"""Optimizers with a rate of its own for each parameter: Adam, AdamW, RMSprop."""

from typing import Any

from nn.errors import NetworkError
from nn.optimizers.optimizer import Number, Optimizer, State


class Adam(Optimizer):
    """Adam, with PyTorch's defaults; `weight_decay` · vector is added to the gradient.

        mean   ← beta1 · mean + (1 − beta1) · gradient
        square ← beta2 · square + (1 − beta2) · gradient²
        vector ← vector − lr · mean / c1 / (√(square / c2) + eps),  c = 1 − betaᵗ in step t

    Source: D. Kingma, J. Ba: "Adam: A Method for Stochastic Optimization", 2014.
    """

    type_name = "adam"
    vectors = ("mean", "square")
    scalars = ("c1", "c2")

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Any,
    ) -> None:
        if not lr >= 0 or not 0 <= beta1 < 1 or not 0 <= beta2 < 1 or not eps > 0 or not weight_decay >= 0:
            raise NetworkError(
                f"{type(self).__name__} expected lr ≥ 0, betas within [0, 1), eps > 0 and weight_decay ≥ 0, "
                f"got lr={lr}, beta1={beta1}, beta2={beta2}, eps={eps}, weight_decay={weight_decay}."
            )
        numbers = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        super().__init__(lr, numbers, **options)

    def advance(self, state: State, numbers: State) -> State:
        """c ← beta · c + (1 − beta), which is 1 − betaᵗ and exact where that is small."""
        return {
            "c1": numbers["beta1"] * state["c1"] + (numbers["one"] - numbers["beta1"]),
            "c2": numbers["beta2"] * state["c2"] + (numbers["one"] - numbers["beta2"]),
        }

    def update(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        return self._moved(w, g + numbers["weight_decay"] * w, state, numbers)

    def _moved(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        averages = self.averages(g, state, numbers)
        size = (averages["square"] / state["c2"]).sqrt() + numbers["eps"]
        return w - numbers["lr"] * (averages["mean"] / state["c1"]) / size, averages

    def averages(self, g: Number, state: State, numbers: State) -> State:
        """The new means of the gradient and of its square."""
        one, beta1, beta2 = numbers["one"], numbers["beta1"], numbers["beta2"]
        return {
            "mean": beta1 * state["mean"] + (one - beta1) * g,
            "square": beta2 * state["square"] + (one - beta2) * g * g,
        }


class AdamW(Adam):
    """Adam, with the weights themselves drawn to 0: vector ← (1 − lr · weight_decay) · vector before each
    step.

    Source: I. Loshchilov, F. Hutter: "Decoupled Weight Decay Regularization", 2017.
    """

    type_name = "adamw"

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps, weight_decay, **options)

    def update(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        return self._moved(w - numbers["lr"] * numbers["weight_decay"] * w, g, state, numbers)


class RMSprop(Optimizer):
    """RMSprop, in PyTorch's convention.

        square   ← alpha · square + (1 − alpha) · gradient²
        velocity ← momentum · velocity + gradient / (√square + eps)
        vector   ← vector − lr · velocity

    Source: G. Hinton: "Neural Networks for Machine Learning", lecture 6e, 2012.
    """

    type_name = "rmsprop"
    vectors = ("square", "velocity")

    def __init__(
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        **options: Any,
    ) -> None:
        if not lr >= 0 or not 0 <= alpha < 1 or not 0 <= momentum < 1 or not eps > 0 or not weight_decay >= 0:
            raise NetworkError(
                "RMSprop expected lr ≥ 0, alpha and momentum within [0, 1), eps > 0 and weight_decay ≥ 0, "
                f"got lr={lr}, alpha={alpha}, momentum={momentum}, eps={eps}, weight_decay={weight_decay}."
            )
        numbers = {"alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(lr, numbers, **options)

    def update(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        slope = g + numbers["weight_decay"] * w
        square = numbers["alpha"] * state["square"] + (numbers["one"] - numbers["alpha"]) * slope * slope
        velocity = numbers["momentum"] * state["velocity"] + slope / (square.sqrt() + numbers["eps"])
        return w - numbers["lr"] * velocity, {"square": square, "velocity": velocity}
