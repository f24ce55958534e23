"""The diagonal of matrices, which is a view, and its sum."""

from typing import Any

from tensor.array import Array
from tensor.errors import DTypeError, ShapeError
from tensor.primitive import primitive
from tensor.reduction import sum


def _diagonal(x: Array, offset: int) -> Array:
    *stack, rows, columns = x.shape
    *steps, row_step, column_step = x.strides
    row, column = max(-offset, 0), max(offset, 0)
    shape = (*stack, max(0, min(rows - row, columns - column)))
    first = x.offset if 0 in shape else x.offset + row * row_step + column * column_step
    return Array(x.storage, shape, (*steps, row_step + column_step), first, x.dtype)


_DIAGONAL = primitive("diagonal", view=_diagonal)


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """The view [..., K] of the diagonal of matrices [..., M, N], `offset` places right of the main one.

    Left of it, or below, for a negative offset; empty where the matrix has no such diagonal.
    """
    if x.ndim < 2:
        raise ShapeError(f"diagonal: expected matrices […, M, N], got shape {x.shape}.")
    return _DIAGONAL(x, offset=int(offset))


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum [...] of the diagonal of matrices [..., M, N], in `dtype`; of integers in int64 or uint64."""
    if x.dtype.kind == "b":
        raise DTypeError("trace: expected numbers, got bool; use astype first.")
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)
