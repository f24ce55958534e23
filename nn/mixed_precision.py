"""Mixed precision: what flows through a network in 16 bits, what is learnt in 32.

The parameters, `network.vector`, and their gradients, `network.gradient`, stay float32, and so does the
optimizer. A pass computes with the parameters rounded to bfloat16 or float16, and so what it keeps for the
way back is half as large. Sums, products, the statistics of normalisation, softmax and losses are computed
in float32. bfloat16 has float32's range and 8 bits of mantissa; float16 has 11, and nothing below 6e-8 or
above 65,504, so its gradients have to be scaled on their way. Source: P. Micikevicius and others: "Mixed
Precision Training", 2017.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import numpy

import tensor
from nn.errors import NetworkError
from tensor import Array

if TYPE_CHECKING:
    from nn.layer import Layer

Precision = Literal["float32", "bfloat16", "float16"]


def require_precision(precision: str) -> None:
    """Raise `NetworkError` for what is no precision of networks."""
    if precision not in get_args(Precision):
        raise NetworkError(
            f"There is no precision {precision!r} of networks. Known are: {', '.join(get_args(Precision))}."
        )


def in_float32(x: Array) -> Array:
    """x in float32 if it came in 16 bits; for layers and losses that would lose too much in fewer."""
    return tensor.astype(x, tensor.dtypes.computed(x.dtype), copy=False)


def rounded_like(x: Array, y: Array) -> Array:
    """y in the dtype of x: what a layer returns that has computed `in_float32`."""
    return tensor.astype(y, x.dtype, copy=False)


@contextmanager
def mixed_precision(network: "Layer", precision: Precision) -> Iterator[None]:
    """Inside the block `network` computes with its parameters as they are now, rounded to 16 bits.

    Layers that have parameters take float32 inputs rounded to it too; what follows has the dtype of what it
    is made from. `network.vector` does not change, and "float32" changes nothing, nor in a network that
    computes in float64. To evaluate; to train see `nn.value_and_grad`. Raises `NetworkError` for another
    precision, and for 16 bits of a network in float64.
    """
    require_precision(precision)
    if precision == "float32":
        yield
        return
    if network.vector.dtype == tensor.float64:
        raise NetworkError(
            f"precision={precision!r} is for networks in float32, and this one is in float64: leave it out, "
            'or call network.initialize(dtype="float32").'
        )
    with tensor.not_recording_calls():
        rounded = tensor.astype(network.vector, precision)
        parts = {entry.name: rounded[entry.span].reshape(entry.shape) for entry in network.table}
    own = [
        (layer, attribute, getattr(layer, attribute), parts[name])
        for name, layer, attribute, _ in network._named_plans()
        if name in parts
    ]
    before = [(layer, layer.takes) for layer, *_ in own]
    try:
        for layer, attribute, _, part in own:
            setattr(layer, attribute, part)
            layer.takes = rounded.dtype
        yield
    finally:
        for layer, attribute, array, _ in own:
            setattr(layer, attribute, array)
        for layer, takes in before:
            layer.takes = takes


class LossScale:
    """The factor by which gradients are larger on the way back, so that float16 holds the small ones.

        scale = nn.LossScale()
        step = nn.value_and_grad(network, loss, precision="float16", loss_scale=scale)
        loss, gradients = step(images, labels)  # as they are without a factor
        if scale.update(network.gradient):
            network.advance(optimizer)

    It begins as `scale`; where a gradient is not finite `update` halves it, and after `every` steps in a row
    in which all were it doubles it (every=0: never either, it is fixed). The factor lies in device memory: a
    recorded step goes by what it is when it is replayed. Raises `NetworkError`.
    """

    def __init__(self, scale: float = 2.0**16, every: int = 2000) -> None:
        if not scale > 0 or numpy.frexp(scale)[0] != 0.5 or every < 0:
            raise NetworkError(
                f"LossScale expected a power of 2, which rounds nothing, and every ≥ 0, "
                f"got {scale} and {every}."
            )
        self.scale, self.every = float(scale), every
        self._good = 0
        self._factors: Array | None = None

    def factors(self, loss: Array) -> tuple[Array, Array]:
        """The scale and its inverse, float32 scalars on the device of `loss`. Raises `NetworkError` for one
        in float64."""
        if loss.dtype != tensor.float32:
            raise NetworkError(
                f"A LossScale is for losses in float32, got {loss.dtype}: leave loss_scale out."
            )
        device = loss.device
        if self._factors is None or self._factors.device is not device:
            with device.queue.not_recording():  # which would write today's factor at each replay
                self._factors = tensor.asarray(self._values(), device=device)
        return self._factors[0], self._factors[1]

    def update(self, gradient: Array) -> bool:
        """Whether all of `gradient` is finite, so that the step counts; waits for it, and sets the scale for
        the next one."""
        finite = bool(tensor.all(tensor.isfinite(gradient)))
        if self.every:
            self._good = self._good + 1 if finite else 0
            if not finite:
                self._set(self.scale / 2)
            elif self._good == self.every:
                self._good = 0
                self._set(self.scale * 2)
        return finite

    def _set(self, scale: float) -> None:
        self.scale = min(max(scale, 2.0**-24), 2.0**24)
        if self._factors is not None:
            self._factors[...] = self._values()

    def _values(self) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.float32]]":
        return numpy.array([self.scale, 1 / self.scale], numpy.float32)
