"""Discrete Fourier transforms, by the extension of that name of the array API standard.

numpy.fft computes them on the host, and the result comes back to the array's device. float32 and complex64
are transformed in single precision, integers as float32. `norm` says which way divides by the number of
points n: "backward" the inverse, "forward" the forward one, "ortho" both, by the root of n. `n`, or `s` for
several axes, cuts what is transformed at this number of points, or fills it up with zeros.
"""

from collections.abc import Sequence
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.axes import one_axis, some_axes
from tensor.creation import asarray
from tensor.device import Device
from tensor.errors import ArgumentError, DTypeError, ShapeError
from tensor.host import host_numbers, host_primitive
from tensor.manipulation import roll
from tensor.primitive import Primitive

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

_FFT, _IFFT, _RFFT, _IRFFT, _HFFT, _IHFFT, _FFTN, _IFFTN, _RFFTN, _IRFFTN = (
    host_primitive(name, getattr(numpy.fft, name))
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fftn", "ifftn", "rfftn", "irfftn")
)
_FROM_REAL, _FROM_HALF = (_RFFT, _IHFFT, _RFFTN), (_IRFFT, _HFFT, _IRFFTN)


# --- along one axis -----------------------------------------------------------------------------------------


def fft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The transform along an axis: y[k] = Σⱼ x[j] exp(−2πi jk/n), complex."""
    return _along_one(_FFT, x, n, axis, norm)


def ifft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `fft`: y[j] = Σₖ x[k] exp(2πi jk/n) / n, complex."""
    return _along_one(_IFFT, x, n, axis, norm)


def rfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The first n//2 + 1 points of the transform of real numbers, which determine the others."""
    return _along_one(_RFFT, x, n, axis, norm)


def irfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `rfft`: n real numbers, 2 · (size − 1) by default."""
    return _along_one(_IRFFT, x, n, axis, norm)


def hfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The transform, n real numbers, of a signal of which x is the first half and that is Hermitian.

    n is 2 · (size − 1) by default.
    """
    return _along_one(_HFFT, x, n, axis, norm)


def ihfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
    """The inverse of `hfft`: the first n//2 + 1 points of the Hermitian signal of real numbers."""
    return _along_one(_IHFFT, x, n, axis, norm)


# --- along several axes -------------------------------------------------------------------------------------

Sizes = Sequence[int] | None


def fftn(x: Array, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Array:
    """`fft` along several axes, all by default."""
    return _along_several(_FFTN, x, s, axes, norm)


def ifftn(x: Array, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Array:
    """`ifft` along several axes, all by default."""
    return _along_several(_IFFTN, x, s, axes, norm)


def rfftn(x: Array, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Array:
    """`rfft` along the last of several axes, all by default, then `fft` along the others."""
    return _along_several(_RFFTN, x, s, axes, norm)


def irfftn(x: Array, /, *, s: Sizes = None, axes: Sizes = None, norm: str = "backward") -> Array:
    """The inverse of `rfftn`: real numbers, 2 · (size − 1) along the last axis by default."""
    return _along_several(_IRFFTN, x, s, axes, norm)


def _along_one(transform: Primitive, x: Array, n: int | None, axis: int, norm: str) -> Array:
    place = one_axis(transform.name, axis, x.shape)
    values = _checked(transform, x, (x.shape[place] if n is None else n,), n is None, norm)
    return transform(values, n=n, axis=place, norm=norm)


def _along_several(transform: Primitive, x: Array, s: Sizes, axes: Sizes, norm: str) -> Array:
    places = some_axes(transform.name, axes, x.shape)
    if not places or (s is not None and (axes is None or len(s) != len(places))):
        raise ShapeError(
            f"{transform.name}: expected axes and as many sizes, got {axes} and {s} for shape {x.shape}."
        )
    points = tuple(x.shape[place] for place in places) if s is None else tuple(s)
    values = _checked(transform, x, points, s is None, norm)
    return transform(values, s=s, axes=places, norm=norm)


def _checked(transform: Primitive, x: Array, points: tuple[int, ...], natural: bool, norm: str) -> Array:
    """x as NumPy transforms it, if there is a point along each axis; `natural` sizes are those of x."""
    least = 2 if natural and transform in _FROM_HALF else 1
    if min(points) < 1 or points[-1] < least:
        raise ShapeError(f"{transform.name}: too few points ({points}) to transform for shape {x.shape}.")
    if norm not in ("backward", "ortho", "forward"):
        raise ArgumentError(
            f'{transform.name}: expected the norm "backward", "ortho" or "forward", got {norm!r}.'
        )
    if transform in _FROM_REAL and x.dtype.kind == "c":
        raise DTypeError(f"{transform.name}: expected real numbers, got {x.dtype.name}; use real(x) or fft.")
    return host_numbers(transform.name, x)


# --- places of frequencies ----------------------------------------------------------------------------------


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """The frequencies of the n points of `fft` for samples d apart: 0, 1, … −2, −1 by n · d; float32."""
    return _frequencies("fftfreq", numpy.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: "Device | str | None" = None) -> Array:
    """The frequencies of the n//2 + 1 points of `rfft` for samples d apart: 0, 1, … by n · d; float32."""
    return _frequencies("rfftfreq", numpy.fft.rfftfreq, n, d, dtype, device)


def _frequencies(
    where: str, definition: Any, n: int, d: float, dtype: Any, device: "Device | str | None"
) -> Array:
    wanted = dtypes.as_dtype(float if dtype is None else dtype)
    if wanted.kind != "f":
        raise DTypeError(f"{where}: expected a real floating dtype, got {wanted.name}.")
    if n < 1 or d == 0:
        raise ShapeError(f"{where}: expected at least one point and a distance, got n={n} and d={d}.")
    return asarray(definition(n, d), dtype=wanted, device=device)


def fftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """x with the frequency 0, which is first along axes (all by default), moved to the middle."""
    places = some_axes("fftshift", axes, x.shape)
    return roll(x, [x.shape[place] // 2 for place in places], axis=places)


def ifftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of `fftshift`."""
    places = some_axes("ifftshift", axes, x.shape)
    return roll(x, [-(x.shape[place] // 2) for place in places], axis=places)
