"""How parameters follow from gradients: one launch over the network's flat vector.

The NumPy and the OpenCL form of an update round after every single operation, and turn denormal results to 0
on purpose, so that all peers hold the same bits whatever they compute on.
"""

from typing import Any

import numpy
from numpy.typing import NDArray

import tensor
from nn.errors import LayerShapeError, NetworkError
from nn.launch import CPU_ELEMENTS_EACH, flat_sizes, flushed
from tensor import Array
from tensor.kernel import built

Float32s = NDArray[numpy.float32]


class SGD:
    """Stochastic gradient descent with momentum and weight decay, in PyTorch's convention.

        velocity ← momentum · velocity + (gradient + weight_decay · vector)
        vector   ← vector − lr · velocity

    `initialize(vector)` makes `state`, {"velocity": zeros}; `step(vector, gradient)` updates the vector and
    the state in place. The learning rate lives in device memory: setting `lr` also holds for a step that was
    recorded before. Source: I. Sutskever and others: "On the importance of initialization and momentum in
    deep learning", 2013; the form is that of torch.optim.SGD without dampening.
    """

    type_name = "sgd"

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        if not lr >= 0 or not 0 <= momentum < 1 or not weight_decay >= 0:
            raise NetworkError(
                f"SGD expected lr ≥ 0, 0 ≤ momentum < 1 and weight_decay ≥ 0, "
                f"got lr={lr}, momentum={momentum}, weight_decay={weight_decay}."
            )
        self._lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.state: dict[str, Array] = {}
        self._rate: Array | None = None

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = value
        if self._rate is not None:
            self._rate[...] = numpy.array([value], dtype=numpy.float32)

    def initialize(self, vector: Array) -> None:
        """Make the state for a flat vector, float32 [P], on its device: all 0."""
        self.state = {"velocity": tensor.zeros(vector.shape, dtype=tensor.float32, device=vector.device)}
        self._rate = tensor.full((1,), self._lr, dtype=tensor.float32, device=vector.device)

    def step(self, vector: Array, gradient: Array) -> None:
        """Update `vector` (float32 [P], in place) along `gradient` (float32 [P]): one launch, no wait."""
        if self._rate is None:
            raise NetworkError(
                "This optimizer has no state yet: call optimizer.initialize(network.vector) first."
            )
        velocity = self.state["velocity"]
        if not vector.shape == gradient.shape == velocity.shape:
            raise LayerShapeError(
                f"SGD.step expected a vector and a gradient of shape {list(velocity.shape)}, "
                f"got {list(vector.shape)} and {list(gradient.shape)}."
            )
        _sgd(vector, velocity, gradient, self._rate, momentum=self.momentum, weight_decay=self.weight_decay)

    def definition(self) -> dict[str, Any]:
        """What `load_optimizer` makes an equal optimizer of, its state apart; plain data."""
        return {
            "type": self.type_name,
            "params": {"lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay},
        }

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum}, weight_decay={self.weight_decay})"


_TYPES = {SGD.type_name: SGD}


def load_optimizer(definition: dict[str, Any]) -> SGD:
    """The optimizer that `definition()` describes: {"type": "sgd", "params": {"lr": …, "momentum": …, …}}.

    Raises `NetworkError` for an unknown type, or parameters that do not fit it.
    """
    made = _TYPES.get(str(definition.get("type")))  # str: whatever it is, a peer may have sent it
    if made is None:
        raise NetworkError(
            f"There is no optimizer of type {definition.get('type')!r}. Known are: {', '.join(_TYPES)}."
        )
    try:
        return made(**definition.get("params", {}))
    except TypeError as error:
        raise NetworkError(f"The optimizer {definition!r} cannot be made: {error}.") from error


def _sgd_numpy(
    w: Float32s, v: Float32s, g: Float32s, rate: Float32s, *, momentum: float, weight_decay: float
) -> None:
    decay = flushed(numpy.float32(weight_decay) * flushed(w.copy()))
    slope = flushed(flushed(g.copy()) + decay)
    v[...] = flushed(flushed(numpy.float32(momentum) * flushed(v.copy())) + slope)
    w[...] = flushed(flushed(w.copy()) - flushed(rate * v))


def _sgd_opencl(w: Array, v: Array, g: Array, rate: Array, *, momentum: float, weight_decay: float) -> None:
    global_size, local_size = flat_sizes(w.device, w.size, CPU_ELEMENTS_EACH)
    vectors = [argument for array in (w, v, g) for argument in (array.buffer, array.offset)]
    kernel = built(w.device, "sgd.cl", "sgd")
    kernel(
        global_size,
        w.size,
        CPU_ELEMENTS_EACH,
        *vectors,
        rate.buffer,
        momentum,
        weight_decay,
        local_size=local_size,
    )


_sgd = tensor.primitive("sgd", numpy=_sgd_numpy, opencl=_sgd_opencl, in_place=True)
