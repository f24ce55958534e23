"""Elementary functions against float64 NumPy, in units in the last place of the true result."""

import math

import numpy
import pytest

import tensor

FUNCTIONS = {
    "exp": numpy.exp,
    "expm1": numpy.expm1,
    "log": numpy.log,
    "log1p": numpy.log1p,
    "log2": numpy.log2,
    "log10": numpy.log10,
    "tanh": numpy.tanh,
    "sinh": numpy.sinh,
    "cosh": numpy.cosh,
    "sqrt": numpy.sqrt,
    "erf": lambda x: numpy.vectorize(math.erf)(x),
}
LARGEST_ERROR_ULP = (
    2.0  # of ours for CPUs; OpenCL itself promises 3 to 5, and NumPy's own exp and log reach 4
)


def samples(generator: numpy.random.Generator) -> numpy.ndarray:
    """Every magnitude and sign, denormals too, and the range where most numbers are."""
    bits = generator.integers(0, 2**32, 400_000, dtype=numpy.uint32)
    near = generator.standard_normal(400_000, dtype=numpy.float32)
    limits = numpy.array(
        [
            0.0,
            -0.0,
            1,
            -1,
            numpy.inf,
            -numpy.inf,
            numpy.nan,
            88.7,
            88.8,
            -87.4,
            -103.9,
            -104.1,
            1e-45,
            -1e-45,
        ],
        numpy.float32,
    )
    return numpy.concatenate([bits.view(numpy.float32), near, 10 * near, 1 + near / 1000, near / 1e6, limits])


def error_ulp(values: numpy.ndarray, truth: numpy.ndarray) -> numpy.ndarray:
    """How far off, in spacings of float32 at the truth; infinities and NaN are right or infinitely wrong."""
    with numpy.errstate(all="ignore"):
        rounded = truth.astype(numpy.float32)
        spacing = numpy.spacing(numpy.abs(numpy.where(numpy.isfinite(rounded), rounded, 0)))
        error = numpy.abs(values.astype(numpy.float64) - truth) / spacing
    same = (values == rounded) | (numpy.isnan(values) & numpy.isnan(rounded))
    return numpy.where(same, 0, numpy.where(numpy.isfinite(error), error, numpy.inf))


@pytest.mark.parametrize("name", [each for each in FUNCTIONS if hasattr(tensor, each)])
def test_error(device: tensor.Device, generator: numpy.random.Generator, name: str) -> None:
    x = samples(generator)
    with numpy.errstate(all="ignore"):
        truth = FUNCTIONS[name](x.astype(numpy.float64))
    values = getattr(tensor, name)(tensor.asarray(x, device=device)).numpy()
    error = error_ulp(values, truth)
    worst = int(numpy.argmax(error))
    assert error[worst] <= (LARGEST_ERROR_ULP if device.kind == "cpu" else 5), (
        f"{name}({x[worst]!r}) = {values[worst]!r}, expected {truth[worst]!r}"
    )
    zero = x == 0
    if name not in ("exp", "cosh", "log", "log2", "log10"):
        assert numpy.array_equal(numpy.signbit(values[zero]), numpy.signbit(x[zero]))
