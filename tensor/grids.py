"""Arrays whose values follow from the place: ranges, grids, the diagonal and what lies beside it."""

from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, not_an_array
from tensor.constants import constant
from tensor.creation import arange, asarray, zeros
from tensor.device import Device
from tensor.elementwise import greater_equal, less_equal, where
from tensor.errors import ShapeError
from tensor.manipulation import broadcast_arrays


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: "Device | str | None" = None,
    endpoint: bool = True,
) -> Array:
    """`num` evenly spaced numbers from start to stop, or to one step before it without `endpoint`.

    Computed in double precision on the host; float32 by default, complex64 between complex numbers.
    """
    if num < 0:
        raise ShapeError(f"linspace: expected at least 0 numbers, got num={num}.")
    natural = complex if isinstance(start, complex) or isinstance(stop, complex) else float
    target = dtypes.as_dtype(natural if dtype is None else dtype)
    with numpy.errstate(all="ignore"):
        values = numpy.linspace(start, stop, num, endpoint=endpoint).astype(target)
    return asarray(values, device=device)


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Views of vectors as coordinates: array i varies along axis i of all; "xy" swaps the first two."""
    if indexing not in ("xy", "ij") or any(each.ndim > 1 for each in arrays):
        shapes = [each.shape for each in arrays]
        raise ShapeError(f'meshgrid: expected vectors and "xy" or "ij", got shapes {shapes}, {indexing!r}.')
    order = list(range(len(arrays)))
    if indexing == "xy":
        order[:2] = order[:2][::-1]
    shapes = [tuple(-1 if axis == own else 1 for axis in range(len(arrays))) for own in order]
    return broadcast_arrays(*(each.reshape(shape) for each, shape in zip(arrays, shapes, strict=True)))


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: "Device | str | None" = None,
) -> Array:
    """A matrix of zeros with ones on the k-th diagonal, above the main one for positive k."""
    columns = n_rows if n_cols is None else n_cols
    matrix = zeros((n_rows, columns), dtypes.as_dtype(float if dtype is None else dtype), device)
    first = k if k >= 0 else -k * columns
    length = min(n_rows + min(k, 0), columns - max(k, 0))
    if length > 0:
        matrix.reshape(-1)[first : first + (length - 1) * (columns + 1) + 1 : columns + 1] = 1
    return matrix


def tril(x: Array, /, *, k: int = 0) -> Array:
    """The matrices [..., M, N] with zeros above the k-th diagonal."""
    row, column, zero = _places("tril", x)
    return where(less_equal(column, row + k), x, zero)


def triu(x: Array, /, *, k: int = 0) -> Array:
    """The matrices [..., M, N] with zeros below the k-th diagonal."""
    row, column, zero = _places("triu", x)
    return where(greater_equal(column, row + k), x, zero)


def _places(name: str, x: Array) -> tuple[Array, Array, Array]:
    """The number of each row and of each column, and the zero of this dtype."""
    if not isinstance(x, Array):  # NumPy's have shapes and devices too
        raise not_an_array(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected matrices […, M, N], got shape {x.shape}.")
    row, column = (arange(n, dtype=dtypes.int32, device=x.device) for n in x.shape[-2:])
    return row.reshape((-1, 1)), column, constant(x.dtype.type(0).item(), x.dtype, x.device)
