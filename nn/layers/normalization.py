"""Layers that bring what passes through them to mean 0 and variance 1, and then scale and shift it."""

from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.initialization import ones
from nn.layer import Buffer, Layer, Parameter
from nn.mixed_precision import in_float32, rounded_like
from tensor import Array


class BatchNorm(Layer):
    """y = (x − mean) / √(variance + eps) · weight + bias, for each channel (the last axis) by itself.

    In training, mean and variance are those of the batch at hand over all other axes, and the buffers
    `running_mean` and `running_var` (of the unbiased variance) follow them by `rate`; in evaluation the
    buffers are used. A mesh's peers each use their own batch's. x, y: float32 [N, ..., channels].

    weight: [channels], 1; bias: [channels], 0; running_mean: [channels], 0; running_var: [channels], 1.
    Source: S.
    Ioffe, C. Szegedy: "Batch Normalization", 2015.
    """

    weight: Array
    bias: Array
    running_mean: Array
    running_var: Array

    def __init__(self, channels: int, eps: float = 1e-5, rate: float = 0.1) -> None:
        if channels < 1 or not eps > 0 or not 0 <= rate <= 1:
            raise NetworkError(f"Expected channels ≥ 1, eps > 0 and 0 ≤ rate ≤ 1; got {self!r}.")
        self.channels, self.eps, self.rate = channels, eps, rate
        self.weight, self.bias = Parameter((channels,), ones), Parameter((channels,))
        self.running_mean = Buffer((channels,), rate=rate)
        self.running_var = Buffer((channels,), ones, rate=rate)

    def forward(self, x: Array) -> Array:
        if x.ndim < 2 or x.shape[-1] != self.channels:
            raise self.shape_error(f"[N, ..., {self.channels}]", x.shape)
        if not self.training:
            scale = self.weight / tensor.sqrt(self.running_var + self.eps)
            return rounded_like(x, x * scale + (self.bias - self.running_mean * scale))
        with tensor.not_recording_calls():
            statistics = tensor.batch_statistics(x)
        self.observe("running_mean", statistics[0])
        self.observe("running_var", statistics[2])
        return rounded_like(x, tensor.batch_norm(x, statistics, self.weight, self.bias, eps=self.eps))


class LayerNorm(Layer):
    """y = (x − mean) / √(variance + eps) · weight + bias, over the last axes, of sizes `shape`, of each
    sample.

    x, y: float32 [..., *shape]. weight: shape, 1; bias: shape, 0. Source: J. L. Ba and others: "Layer
    Normalization", 2016.
    """

    weight: Array
    bias: Array

    def __init__(self, shape: int | Sequence[int], eps: float = 1e-5) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.eps = eps
        if not self.shape or min(self.shape) < 1 or not eps > 0:
            raise NetworkError(f"Expected sizes ≥ 1 and eps > 0; got {self!r}.")
        self.weight, self.bias = Parameter(self.shape, ones), Parameter(self.shape)

    def forward(self, x: Array) -> Array:
        if x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise self.shape_error(f"[..., {', '.join(map(str, self.shape))}]", x.shape)
        axes = tuple(range(-len(self.shape), 0))
        wide = in_float32(x)
        distance = wide - tensor.mean(wide, axis=axes, keepdims=True)
        variance = tensor.mean(distance * distance, axis=axes, keepdims=True)
        return rounded_like(x, distance / tensor.sqrt(variance + self.eps) * self.weight + self.bias)


class RMSNorm(Layer):
    """y = x / √(mean of x² + eps) · weight, over the last axis of each sample.

    x, y: float32 [..., channels]. weight: [channels], 1. Source: B. Zhang, R. Sennrich: "Root Mean Square
    Layer Normalization", 2019.
    """

    weight: Array

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        if channels < 1 or not eps > 0:
            raise NetworkError(f"Expected channels ≥ 1 and eps > 0; got {self!r}.")
        self.channels, self.eps = channels, eps
        self.weight = Parameter((channels,), ones)

    def forward(self, x: Array) -> Array:
        if x.ndim < 1 or x.shape[-1] != self.channels:
            raise self.shape_error(f"[..., {self.channels}]", x.shape)
        wide = in_float32(x)
        squares = tensor.mean(wide * wide, axis=-1, keepdims=True)
        return rounded_like(x, wide / tensor.sqrt(squares + self.eps) * self.weight)


class GroupNorm(Layer):
    """BatchNorm's equation over each sample's positions and each of `groups` equal parts of its channels.

    x, y: float32 [N, ..., channels]. weight: [channels], 1; bias: [channels], 0. Source: Y. Wu, K. He: "Group
    Normalization", 2018.
    """

    weight: Array
    bias: Array

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        if groups < 1 or channels < 1 or channels % groups or not eps > 0:
            raise NetworkError(f"Expected channels that `groups` divides, and eps > 0; got {self!r}.")
        self.groups, self.channels, self.eps = groups, channels, eps
        self.weight, self.bias = Parameter((channels,), ones), Parameter((channels,))

    def forward(self, x: Array) -> Array:
        if x.ndim < 2 or x.shape[-1] != self.channels:
            raise self.shape_error(f"[N, ..., {self.channels}]", x.shape)
        parts = in_float32(x).reshape((x.shape[0], -1, self.groups, self.channels // self.groups))
        distance = parts - tensor.mean(parts, axis=(1, 3), keepdims=True)
        variance = tensor.mean(distance * distance, axis=(1, 3), keepdims=True)
        normal = (distance / tensor.sqrt(variance + self.eps)).reshape(x.shape)
        return rounded_like(x, normal * self.weight + self.bias)
