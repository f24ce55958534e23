"""How parameters' gradients come to lie in the flat vector: several of them by one launch.

A launch costs microseconds however little it copies, and most of a network's parameters are small. So they
wait for each other: until there are as many as the kernel takes, or enough elements that the launch pays.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import tensor
from nn.launch import CPU_ELEMENTS_EACH, flat_sizes, precision_of
from tensor import Array
from tensor.kernel import built
from tensor.views import contiguous

if TYPE_CHECKING:
    from nn.layer import Entry, Layer

_SOURCES = 8  # that kernels/deposit.cl takes
_ENOUGH = 2**18  # elements: their copying takes longer than a launch


def _store_numpy(target: Any, *sources: Any, begins: tuple[int, ...], accumulate: bool) -> None:
    for begin, source in zip(begins, sources, strict=True):
        place = target[begin : begin + source.size]
        place[...] = place + source.ravel() if accumulate else source.ravel()


def _store_opencl(target: Array, *sources: Array, begins: tuple[int, ...], accumulate: bool) -> None:
    whole = [contiguous(each) for each in sources]
    global_size, local_size = flat_sizes(target.device, max(each.size for each in whole), CPU_ELEMENTS_EACH)
    described = [(x.buffer, x.offset, begin, x.size) for x, begin in zip(whole, begins, strict=True)]
    described += [(whole[0].buffer, 0, 0, 0)] * (_SOURCES - len(whole))
    built(target.device, "deposit.cl", "deposit", precision_of(target))(
        (*global_size, len(whole)),
        *(target.buffer, target.offset, int(accumulate), CPU_ELEMENTS_EACH),
        *(argument for each in described for argument in each),
        local_size=(*local_size, 1),
    )


_store = tensor.primitive("store_gradients", numpy=_store_numpy, opencl=_store_opencl, in_place=True)


class Deposit:
    """Takes the gradients of a network's parameters one by one, `receive`, until `finish`.

    They are written to `network.gradient`, or with `accumulate` added to what is there; then
    `on_gradient(entry)` is called as a `tensor.host_call` for each.
    """

    def __init__(
        self, network: "Layer", accumulate: bool, on_gradient: Callable[["Entry"], None] | None
    ) -> None:
        self._network, self._accumulate, self._on_gradient = network, accumulate, on_gradient
        self._waiting: list[tuple[Entry, Array | None]] = []

    def receive(self, index: int, gradient: Array | None) -> None:
        """The final gradient of line `index` of the network's table; None if there is none."""
        self._waiting.append((self._network.table[index], gradient))
        if len(self._waiting) == _SOURCES or sum(entry.size for entry, _ in self._waiting) >= _ENOUGH:
            self.finish()

    def finish(self) -> None:
        """Store what waits."""
        target = self._network.gradient
        there = [
            (entry, gradient) for entry, gradient in self._waiting if gradient is not None and entry.size
        ]
        if there:
            begins = tuple(entry.offset for entry, _ in there)
            gradients = [g if g.dtype == target.dtype else tensor.astype(g, target.dtype) for _, g in there]
            _store(target, *gradients, begins=begins, accumulate=self._accumulate)
        for entry, gradient in self._waiting:
            if gradient is None and not self._accumulate:
                target[entry.span] = 0.0
            if self._on_gradient is not None:
                tensor.host_call(partial(self._on_gradient, entry), self._network.vector.device)
        self._waiting.clear()
