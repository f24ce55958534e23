"""Products made of the matrix product, or of elementwise ones: they run where their arrays are."""

from collections.abc import Sequence
from math import prod

from tensor.array import Array
from tensor.axes import one_axis, some_axes
from tensor.elementwise import conj
from tensor.errors import ArgumentError, ShapeError
from tensor.factorisations import inv
from tensor.grids import eye
from tensor.layout import Shape
from tensor.manipulation import moveaxis, stack, unstack
from tensor.matmul import matmul, numbers
from tensor.reduction import sum
from tensor.views import broadcast_to, copy, permute_dims, reshape

Pair = tuple[Sequence[int], Sequence[int]]


def tensordot(x1: Array, x2: Array, /, *, axes: int | Pair = 2) -> Array:
    """The sum of products over axes of x1 and as many of x2, through `matmul`.

    `axes` names them, those of x1 and those of x2, or says how many: the last ones of x1 and the first ones
    of x2. The other axes of x1 come first in the result. Raises ShapeError.
    """
    a, b = numbers("tensordot", x1, x2)
    left, right = _contracted(a, b, axes)
    rows = tuple(axis for axis in range(a.ndim) if axis not in left)
    columns = tuple(axis for axis in range(b.ndim) if axis not in right)
    depth = prod(a.shape[axis] for axis in left)
    row_shape, column_shape = tuple(a.shape[i] for i in rows), tuple(b.shape[i] for i in columns)
    product = matmul(
        reshape(permute_dims(a, (*rows, *left)), (prod(row_shape), depth)),
        reshape(permute_dims(b, (*right, *columns)), (depth, prod(column_shape))),
    )
    return reshape(product, (*row_shape, *column_shape))


def _contracted(a: Array, b: Array, axes: int | Pair) -> tuple[Shape, Shape]:
    """The axes of both that are summed over, in the order in which they meet."""
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: shapes {a.shape} and {b.shape} do not both have {axes} axes.")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (some_axes("tensordot", tuple(each), x.shape) for each, x in zip(axes, (a, b), strict=True))
    if [a.shape[axis] for axis in left] != [b.shape[axis] for axis in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} have different sizes."
        )
    return left, right


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The sum of conj(x1) · x2 over an axis of both, counted from the end; the others broadcast."""
    a, b = numbers("vecdot", x1, x2)
    a, b = _along_last("vecdot", a, axis), _along_last("vecdot", b, axis)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"vecdot: axis {axis} of {x1.shape} and of {x2.shape} have different sizes.")
    return sum((conj(a) if a.dtype.kind == "c" else a) * b, axis=-1, dtype=a.dtype)


def _along_last(where: str, x: Array, axis: int) -> Array:
    return moveaxis(x, one_axis(where, axis, x.shape), -1)


def outer(x1: Array, x2: Array, /) -> Array:
    """All products x1[i] · x2[j] of two vectors: [M, N]."""
    a, b = numbers("outer", x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(f"outer: expected two vectors, got shapes {x1.shape} and {x2.shape}.")
    return a[:, None] * b


def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The cross product of vectors of three along an axis of both; the others broadcast."""
    a, b = numbers("cross", x1, x2)
    if any(each.shape[one_axis("cross", axis, each.shape)] != 3 for each in (a, b)):
        raise ShapeError(f"cross: expected 3 elements along axis {axis} of {x1.shape} and of {x2.shape}.")
    (a0, a1, a2), (b0, b1, b2) = unstack(a, axis=axis), unstack(b, axis=axis)
    return stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axis)


def matrix_power(x: Array, n: int, /) -> Array:
    """The product of n matrices x [..., M, M], by squaring; of the inverse, from the host, for negative n."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices […, M, M], got shape {x.shape}.")
    if not isinstance(n, int):
        raise ArgumentError(f"matrix_power: expected an integer power, got {n!r}.")
    if n == 0:
        return copy(broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape))
    return copy(x) if n == 1 else _power(x, n) if n > 0 else _power(inv(x), -n)


def _power(x: Array, n: int) -> Array:
    if n == 1:
        return x
    half = _power(x, n // 2)
    square = matmul(half, half)
    return matmul(square, x) if n % 2 else square
