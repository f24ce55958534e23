"""Networks whose layers form a graph: each takes blobs by name, and makes one. Reading one off any
network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Any

from nn.errors import DefinitionError, NetworkError
from nn.layer import Blob, Layer
from tensor import Array


@dataclass(frozen=True, eq=False)
class Node:
    """One layer of a graph: `output = layer(*inputs)`, blobs by name."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    output: str


class Graph(Layer):
    """Layers that take each other's outputs by name, in any order that has no cycle.

    Node(name, layer, inputs, output) says what each takes and makes; `input` names the blob that the network
    takes, `output` the one that it gives. Raises `NetworkError` for a blob that nothing makes or that two
    layers make, and for a cycle.
    """

    is_chain = True

    def __init__(self, nodes: Iterable[Node], input: str, output: str) -> None:
        self.input, self.output = input, output
        self.nodes = ordered(nodes, input)
        if output not in {node.output for node in self.nodes}:
            raise NetworkError(f"The graph's output {output!r} is made by no layer.")
        last_use = {blob: at for at, node in enumerate(self.nodes) for blob in node.inputs}
        self._done_after = [[b for b, at in last_use.items() if at == i] for i in range(len(self.nodes))]
        for node in self.nodes:
            self._adopt(node.name, node.layer)

    def forward(self, x: Array) -> Array:
        blobs = {self.input: x}
        for node, done in zip(self.nodes, self._done_after, strict=True):
            blobs[node.output] = node.layer(*(blobs[name] for name in node.inputs))
            for name in done:
                if name != self.output:
                    del blobs[name]
        return blobs[self.output]

    def __repr__(self) -> str:
        lines = [f"    {n.output} = {n.layer!r} of {', '.join(n.inputs)}" for n in self.nodes]
        return "\n".join([f"{self.title}:", *lines])


def ordered(nodes: Iterable[Node], input: str) -> list[Node]:
    """The nodes, each after those whose blobs it takes; raises `NetworkError`."""
    makers: dict[str, Node] = {}
    for node in nodes:
        other = makers.get(node.output)
        if other is not None or node.output == input:
            by = f"layer {other.name!r}" if other else "the input"
            raise NetworkError(f"Layer {node.name!r} makes the blob {node.output!r}, which {by} is already.")
        makers[node.output] = node
    for node in makers.values():
        missing = [name for name in node.inputs if name != input and name not in makers]
        if missing:
            raise NetworkError(f"Layer {node.name!r} takes the blob {missing[0]!r}, which no layer makes.")
    sorter = TopologicalSorter({n.output: [b for b in n.inputs if b != input] for n in makers.values()})
    try:
        return [makers[blob] for blob in _in_order(sorter, [*makers])]
    except CycleError as error:
        names = ", ".join(repr(makers[blob].name) for blob in dict.fromkeys(error.args[1]))
        raise NetworkError(f"The layers {names} take each other's outputs in a circle.") from error


def _in_order(sorter: "TopologicalSorter[str]", given: list[str]) -> Iterator[str]:
    """Of what could come next, always what was given first: a list that is in order stays as it is."""
    place = {blob: at for at, blob in enumerate(given)}
    sorter.prepare()
    ready: list[int] = []
    while sorter.is_active():
        for blob in sorter.get_ready():
            heappush(ready, place[blob])
        blob = given[heappop(ready)]
        yield blob
        sorter.done(blob)


_REGISTER = 'definitions do not know: put @nn.register("…") above the class'


def trace(
    network: Layer, is_known: Callable[[Layer], bool], input: str = "data", remedy: str = _REGISTER
) -> tuple[list[Node], str]:
    """The known layers that `network` calls, as nodes named by their paths, and the blob that it returns.

    Layers that are not known are looked into: their `forward` runs on names of blobs instead of arrays, which
    only layers take, and `+`, which becomes an `Add`. Raises `DefinitionError`, which names the layer and
    ends with `remedy`, such as "definitions do not know: …".
    """
    tracer = _Tracer(network, is_known, remedy)
    result = tracer.call(network, (TracedBlob(input, tracer),))
    if not isinstance(result, TracedBlob):
        raise DefinitionError(f"{network.title} returns {type(result).__name__}, not the output of a layer.")
    if not tracer.nodes:
        raise DefinitionError(f"{network.title} has no layer that computes anything.")
    return tracer.nodes, result.name


class _Tracer:
    def __init__(self, network: Layer, is_known: Callable[[Layer], bool], remedy: str) -> None:
        self.nodes: list[Node] = []
        self._remedy = remedy
        self.current = network
        self._is_known = is_known
        self._paths = {id(layer): path for path, layer in network.layers()}
        self._sums = 0

    def call(self, layer: Layer, inputs: Sequence[Any]) -> Any:
        for each in inputs:
            if not isinstance(each, TracedBlob):
                raise DefinitionError(f"{layer.title} takes a {type(each).__name__}, which is no blob.")
        if type(layer).forward is Layer.forward:  # it has none
            raise self.unknown(layer)
        if self._is_known(layer):
            return self.add(layer, self._paths.get(id(layer)) or layer.name or "layer", inputs)
        outer, self.current = self.current, layer
        try:
            return layer.forward(*inputs)
        except TypeError as error:  # an operator that blobs do not have
            raise self.unknown(layer) from error
        finally:
            self.current = outer

    def add(self, layer: Layer, name: str, inputs: Sequence["TracedBlob"]) -> "TracedBlob":
        if any(node.name == name for node in self.nodes):
            raise DefinitionError(f"Layer {name!r} is used in two places, which a definition cannot say.")
        self.nodes.append(Node(name, layer, tuple(each.name for each in inputs), name))
        return TracedBlob(name, self)

    def unknown(self, layer: Layer | None = None) -> DefinitionError:
        """The error that a layer (the one whose `forward` runs) computes what definitions cannot say."""
        layer = layer or self.current
        path = self._paths.get(id(layer)) or layer.name
        return DefinitionError(f"Layer {path!r} is a {type(layer).__name__}, which {self._remedy}.")

    def sum_of(self, inputs: Sequence["TracedBlob"]) -> "TracedBlob":
        from nn.layers import Add

        self._sums += 1
        path = self._paths.get(id(self.current))
        return self.add(Add(), f"{path}.sum{self._sums}" if path else f"sum{self._sums}", inputs)


class TracedBlob(Blob):
    """Stands for an array while a network is traced: layers take it, and it can be added to another one."""

    def __init__(self, name: str, tracer: _Tracer) -> None:
        self.name = name
        self._tracer = tracer

    def apply(self, layer: Layer, inputs: Sequence[Any]) -> Any:
        return self._tracer.call(layer, inputs)

    def __add__(self, other: object) -> "TracedBlob":
        if not isinstance(other, TracedBlob):
            raise self._tracer.unknown()
        return self._tracer.sum_of((self, other))

    def __getattr__(self, attribute: str) -> Any:
        raise self._tracer.unknown()
