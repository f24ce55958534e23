"""The fully connected layer."""

import math
from collections.abc import Sequence

import tensor
from nn.errors import NetworkError
from nn.initialization import named
from nn.layer import Layer, Parameter
from tensor import Array


class Linear(Layer):
    """y = x · weightᵀ + bias.

    `in_features` is the size of the last axis of x, or a shape: then so many last axes are taken as one, in C
    order (the 2016 system's `in_shape`). x: [..., *in_features]; y: [..., out_features].

    weight: [out_features, in], uniform within ±√(3 / in), or ±√(6 / in) with init="he"; bias:
    [out_features], 0.
    """

    weight: Array
    bias: Array

    def __init__(
        self, in_features: int | Sequence[int], out_features: int, bias: bool = True, init: str = "lecun"
    ) -> None:
        self.in_shape = (in_features,) if isinstance(in_features, int) else tuple(in_features)
        self.in_size = math.prod(self.in_shape)
        self.out_features = out_features
        if min(out_features, *self.in_shape) < 1:
            raise NetworkError(f"All sizes must be at least 1; got {self!r}.")
        self.weight = Parameter((out_features, self.in_size), named(init, self.in_size))
        self.has_bias, self.init = bias, init
        if bias:
            self.bias = Parameter((out_features,))

    def forward(self, x: Array) -> Array:
        leading = x.ndim - len(self.in_shape)
        if leading < 1 or x.shape[leading:] != self.in_shape:
            raise self.shape_error(f"[N, {', '.join(map(str, self.in_shape))}]", x.shape)
        rows = x.reshape((math.prod(x.shape[:leading]), self.in_size))  # one product, not one a sample
        y = tensor.matmul(rows, self.weight.T)
        y = y + self.bias if self.has_bias else y
        return y if leading == 1 else y.reshape((*x.shape[:leading], self.out_features))
