"""The matrix product: NumPy's definition, and kernels for CPUs and GPUs.

float32 is what `tensor.gemm` and `gemm_narrow` (CPUs), `gemm_gpu` and `gemm_wgmma` (tf32) are made for; other
real dtypes have one plain kernel (`tensor.matmul_any`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import mul
from typing import Any

import numpy

from tensor import dtypes, gemm, gemm_gpu, gemm_narrow, gemm_wgmma, matmul_any
from tensor.array import Array, Layout, Shape, contiguous_strides, layout_like
from tensor.conversion import astype
from tensor.device import Device
from tensor.errors import DTypeError, ShapeError
from tensor.gemm import Matrices, Product
from tensor.layout import broadcast_shape, broadcast_strides, collapse
from tensor.matmul_precision import Precision, checked, precisions
from tensor.preset import InTurn, Launch, Producer
from tensor.primitive import primitive, taping
from tensor.views import reshape

ALIGNED = 4  # elements: what begins at a multiple of these can be moved 16 bytes at a time


def _matmul_numpy(a: Any, b: Any, *, precision: Precision) -> Any:
    return numpy.asarray(numpy.matmul(a, b))


def _matmul_opencl(a: Array, b: Array, *, precision: Precision) -> Array:
    key = a.layout, b.layout, a.offset % ALIGNED, b.offset % ALIGNED, precision
    produce = _ready.get(key)
    if produce is None:
        if len(_ready) >= _KEPT:
            _ready.clear()
        produce = _ready[key] = _producer(*key)
    return produce(a, b)


# What computes a product of arrays of two layouts, by those, by how they are aligned, and by the precision.
_ready: dict[tuple[Layout, Layout, int, int, Precision], Callable[[Array, Array], Array]] = {}
_KEPT = 8192  # a program whose shapes are ever new begins again then


def _producer(
    a: Layout, b: Layout, a_misfit: int, b_misfit: int, precision: Precision
) -> Callable[[Array, Array], Array]:
    """One launch for the innermost stack axis, joined where that can be, in a loop over the outer ones."""
    (M, K), N = a.shape[-2:], b.shape[-1]
    stack = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    output = layout_like(a, (*stack, M, N), a.dtype)
    if 0 in output.shape:
        return Producer(output, None)
    if K == 0:
        return partial(_sum_of_nothing, output)
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
    product = Product(count, M, N, K)
    left = Matrices(None, _misfit(a_misfit, a_outer), a_stack, *a.strides[-2:])
    right = Matrices(None, _misfit(b_misfit, b_outer), b_stack, *b.strides[-2:])
    launch = _prepared(a, precision, product, left, right)
    if outer:
        steps = ([each * product.size for each in contiguous_strides(tuple(outer))], a_outer, b_outer)
        launch = InTurn([(launch, _places(index, steps)) for index in numpy.ndindex(*outer)])
    return Producer(output, launch)


def _places(index: Shape, steps: Sequence[Sequence[int]]) -> Shape:
    """Where a matrix of each stack begins."""
    return tuple(sum(map(mul, index, each)) for each in steps)


class _SettingAll:
    """A launch that sets all its arguments anew each time."""

    def __init__(
        self, launch: Callable[..., None], device: Device, sizes: Product, left: Matrices, right: Matrices
    ) -> None:
        self._launch, self._device, self._sizes, self._sides = launch, device, sizes, (left, right)

    def __call__(self, *arrays: Array) -> None:
        self.enqueue(arrays)

    def enqueue(self, arrays: Sequence[Array]) -> None:
        c, *inputs = arrays
        sides = [
            replace(side, buffer=each.buffer, offset=each.offset)
            for side, each in zip(self._sides, inputs, strict=True)
        ]
        self._launch(self._device, self._sizes, *sides, c.buffer, c.offset)


def _misfit(offset: int, steps: list[int]) -> int:
    """0 if every matrix of a stack is aligned, else 1."""
    return int(any(each % ALIGNED for each in (offset, *steps)))


def _sum_of_nothing(output: Layout, a: Array, b: Array) -> Array:
    result = Array.new(output.shape, output.dtype, output.device)
    result.write(numpy.zeros(output.shape, output.dtype))
    return result


def _prepared(a: Layout, precision: Precision, sizes: Product, left: Matrices, right: Matrices) -> Launch:
    """What launches products of matrices like `a`."""
    if a.dtype != dtypes.float32:
        return _SettingAll(partial(matmul_any.launch, dtype=a.dtype), a.device, sizes, left, right)
    if a.device.kind == "cpu":
        return _prepared_on_cpu(a.device, sizes, left, right)
    if precision != "float32" and "tf32" in precisions(a.device) and gemm_wgmma.suits(sizes, left, right):
        return gemm_wgmma.prepare(a.device, sizes, left, right)
    return gemm_gpu.prepare(a.device, sizes, left, right)


def _prepared_on_cpu(device: Device, sizes: Product, left: Matrices, right: Matrices) -> Launch:
    narrow = gemm_narrow.prepare(device, sizes, left, right)
    if narrow is not None:
        return narrow
    if gemm.is_small(sizes):
        return gemm.prepare_small(device, sizes, left, right)
    return _SettingAll(gemm.launch_packed, device, sizes, left, right)


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
    precision = checked(precision)
    try:
        produce = _ready[a.layout, b.layout, a.offset % ALIGNED, b.offset % ALIGNED, precision]
    except (KeyError, AttributeError):  # nothing is prepared, or an argument is no Array
        return _checked_matmul(a, b, precision)
    return produce(a, b) if taping.tape is None else _MATMUL(a, b, precision=precision)


def _checked_matmul(a: Array, b: Array, precision: Precision) -> Array:
    a, b = numbers("matmul", a, b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit; expected […, M, K] and […, K, N]."
        )
    broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    left = reshape(a, (1, a.shape[0])) if a.ndim == 1 else a
    right = reshape(b, (b.shape[0], 1)) if b.ndim == 1 else b
    product = _MATMUL(left, right, precision=precision)
    if a.ndim > 1 and b.ndim > 1:
        return product
    stack, (M, N) = product.shape[:-2], product.shape[-2:]
    return reshape(product, (*stack, *((M,) if a.ndim > 1 else ()), *((N,) if b.ndim > 1 else ())))
