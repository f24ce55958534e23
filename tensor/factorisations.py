"""Factorisations of matrices and what follows from them. NumPy (LAPACK) computes them on the host.

Results come back to the array's device in its dtype; integers are computed in float32. A factorisation into
several parts is one primitive, whose output holds the parts side by side: so it replays in recordings, and nn
sees it, as any other.
"""

import builtins
from math import prod
from typing import Any, Literal, NamedTuple

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.creation import zeros
from tensor.elementwise import conj, divide, real, where
from tensor.errors import ArgumentError, ShapeError
from tensor.host import host_numbers, host_primitive
from tensor.layout import broadcast_shape
from tensor.manipulation import matrix_transpose
from tensor.matmul import matmul, numbers
from tensor.reduction import max
from tensor.searching import count_nonzero
from tensor.views import copy


def matrices(where: str, x: Array, square: bool = False) -> Array:
    """x as matrices that NumPy factorises; raises ShapeError and DTypeError."""
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        expected = "square matrices […, M, M]" if square else "matrices […, M, N]"
        raise ShapeError(f"{where}: expected {expected}, got shape {x.shape}.")
    return host_numbers(where, x)


# --- one result ---------------------------------------------------------------------------------------------

_NOT_FINITE = "is not finite or LAPACK finds no end with it; look with isfinite(x)"

_CHOLESKY = host_primitive(
    "cholesky", numpy.linalg.cholesky, "is not positive definite; eigh shows its eigenvalues"
)
_DET = host_primitive("det", numpy.linalg.det)
_EIGVALSH = host_primitive("eigvalsh", numpy.linalg.eigvalsh, _NOT_FINITE)
_INV = host_primitive("inv", numpy.linalg.inv, "is singular; use pinv(x)")
_SOLVE = host_primitive("solve", numpy.linalg.solve, "is singular; use pinv(x1) @ x2")
_SVDVALS = host_primitive("svdvals", numpy.linalg.svdvals, _NOT_FINITE)


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """The lower triangular L with x = L Lᴴ, or the upper U with x = Uᴴ U; computed on the host.

    x is Hermitian and positive definite [..., M, M], of which one triangle is read. Raises MatrixError.
    """
    return _CHOLESKY(matrices("cholesky", x, square=True), upper=upper)


def det(x: Array, /) -> Array:
    """The determinants [...] of square matrices [..., M, M]; computed on the host."""
    return _DET(matrices("det", x, square=True))


def eigvalsh(x: Array, /) -> Array:
    """The real eigenvalues [..., M], ascending, of Hermitian matrices [..., M, M]; computed on the host."""
    return _EIGVALSH(matrices("eigvalsh", x, square=True))


def inv(x: Array, /) -> Array:
    """The inverses of square matrices [..., M, M]; computed on the host. Raises MatrixError for singular
    ones."""
    return _INV(matrices("inv", x, square=True))


def solve(x1: Array, x2: Array, /) -> Array:
    """X with x1 X = x2 for x1 [..., M, M] and x2 [..., M, K], or a vector [M]; computed on the host.

    Axes before the last two broadcast. Raises MatrixError for singular x1, ShapeError.
    """
    a, b = numbers("solve", x1, x2)
    a, b = matrices("solve", a, square=True), host_numbers("solve", b)
    if b.ndim == 0 or b.shape[-2 if b.ndim > 1 else 0] != a.shape[-1]:
        raise ShapeError(f"solve: {x1.shape} and {x2.shape} do not fit; expected […, M, M] and […, M, K].")
    broadcast_shape("solve", a.shape[:-2], b.shape[:-2])
    return _SOLVE(a, b)


def svdvals(x: Array, /) -> Array:
    """The singular values [..., min(M, N)], descending, of matrices [..., M, N]; computed on the host."""
    return _SVDVALS(matrices("svdvals", x))


# --- several results ----------------------------------------------------------------------------------------


def _side_by_side(function: Any) -> Any:
    """A NumPy function of several results, as one that lays them flat side by side along one last axis."""

    def compute(x: Any, **parameters: Any) -> Any:
        stack = x.shape[:-2]
        parts = [numpy.asarray(each) for each in function(x, **parameters)]
        flat = [each.reshape(*stack, prod(each.shape[len(stack) :])) for each in parts]
        return numpy.concatenate(flat, axis=-1)

    return compute


def _apart(joined: Array, *shapes: Shape) -> list[Array]:
    """The parts that lie side by side along the last axis, each in memory of its own."""
    parts, begin = [], 0
    for shape in shapes:
        part = joined[..., begin : begin + prod(shape)]
        parts.append(copy(part.reshape((*joined.shape[:-1], *shape))))
        begin += prod(shape)
    return parts


def _real(x: Array) -> Array:
    """The real part of what lay beside complex numbers."""
    return real(x) if x.dtype.kind == "c" else x


_EIGH = host_primitive("eigh", _side_by_side(numpy.linalg.eigh), _NOT_FINITE)
_QR = host_primitive("qr", _side_by_side(numpy.linalg.qr))
_SLOGDET = host_primitive("slogdet", _side_by_side(numpy.linalg.slogdet))
_SVD = host_primitive("svd", _side_by_side(numpy.linalg.svd), _NOT_FINITE)


class Eigen(NamedTuple):
    """What `eigh` gives: eigenvalues [..., M], ascending, and eigenvectors as columns [..., M, M]."""

    eigenvalues: Array
    eigenvectors: Array


class QR(NamedTuple):
    """What `qr` gives: orthonormal columns Q and upper triangular R."""

    Q: Array
    R: Array


class SignAndLog(NamedTuple):
    """What `slogdet` gives: the sign of a determinant and the logarithm of its absolute value."""

    sign: Array
    logabsdet: Array


class SVD(NamedTuple):
    """What `svd` gives: left vectors U, singular values S, descending, and right vectors Vh as rows."""

    U: Array
    S: Array
    Vh: Array


def eigh(x: Array, /) -> Eigen:
    """Eigenvalues and eigenvectors of Hermitian matrices [..., M, M]; computed on the host.

    One triangle is read. Raises MatrixError for values that are not finite.
    """
    a = matrices("eigh", x, square=True)
    M = a.shape[-1]
    values, vectors = _apart(_EIGH(a), (M,), (M, M))
    return Eigen(_real(values), vectors)


def qr(x: Array, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QR:
    """x = Q R for matrices [..., M, N]: Q [..., M, K] and R [..., K, N], computed on the host.

    K is min(M, N), or M in the complete mode.
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f'qr: expected the mode "reduced" or "complete", got {mode!r}.')
    a = matrices("qr", x)
    M, N = a.shape[-2:]
    K = M if mode == "complete" else builtins.min(M, N)
    return QR(*_apart(_QR(a, mode=mode), (M, K), (K, N)))


def slogdet(x: Array, /) -> SignAndLog:
    """Sign and logarithm of the absolute value of determinants of [..., M, M]; computed on the host.

    0 and −∞ for singular matrices; of complex matrices the sign has the length 1.
    """
    sign, logarithm = _apart(_SLOGDET(matrices("slogdet", x, square=True)), (), ())
    return SignAndLog(sign, _real(logarithm))


def svd(x: Array, /, *, full_matrices: bool = True) -> SVD:
    """x = U diag(S) Vh for matrices [..., M, N]: U [..., M, M], Vh [..., N, N], computed on the host.

    Without `full_matrices` only the min(M, N) vectors that belong to singular values. Raises MatrixError for
    values that are not finite.
    """
    a = matrices("svd", x)
    M, N = a.shape[-2:]
    K = builtins.min(M, N)
    left, right = (M, N) if full_matrices else (K, K)
    U, S, Vh = _apart(_SVD(a, full_matrices=full_matrices), (M, left), (K,), (right, N))
    return SVD(U, _real(S), Vh)


# --- what follows from singular values ----------------------------------------------------------------------


def _smallest(S: Array, x: Array, rtol: "float | Array | None") -> Array:
    """Singular values up to this one [..., 1] count as zeros."""
    if rtol is None:
        rtol = builtins.max(x.shape[-2:]) * float(numpy.finfo(S.dtype).eps)
    relative = rtol[..., None] if isinstance(rtol, Array) else rtol
    return max(S, axis=-1, keepdims=True) * relative


def matrix_rank(x: Array, /, *, rtol: "float | Array | None" = None) -> Array:
    """How many singular values of [..., M, N] are larger than rtol times the largest one, as int64.

    rtol is a number, or one for each matrix; max(M, N) · eps by default. Singular values come from the host.
    """
    S = svdvals(x)
    if S.shape[-1] == 0:
        return zeros(S.shape[:-1], dtypes.int64, x.device)
    return count_nonzero(_smallest(S, x, rtol) < S, axis=-1)


def pinv(x: Array, /, *, rtol: "float | Array | None" = None) -> Array:
    """The pseudo-inverses [..., N, M] (Moore and Penrose's) of matrices [..., M, N].

    Singular values up to rtol times the largest one count as zeros: a number, or one for each matrix;
    max(M, N) · eps by default. The factorisation is computed on the host, the product on the device.
    """
    U, S, Vh = svd(x, full_matrices=False)
    if S.shape[-1] == 0:
        return zeros((*S.shape[:-1], *x.shape[:-3:-1]), U.dtype, x.device)
    inverse = where(_smallest(S, x, rtol) < S, divide(1, S), 0)
    return matmul(_adjoint(Vh) * inverse[..., None, :], _adjoint(U))


def _adjoint(x: Array) -> Array:
    """The conjugate transpose."""
    turned = matrix_transpose(x)
    return conj(turned) if x.dtype.kind == "c" else turned
