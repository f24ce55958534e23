"""Functions of one element, or of all elements of a row."""

import math

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.mixed_precision import in_float32, rounded_like
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
        with tensor.not_recording_calls():
            return rounded_like(x, _silu(in_float32(x)))

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        return _silu_backward(in_float32(gradient), in_float32(x))


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
        with tensor.not_recording_calls():
            gelu = _gelu if self.approximate == "none" else _gelu_tanh
            return rounded_like(x, gelu(in_float32(x)))

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        backward = _gelu_backward if self.approximate == "none" else _gelu_tanh_backward
        return backward(in_float32(gradient), in_float32(x))


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
    wide = in_float32(x)
    with tensor.not_recording_calls():  # what is taken from all cancels out, so no gradient goes there
        largest = tensor.max(wide, axis=axis, keepdims=True)
    powers = _powers(wide, largest)
    return rounded_like(x, powers / tensor.sum(powers, axis=axis, keepdims=True))


def _sigmoid(x: Array) -> Array:
    """By tanh, which overflows nowhere."""
    return tensor.tanh(x * 0.5) * 0.5 + 0.5


# Each is one kernel where nothing is taped; so what has several operations has a backward() of its own.


@tensor.fuse
def _powers(x: Array, largest: Array) -> Array:
    return tensor.exp(x - largest)


@tensor.fuse
def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


@tensor.fuse
def _silu_backward(gradient: Array, x: Array) -> Array:
    sigmoid = _sigmoid(x)
    return gradient * sigmoid * (x * (1.0 - sigmoid) + 1.0)


@tensor.fuse
def _gelu(x: Array) -> Array:
    return x * _normal_below(x)


@tensor.fuse
def _gelu_backward(gradient: Array, x: Array) -> Array:
    density = tensor.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return gradient * (_normal_below(x) + x * density)


def _normal_below(x: Array) -> Array:
    """Φ(x)."""
    return (tensor.erf(x * math.sqrt(0.5)) + 1.0) * 0.5


@tensor.fuse
def _gelu_tanh(x: Array) -> Array:
    return x * (_gelu_bend(x) + 1.0) * 0.5


@tensor.fuse
def _gelu_tanh_backward(gradient: Array, x: Array) -> Array:
    bend = _gelu_bend(x)
    slope = (1.0 - bend * bend) * (x * x * (3 * 0.044715) + 1.0) * math.sqrt(2 / math.pi)
    return gradient * (bend + 1.0 + x * slope) * 0.5


def _gelu_bend(x: Array) -> Array:
    return tensor.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi))
