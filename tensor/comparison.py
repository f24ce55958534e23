"""Comparing whole arrays: equal, or close, with NaN or without."""

from tensor import elementwise, reduction
from tensor.array import Array, Operand
from tensor.constants import operands
from tensor.dtypes import kind


def isclose(
    x1: Operand, x2: Operand, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Array:
    """Where |x1 − x2| ≤ atol + rtol · |x2|, or both are the same infinity, or, with equal_nan, both are
    NaN."""
    a, b = operands("isclose", x1, x2)
    near = elementwise.abs(a - b) <= elementwise.abs(b) * rtol + atol
    close = (near & elementwise.isfinite(b)) | (a == b)
    return close | (elementwise.isnan(a) & elementwise.isnan(b)) if equal_nan else close


def allclose(
    x1: Operand, x2: Operand, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere; waits for the device."""
    return bool(reduction.all(isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan)))


def array_equal(x1: Array, x2: Array, /, *, equal_nan: bool = False) -> bool:
    """Whether both have the same shape and the same values, NaN equal to NaN with equal_nan; waits for the
    device."""
    if x1.shape != x2.shape:
        return False
    same = x1 == x2
    if equal_nan and kind(x1.dtype) in "fc" and kind(x2.dtype) in "fc":
        same = same | (elementwise.isnan(x1) & elementwise.isnan(x2))
    return bool(reduction.all(same))
