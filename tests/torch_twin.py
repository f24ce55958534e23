"""Any network of ours in PyTorch, from the same weights: the nodes that a definition would have, one by one.

Images are [N, H, W, C] on the outside, as ours are, and channels first within.
"""

from collections.abc import Callable
from typing import Any

import numpy

import nn
from nn.graph import trace
from nn.layer_types import form_of
from nn.models.mobilenet import InvertedResidual
from nn.models.resnet import BasicBlock, Bottleneck

Apply = Callable[..., Any]


class Twin:
    """`twin(x)` computes in PyTorch what `network(x)` does in training; `parameters` have gradients, by our
    names."""

    def __init__(self, network: nn.Layer, torch: Any, device: str = "cpu", dtype: Any = None) -> None:
        self.nodes, self._output = trace(network, lambda layer: form_of(layer) is not None)
        self._functional = torch.nn.functional
        self._torch = torch
        self.parameters = {
            name: torch.tensor(
                _channels_first(numpy.asarray(x)), device=device, dtype=dtype, requires_grad=True
            )
            for name, x in network.parameters().items()
        }
        self._routes: dict[str, Any] = {}

    def follow(self, x: Any) -> None:
        """From now on let each ReLU pass, and each MaxPool2d choose, what they do in our network given x.

        Rounding alone decides where a sum is next to 0, or two of them next to each other; and one that falls
        the other way moves a gradient by more than all of the arithmetic does.
        """
        blobs = {"data": x}
        for node in self.nodes:
            inputs = [blobs[name] for name in node.inputs]
            if isinstance(node.layer, nn.ReLU | nn.MaxPool2d):
                self._routes[node.name] = self._torch.tensor(_channels_first(numpy.asarray(inputs[0])))
            blobs[node.output] = node.layer(*inputs)

    def __call__(self, x: Any) -> Any:
        blobs = {"data": x.permute(0, 3, 1, 2) if x.ndim == 4 else x}
        for node in self.nodes:
            own = {name: self.parameters.get(f"{node.name}.{name}") for name in ("weight", "bias")}
            apply: Apply = getattr(self, f"_{type(node.layer).__name__}")
            inputs = [blobs[name] for name in node.inputs]
            if node.name in self._routes:
                own["route"] = self._routes[node.name].to(inputs[0].device)
            blobs[node.output] = apply(node.layer, *inputs, **own)
        return blobs[self._output]

    def gradients(self) -> dict[str, Any]:
        """Every parameter's gradient after backward(), in the layout that ours have."""
        return {name: _channels_last(x.grad.cpu().numpy()) for name, x in self.parameters.items()}

    def _Conv2d(self, layer: Any, x: Any, weight: Any, bias: Any) -> Any:  # noqa: N802 - the layer's name
        return self._functional.conv2d(
            x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
        )

    def _Linear(self, layer: Any, x: Any, weight: Any, bias: Any) -> Any:  # noqa: N802
        rows = x.permute(0, 2, 3, 1) if x.ndim == 4 else x  # our order of the features
        return self._functional.linear(rows.reshape(rows.shape[0], -1), weight, bias)

    def _BatchNorm(self, layer: Any, x: Any, weight: Any, bias: Any) -> Any:  # noqa: N802
        return self._functional.batch_norm(x, None, None, weight, bias, True, eps=layer.eps)

    def _MaxPool2d(self, layer: Any, x: Any, route: Any = None, **_: Any) -> Any:  # noqa: N802
        y, places = self._functional.max_pool2d(
            x if route is None else route,
            layer.size,
            layer.stride,
            layer.padding,
            ceil_mode=layer.ceil_mode,
            return_indices=True,
        )
        return y if route is None else x.flatten(2).gather(2, places.flatten(2)).reshape(places.shape)

    def _AvgPool2d(self, layer: Any, x: Any, **_: Any) -> Any:  # noqa: N802
        return self._functional.avg_pool2d(x, layer.size, layer.stride, layer.padding, layer.ceil_mode)

    def _GlobalAvgPool2d(self, layer: Any, x: Any, **_: Any) -> Any:  # noqa: N802
        return x.mean((2, 3))

    def _ReLU(self, layer: Any, x: Any, route: Any = None, **_: Any) -> Any:  # noqa: N802
        return self._torch.relu(x) if route is None else x * (route > 0)

    def _ReLU6(self, layer: Any, x: Any, **_: Any) -> Any:  # noqa: N802
        return self._functional.relu6(x)

    def _Add(self, layer: Any, *inputs: Any, **_: Any) -> Any:  # noqa: N802
        return sum(inputs)

    def _Dropout(self, layer: Any, x: Any, **_: Any) -> Any:  # noqa: N802
        assert layer.ratio == 0, "masks differ: call without_dropout(network) first"
        return x


def without_dropout(network: nn.Layer) -> nn.Layer:
    """The network with nothing dropped, so that it can be compared."""
    for _, layer in network.layers():
        if isinstance(layer, nn.Dropout):
            layer.ratio = 0
    return network


def calm(network: nn.Layer) -> None:
    """Let what residual blocks add begin small: at 1, fifty blocks multiply rounding by a million, in
    PyTorch too."""
    for _, layer in network.layers():
        if isinstance(layer, BasicBlock | Bottleneck):
            last = layer.bn2 if isinstance(layer, BasicBlock) else layer.bn3
            last.weight[...] = 0.05
        elif isinstance(layer, InvertedResidual) and layer.adds:
            layer.parameters()["conv.3.weight"][...] = 0.05


def _channels_first(x: Any) -> Any:
    return numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _channels_last(x: Any) -> Any:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
