"""The length of a flat vector, with the same bits on every device, and the factor that shortens it."""

import numpy

import tensor
from nn.launch import flushed, precision_of
from nn.optimizers.rule import Floats
from tensor import Array
from tensor.kernel import built

_COLUMNS, _ROWS = 16, 256  # of a chunk, as kernels/squares.cl has them
_CHUNK = _COLUMNS * _ROWS


def _sums(x: Floats, squares: bool) -> Floats:
    """Sixteen sums a chunk, each from top to bottom."""
    terms = flushed(flushed(x.copy()) ** 2) if squares else x
    chunks = numpy.zeros(-(-x.size // _CHUNK) * _CHUNK, x.dtype)
    chunks[: x.size] = terms
    rows = chunks.reshape(-1, _ROWS, _COLUMNS)
    total = numpy.zeros((len(rows), _COLUMNS), x.dtype)
    for row in range(_ROWS):
        total = flushed(total + rows[:, row])
    return total.reshape(-1)


def _sums_opencl(x: Array, squares: bool) -> Array:
    chunks = -(-x.size // _CHUNK)
    output = tensor.empty((chunks * _COLUMNS,), dtype=x.dtype, device=x.device)
    if chunks:
        is_cpu = x.device.kind == "cpu"
        kernel = built(x.device, "squares.cl", "columns_of_16", {"SQUARES": int(squares), **precision_of(x)})
        size, local = (chunks, 1) if is_cpu else (chunks * _COLUMNS, _COLUMNS)
        kernel((size,), x.size, x.buffer, x.offset, output.buffer, local_size=(local,))
    return output


_sums_of = tensor.primitive("sums_of_chunks", numpy=_sums, opencl=_sums_opencl)


def sum_of_squares(x: Array) -> Array:
    """Σ x², [1], of a contiguous float32 or float64 [P]."""
    sums = _sums_of(x, squares=True)
    while sums.size > _COLUMNS:
        sums = _sums_of(sums, squares=False)
    total = sums[:1]
    for column in range(1, sums.size):
        total = total + sums[column : column + 1]
    return total


def shortening(gradient: Array, longest: float) -> Array:
    """The factor, [1], that makes a vector no longer than `longest`: at most 1."""
    length = tensor.sqrt(sum_of_squares(gradient))
    return tensor.minimum(longest / (length + 1e-6), 1.0)
