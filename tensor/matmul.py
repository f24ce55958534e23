"""The matrix product: NumPy's definition, and kernels for CPUs and GPUs.

float32 is what `tensor.gemm` (CPUs), `gemm_gpu` and `gemm_wgmma` (tf32) are made for; other real dtypes have
one plain kernel (`tensor.matmul_any`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from tensor import dtypes, gemm, gemm_gpu, gemm_wgmma, matmul_any
from tensor.array import Array, Shape
from tensor.conversion import astype
from tensor.errors import DTypeError, ShapeError
from tensor.layout import broadcast_shape, broadcast_strides, collapse
from tensor.matmul_precision import Precision, checked, precisions
from tensor.primitive import primitive
from tensor.views import reshape


def _matmul_numpy(a: Any, b: Any, *, precision: Precision) -> Any:
    return numpy.asarray(numpy.matmul(a, b))


def _matmul_opencl(a: Array, b: Array, *, precision: Precision) -> Array:
    (M, K), N = a.shape[-2:], b.shape[-1]
    stack = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    output = Array.new((*stack, M, N), a.dtype, a.device)
    if K == 0:
        output.write(numpy.zeros(output.shape, a.dtype))  # a sum of nothing
    elif output.size:
        _launch_stacks(a, b, output, stack, gemm.Product(1, M, N, K), precision)
    return output


def _launch_stacks(
    a: Array, b: Array, output: Array, stack: Shape, one: gemm.Product, precision: Precision
) -> None:
    """One launch for the innermost stack axis, joined where that can be, in a loop over the outer ones."""
    sizes, (a_strides, b_strides) = collapse(
        stack,
        (
            broadcast_strides(a.shape[:-2], a.strides[:-2], stack),
            broadcast_strides(b.shape[:-2], b.strides[:-2], stack),
        ),
    )
    *outer, count = sizes
    *a_outer, a_stack = a_strides
    *b_outer, b_stack = b_strides
    product = gemm.Product(count, one.M, one.N, one.K)
    for at, index in enumerate(numpy.ndindex(*outer)):
        a_offset = a.offset + sum(i * step for i, step in zip(index, a_outer, strict=True))
        b_offset = b.offset + sum(i * step for i, step in zip(index, b_outer, strict=True))
        left = gemm.Matrices(a.buffer, a_offset, a_stack, *a.strides[-2:])
        right = gemm.Matrices(b.buffer, b_offset, b_stack, *b.strides[-2:])
        launch = _launcher(a, precision, product, left, right)
        launch(a.device, product, left, right, output.buffer, at * count * one.M * one.N)


def _launcher(
    a: Array, precision: Precision, sizes: gemm.Product, left: gemm.Matrices, right: gemm.Matrices
) -> Callable[..., None]:
    """What launches a product of matrices like `a`."""
    if a.dtype != dtypes.float32:
        return partial(matmul_any.launch, dtype=a.dtype)
    if a.device.kind == "cpu":
        return gemm.launch
    suits = precision != "float32" and gemm_wgmma.suits(sizes, left, right)
    return gemm_wgmma.launch if suits and "tf32" in precisions(a.device) else gemm_gpu.launch


_MATMUL = primitive("matmul", numpy=_matmul_numpy, opencl=_matmul_opencl)


def numbers(where: str, a: Array, b: Array) -> tuple[Array, Array]:
    """Both in their common dtype; raises DTypeError if they are not arrays of numbers."""
    for each in (a, b):
        if not isinstance(each, Array) or each.dtype == dtypes.bool_:
            found = each.dtype.name if isinstance(each, Array) else type(each).__name__
            raise DTypeError(f"{where}: expected two arrays of numbers, got {found}; use asarray or astype.")
    dtype = dtypes.promote(a.dtype, b.dtype, where)
    return astype(a, dtype, copy=False), astype(b, dtype, copy=False)


def matmul(a: Array, b: Array, *, precision: Precision | None = None) -> Array:
    """The matrix product a[…, M, K] · b[…, K, N] -> […, M, N] in the common dtype of both.

    Axes before the last two are stacks of matrices and broadcast. A vector is a row on the left, a column on
    the right, and its axis is dropped from the result. Any strides do: `a.T` and slices cost no copy. The
    order in which products are added depends on the layouts and the device alone: the same bits at each call.
    `precision` ("float32", "tf32", "bf16") allows a faster product of rounded float32 inputs where the device
    has one (see `precisions`); without it the innermost `with tensor.precision(…)` counts, else float32.
    Raises ShapeError if the shapes do not fit, DTypeError for bool, PrecisionError.
    """
    a, b = numbers("matmul", a, b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit; expected […, M, K] and […, K, N]."
        )
    broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    left = reshape(a, (1, a.shape[0])) if a.ndim == 1 else a
    right = reshape(b, (b.shape[0], 1)) if b.ndim == 1 else b
    product = _MATMUL(left, right, precision=checked(precision))
    if a.ndim > 1 and b.ndim > 1:
        return product
    stack, (M, N) = product.shape[:-2], product.shape[-2:]
    return reshape(product, (*stack, *((M,) if a.ndim > 1 else ()), *((N,) if b.ndim > 1 else ())))
