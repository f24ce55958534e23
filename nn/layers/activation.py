"""Functions of one element, or of all elements of a row."""

import math

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from tensor import Array


class ReLU(Layer):
    """y = max(x, 0), for any shape. Its derivative at 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        return tensor.relu(x)


class ReLU6(Layer):
    """y = min(max(x, 0), 6), for any shape. Its derivative at 0 and 6 is taken as 0.

    Source: A. Krizhevsky: "Convolutional Deep Belief Networks on CIFAR-10", 2010.
    """

    def forward(self, x: Array) -> Array:
        return tensor.relu6(x)


class LeakyReLU(Layer):
    """y = x where x > 0, else slope · x. Source: A. Maas and others: "Rectifier Nonlinearities", 2013."""

    def __init__(self, slope: float = 0.01) -> None:
        if not 0 <= slope < 1:
            raise NetworkError(f"LeakyReLU expected 0 ≤ slope < 1, got {slope}.")
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return tensor.maximum(x, x * self.slope)


class Sigmoid(Layer):
    """y = 1 / (1 + e⁻ˣ), for any shape."""

    def forward(self, x: Array) -> Array:
        return _sigmoid(x)


class Tanh(Layer):
    """y = tanh(x), for any shape."""

    def forward(self, x: Array) -> Array:
        return tensor.tanh(x)


class SiLU(Layer):
    """y = x / (1 + e⁻ˣ), for any shape. Source: D. Hendrycks, K. Gimpel: "Gaussian Error Linear Units",
    2016."""

    def forward(self, x: Array) -> Array:
        return x * _sigmoid(x)


class GELU(Layer):
    """y = x · Φ(x), Φ being the normal distribution: x / 2 · (1 + erf(x / √2)), for any shape.

    With approximate="tanh", as GPT-2 has it, x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))), which is
    within 5e-4 of it. Source: D. Hendrycks, K. Gimpel: "Gaussian Error Linear Units", 2016.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise NetworkError(f"GELU expected approximate to be none or tanh, got {approximate!r}.")
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        if self.approximate == "none":
            return x * (tensor.erf(x * math.sqrt(0.5)) + 1.0) * 0.5
        inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        return x * (tensor.tanh(inner) + 1.0) * 0.5


class Softmax(Layer):
    """y = eˣ / Σ eˣ along `axis` (default: the last one). x: float32 of any shape with that axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        if not -x.ndim <= self.axis < x.ndim:
            raise self.shape_error(f"with an axis {self.axis}", x.shape)
        return softmax(x, self.axis)


def softmax(x: Array, axis: int = -1) -> Array:
    """eˣ / Σ eˣ along an axis, without overflow."""
    with tensor.not_recording_calls():  # what is taken from all cancels out, so no gradient goes there
        largest = tensor.max(x, axis=axis, keepdims=True)
    powers = tensor.exp(x - largest)
    return powers / tensor.sum(powers, axis=axis, keepdims=True)


def _sigmoid(x: Array) -> Array:
    """By tanh, which overflows nowhere."""
    return tensor.tanh(x * 0.5) * 0.5 + 0.5
