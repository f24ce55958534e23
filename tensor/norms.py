"""Norms of vectors and matrices, by reductions on the device; singular values come from the host."""

from math import inf
from typing import Any

from tensor import dtypes
from tensor.array import Array
from tensor.conversion import astype
from tensor.elementwise import abs, pow, sqrt, square
from tensor.errors import ArgumentError, DTypeError
from tensor.factorisations import matrices, svdvals
from tensor.reduction import Axis, max, min, sum
from tensor.searching import count_nonzero


def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """The norm Σ(|x|ᵒʳᵈ)^(1/ord) over axes (all by default): a real number for each vector.

    ord = ∞ gives the largest |x|, −∞ the smallest, 0 how many are not 0. Integers are computed in float32.
    """
    if x.dtype.kind == "b":
        raise DTypeError("vector_norm: expected numbers, got bool; use astype first.")
    if isinstance(ord, str):
        raise ArgumentError(f"vector_norm: expected a number as ord, got {ord!r}; matrix_norm has others.")
    lengths = abs(astype(x, dtypes.floating(x.dtype), copy=False))
    over: Any = {"axis": axis, "keepdims": keepdims}
    if ord in (inf, -inf):
        return (_largest if ord > 0 else min)(lengths, **over)
    if ord == 0:
        return astype(count_nonzero(lengths, **over), lengths.dtype)
    if ord == 1:
        return sum(lengths, **over)
    if ord == 2:
        return sqrt(sum(square(lengths), **over))
    return pow(sum(pow(lengths, float(ord)), **over), 1 / ord)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: "float | str | None" = "fro") -> Array:
    """The norm of matrices [..., M, N]: one real number for each.

    "fro" is the root of the sum of squares, 1 the largest sum of |x| down a column, ∞ along a row, −1 and −∞
    the smallest. 2 and −2 are the largest and the smallest singular value, "nuc" is the sum of all; these
    values are computed on the host. Raises ArgumentError.
    """
    x = matrices("matrix_norm", x)
    if ord is None or ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, inf, -inf):
        raise ArgumentError(f'matrix_norm: expected "fro", "nuc", ±1, ±2 or ±inf as ord, got {ord!r}.')
    by_values, along = ord in ("nuc", 2, -2), -2 if ord in (1, -1) else -1
    lengths = svdvals(x) if by_values else sum(abs(x), axis=along)
    choose = sum if ord == "nuc" else _largest if ord in (1, 2, inf) else min
    result = choose(lengths, axis=-1)
    return result[..., None, None] if keepdims else result


def _largest(lengths: Array, axis: Axis, keepdims: bool = False) -> Array:
    """The largest length; 0 of none, which a sum gives."""
    return (max if lengths.size else sum)(lengths, axis=axis, keepdims=keepdims)
