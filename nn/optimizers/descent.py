"""Optimizers that follow the gradient with one rate for all: SGD, with momentum, with Nesterov's."""

from typing import Any

from nn.errors import NetworkError
from nn.optimizers.optimizer import Number, Optimizer, State


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, in PyTorch's convention.

        velocity ← momentum · velocity + (gradient + weight_decay · vector)
        vector   ← vector − lr · velocity

    With `nesterov`, − lr · (gradient + weight_decay · vector + momentum · velocity) instead. Source: I.
    Sutskever and others: "On the importance of initialization and momentum in deep learning", 2013; the form
    is that of torch.optim.SGD without dampening.
    """

    type_name = "sgd"
    vectors = ("velocity",)

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        if not lr >= 0 or not 0 <= momentum < 1 or not weight_decay >= 0:
            raise NetworkError(
                f"SGD expected lr ≥ 0, 0 ≤ momentum < 1 and weight_decay ≥ 0, "
                f"got lr={lr}, momentum={momentum}, weight_decay={weight_decay}."
            )
        self.nesterov = nesterov
        super().__init__(lr, {"momentum": momentum, "weight_decay": weight_decay}, **options)

    def update(self, w: Number, g: Number, state: State, numbers: State) -> tuple[Number, State]:
        slope = g + numbers["weight_decay"] * w
        velocity = numbers["momentum"] * state["velocity"] + slope
        direction = slope + numbers["momentum"] * velocity if self.nesterov else velocity
        return w - numbers["lr"] * direction, {"velocity": velocity}

    def params(self) -> dict[str, Any]:
        return super().params() | ({"nesterov": True} if self.nesterov else {})
