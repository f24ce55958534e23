"""Groups and dilation by kernels that know neither: a launch for each group, zeros between the weights."""

from dataclasses import dataclass, replace
from typing import Any

from tensor import dtypes
from tensor.array import Array
from tensor.creation import zeros
from tensor.geometry import Geometry
from tensor.views import assign, contiguous, permute_dims


@dataclass(frozen=True)
class InParts:
    """Convolution in its three directions by `kernels`, a module for neither groups nor dilation.

    Each group's channels are brought together, computed, and spread again. Dilated kernels are computed with
    the zeros between their weights: 25 / 9 of the products for 3×3 and a dilation of 2, and an infinity or
    NaN of the image between two weights is met.
    """

    kernels: Any

    def forward(self, sizes: Geometry, x: Array, w: Array, y: Array) -> None:
        """y = conv2d(x, w); all contiguous and not empty."""
        plain, (weights, images) = _plain(sizes), (_dilated(sizes, w), _by_group(sizes, x))
        results = _room(sizes, y)
        for group in range(sizes.groups):
            self.kernels.forward(plain, images[group], _outputs_of(plain, weights, group), results[group])
        _together(sizes, results, y)

    def backward_data(self, sizes: Geometry, dy: Array, w: Array, dx: Array) -> None:
        """dx = the gradient of the images; all contiguous and not empty."""
        plain, (weights, gradients) = _plain(sizes), (_dilated(sizes, w), _by_group(sizes, dy))
        results = _room(sizes, dx)
        for group in range(sizes.groups):
            weight = _outputs_of(plain, weights, group)
            self.kernels.backward_data(plain, gradients[group], weight, results[group])
        _together(sizes, results, dx)

    def backward_weights(self, sizes: Geometry, x: Array, dy: Array, dw: Array) -> None:
        """dw = the gradient of the weights; all contiguous and not empty."""
        plain, (images, gradients) = _plain(sizes), (_by_group(sizes, x), _by_group(sizes, dy))
        whole = Array.new((sizes.O, *plain.weight_shape[1:]), dtypes.float32, dw.device)
        for group in range(sizes.groups):
            result = _outputs_of(plain, whole, group)
            self.kernels.backward_weights(plain, images[group], gradients[group], result)
        assign(dw, whole[:, :: sizes.dilation[0], :: sizes.dilation[1]])


def _plain(sizes: Geometry) -> Geometry:
    """One group, its kernel with the zeros."""
    kh, kw = sizes.extent
    c, o = sizes.C // sizes.groups, sizes.O // sizes.groups
    return replace(sizes, C=c, O=o, KH=kh, KW=kw, groups=1, dilation=(1, 1))


def _dilated(sizes: Geometry, w: Array) -> Array:
    if sizes.dilation == (1, 1):
        return w
    spread = zeros((sizes.O, *sizes.extent, w.shape[3]), dtype=dtypes.float32, device=w.device)
    assign(spread[:, :: sizes.dilation[0], :: sizes.dilation[1]], w)
    return spread


def _outputs_of(plain: Geometry, weights: Array, group: int) -> Array:
    return weights[group * plain.O : (group + 1) * plain.O]


def _split(sizes: Geometry, x: Array) -> Array:
    """[N, H, W, C] as [groups, N, H, W, C / groups], a view."""
    split = x.reshape((*x.shape[:3], sizes.groups, x.shape[3] // sizes.groups))
    return permute_dims(split, (3, 0, 1, 2, 4))


def _by_group(sizes: Geometry, x: Array) -> Array:
    return x.reshape((1, *x.shape)) if sizes.groups == 1 else contiguous(_split(sizes, x))


def _room(sizes: Geometry, result: Array) -> Array:
    """Memory for the groups' results: of one group, the result itself."""
    if sizes.groups == 1:
        return result.reshape((1, *result.shape))
    return Array.new(_split(sizes, result).shape, dtypes.float32, result.device)


def _together(sizes: Geometry, results: Array, result: Array) -> None:
    if sizes.groups > 1:
        assign(_split(sizes, result), results)
