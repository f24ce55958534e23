"""Layers one after the other."""

from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array


class Sequential(Layer):
    """Each layer's output is the next one's input.

    `Sequential(conv1=Conv2d(…), pool1=MaxPool2d(2))` names its layers; those given without a name are called
    "0", "1", ….
    """

    is_chain = True

    def __init__(self, *unnamed: Layer, **named: Layer) -> None:
        self.children: dict[str, Layer] = {}
        for name, layer in [*((str(index), layer) for index, layer in enumerate(unnamed)), *named.items()]:
            if not isinstance(layer, Layer):
                raise NetworkError(f"Sequential was given {layer!r} as {name!r}; expected an nn.Layer.")
            self.children[name] = layer
            self._adopt(name, layer)

    def forward(self, x: Array) -> Array:
        for layer in self.children.values():
            x = layer(x)
        return x

    def __repr__(self) -> str:
        lines = [f"    {name}: {layer!r}".replace("\n", "\n    ") for name, layer in self.children.items()]
        return "\n".join([f"{self.title}:", *lines])
