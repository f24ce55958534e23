"""The matrix product of matrices and of stacks of them."""

from typing import Any

import numpy

from tensor.array import Array
from tensor.errors import DTypeError, ShapeError
from tensor.layout import broadcast_shape
from tensor.primitive import primitive, through_host


def _matmul(a: Any, b: Any) -> Any:
    return numpy.asarray(numpy.matmul(a, b))


_MATMUL = primitive("matmul", numpy=_matmul, opencl=through_host(_matmul))


def matmul(a: Array, b: Array) -> Array:
    """a[…, M, K] · b[…, K, N] → […, M, N] in float32; leading axes are broadcast, transposed views need no
    copy.

    A vector [K] on the left or right is a row or a column whose axis disappears from the result.
    """
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        raise DTypeError(f"matmul: expected float32, got {a.dtype.name} and {b.dtype.name}; use astype.")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0] if b.ndim else 0
    if not a.ndim or not b.ndim or a.shape[-1] != inner:
        raise ShapeError(
            f"matmul: the last axis of {a.shape} must be as long as the last but one of {b.shape}."
        )
    broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    return _MATMUL(a, b)
