"""Elementwise operations with broadcasting: a table of one line each, NumPy's definition beside the OpenCL
expression, by the array API standard.

Numbers take the dtype of the array that they meet. What `tensor.ufunc` says of dtypes holds for all.
"""

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Operand
from tensor.constants import constant, operands
from tensor.errors import DTypeError
from tensor.ufunc import ANY, INTEGER, REAL, Operation, binary, elementwise, unary


def _kinds(real: str, integer: str, boolean: str = "") -> dict[str, str]:
    """An expression for floating dtypes, and another one for integers."""
    return {"f": real, "i": integer, "u": integer, "b": boolean or integer}


def _whole(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Rounding, which leaves integers as they are."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


def _bounded_shift(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Shifts as kernels/arithmetic.h has them: a negative one leaves no bit either."""
    return lambda a, b: function(a, numpy.where(b < 0, a.dtype.itemsize * 8, b).astype(a.dtype))


def _power(a: Any, b: Any) -> Any:
    """NumPy refuses negative powers of integers; here they are 0, but of 1 and −1."""
    if a.dtype.kind != "i":
        return numpy.power(a, b)
    inverse = numpy.where(a == 1, 1, numpy.where(a == -1, 1 - 2 * (b & 1), 0))
    return numpy.where(b < 0, inverse, numpy.power(a, numpy.where(b < 0, 0, b)))


# NaN wins, as in NumPy; OpenCL's fmax would drop it.
_LARGER, _SMALLER = "a >= b || a != a ? a : b", "a <= b || a != a ? a : b"
_SIGN = _kinds("a != a ? a : (COMPUTE)((a > 0) - (a < 0))", "(a > 0) - (a < 0)")
_LOGADDEXP = "a == b ? a + log((COMPUTE)2) : fmax(a, b) + log1p(exp(-fabs(a - b)))"


def _erf(x: Any) -> Any:
    """NumPy has none; Python's takes one number at a time."""
    return numpy.frompyfunc(math.erf, 1, 1)(x).astype(x.dtype)


def _not_below_0(x: Any) -> Any:
    return numpy.where(x <= 0, x.dtype.type(0), x)


# fmt: off
# Arithmetic
add      = binary("add", "a + b", numpy.add, doc="x1 + x2")
subtract = binary("subtract", "a - b", numpy.subtract, doc="x1 − x2")
multiply = binary("multiply", "a * b", numpy.multiply, doc="x1 · x2")
divide   = binary("divide", "a / b", numpy.divide, "float",
                  doc="x1 / x2, correctly rounded; float32 for integers.")
floor_divide = binary("floor_divide", "floor_divide(a, b)", numpy.floor_divide, kinds=REAL,
                      doc="x1 / x2 rounded down; 0 where an integer is divided by 0.")
remainder = binary("remainder", "remainder_of(a, b)", numpy.remainder, kinds=REAL,
                   doc="What is left of x1 / x2 rounded down, with the sign of x2; 0 where an integer is "
                       "divided by 0.")
pow      = binary("pow", _kinds("pow(a, b)", "power(a, b)"), _power,
                  doc="x1 to the power of x2; a negative power of an integer "
                  "is 0, but for 1 and −1.")
maximum  = binary("maximum", _LARGER, numpy.maximum, kinds=REAL,
                  doc="The larger of x1 and x2; NaN if one of them is.")
minimum  = binary("minimum", _SMALLER, numpy.minimum, kinds=REAL,
                  doc="The smaller of x1 and x2; NaN if one of them is.")
negative = unary("negative", "-a", numpy.negative, doc="−x")
positive = unary("positive", "a", numpy.positive, doc="x, copied.")
abs      = unary("abs", "a < 0 ? -a : a == 0 ? 0 : a", numpy.abs, "component",
                 doc="|x|; of complex x, its length.")
sign     = unary("sign", _SIGN, numpy.sign, doc="−1, 0 or 1; NaN stays NaN; of complex x, x / |x|.")
square   = unary("square", "a * a", numpy.square, doc="x · x")
reciprocal = unary("reciprocal", "1 / a", numpy.reciprocal, "float", doc="1 / x")
copysign = binary("copysign", "copysign(a, b)", numpy.copysign, "float", REAL,
                  doc="|x1| with the sign of x2.")
nextafter = binary("nextafter", "nextafter(a, b)", numpy.nextafter, "float", REAL,
                   doc="The next floating number after x1 in the direction of x2.")
hypot    = binary("hypot", "hypot(a, b)", numpy.hypot, "float", REAL,
                  doc="√(x1² + x2²), without overflow on the way.")

# Rounding
floor = unary("floor", _kinds("floor(a)", "a"), _whole(numpy.floor), kinds=REAL, doc="x rounded down.")
ceil  = unary("ceil", _kinds("ceil(a)", "a"), _whole(numpy.ceil), kinds=REAL, doc="x rounded up.")
trunc = unary("trunc", _kinds("trunc(a)", "a"), _whole(numpy.trunc), kinds=REAL, doc="x rounded towards 0.")
round = unary("round", _kinds("rint(a)", "a"), numpy.round,
              doc="x rounded to the nearest integer, halves to even ones.")

# Exponentials and logarithms
exp   = unary("exp", "exp(a)", numpy.exp, "float", doc="e to the power of x.")
expm1 = unary("expm1", "expm1(a)", numpy.expm1, "float", doc="exp(x) − 1, exact near 0.")
log   = unary("log", "log(a)", numpy.log, "float", doc="Natural logarithm of x; −∞ at 0, NaN below.")
log1p = unary("log1p", "log1p(a)", numpy.log1p, "float", doc="log(1 + x), exact near 0.")
log2  = unary("log2", "log2(a)", numpy.log2, "float", doc="Logarithm of x to the base 2.")
log10 = unary("log10", "log10(a)", numpy.log10, "float", doc="Logarithm of x to the base 10.")
logaddexp = binary("logaddexp", _LOGADDEXP, numpy.logaddexp, "float", REAL,
                   doc="log(exp(x1) + exp(x2)), without overflow.")
sqrt  = unary("sqrt", "sqrt(a)", numpy.sqrt, "float", doc="Square root of x, correctly rounded; NaN below 0.")

# Trigonometry, in radians
sin   = unary("sin", "sin(a)", numpy.sin, "float", doc="Sine of x.")
cos   = unary("cos", "cos(a)", numpy.cos, "float", doc="Cosine of x.")
tan   = unary("tan", "tan(a)", numpy.tan, "float", doc="Tangent of x.")
asin  = unary("asin", "asin(a)", numpy.arcsin, "float", doc="The angle whose sine is x.")
acos  = unary("acos", "acos(a)", numpy.arccos, "float", doc="The angle whose cosine is x.")
atan  = unary("atan", "atan(a)", numpy.arctan, "float", doc="The angle whose tangent is x.")
atan2 = binary("atan2", "atan2(a, b)", numpy.arctan2, "float", REAL, doc="The angle of the point (x2, x1).")
sinh  = unary("sinh", "sinh(a)", numpy.sinh, "float", doc="Hyperbolic sine of x.")
cosh  = unary("cosh", "cosh(a)", numpy.cosh, "float", doc="Hyperbolic cosine of x.")
tanh  = unary("tanh", "tanh(a)", numpy.tanh, "float", doc="Hyperbolic tangent of x.")
asinh = unary("asinh", "asinh(a)", numpy.arcsinh, "float", doc="The number whose hyperbolic sine is x.")
acosh = unary("acosh", "acosh(a)", numpy.arccosh, "float", doc="The number whose hyperbolic cosine is x.")
atanh = unary("atanh", "atanh(a)", numpy.arctanh, "float", doc="The number whose hyperbolic tangent is x.")

erf   = unary("erf", "erf(a)", _erf, "float",
              doc="The error function: 2/√π times the integral of exp(−t²) from 0 to x.")

# Bits
bitwise_and    = binary("bitwise_and", "a & b", numpy.bitwise_and, kinds=INTEGER, doc="x1 & x2")
bitwise_or     = binary("bitwise_or", "a | b", numpy.bitwise_or, kinds=INTEGER, doc="x1 | x2")
bitwise_xor    = binary("bitwise_xor", "a ^ b", numpy.bitwise_xor, kinds=INTEGER, doc="x1 ^ x2")
bitwise_invert = unary("bitwise_invert", _kinds("", "~a", "!a"), numpy.invert, kinds=INTEGER, doc="~x")
bitwise_left_shift  = binary("bitwise_left_shift", "shift_left(a, b)", _bounded_shift(numpy.left_shift),
                             kinds="iu",
                             doc="x1 << x2; 0 where x2 is as large as the number of bits, or negative.")
bitwise_right_shift = binary("bitwise_right_shift", "shift_right(a, b)", _bounded_shift(numpy.right_shift),
                              kinds="iu",
                             doc="x1 >> x2; 0 (or −1, of a negative x1) where x2 is as large as the number "
                                 "of bits, or negative.")

# Comparison
equal         = binary("equal", "a == b", numpy.equal, "bool", ANY, doc="x1 == x2 as bool.")
not_equal     = binary("not_equal", "a != b", numpy.not_equal, "bool", ANY, doc="x1 != x2 as bool.")
less          = binary("less", "a < b", numpy.less, "bool", "biuf", doc="x1 < x2 as bool.")
less_equal    = binary("less_equal", "a <= b", numpy.less_equal, "bool", "biuf", doc="x1 <= x2 as bool.")
greater       = binary("greater", "a > b", numpy.greater, "bool", "biuf", doc="x1 > x2 as bool.")
greater_equal = binary("greater_equal", "a >= b", numpy.greater_equal, "bool", "biuf",
                       doc="x1 >= x2 as bool.")
isnan    = unary("isnan", "a != a", numpy.isnan, "bool", doc="Whether x is NaN.")
isinf    = unary("isinf", _kinds("a == a && a - a != 0", "0"), numpy.isinf, "bool",
                 doc="Whether x is ∞ or −∞.")
isfinite = unary("isfinite", _kinds("a - a == 0", "1"), numpy.isfinite, "bool",
                 doc="Whether x is neither infinite nor NaN.")
signbit  = unary("signbit", _kinds("signbit(a)", "a < 0"),
                lambda x: numpy.signbit(x) if x.dtype.kind == "f" else x < 0, "bool",
                 REAL, doc="Whether the sign of x is negative, that of −0.0 too.")

# Logic
logical_and = binary("logical_and", "a != 0 && b != 0", numpy.logical_and, "bool", ANY,
                     doc="Whether x1 and x2 are both not 0.")
logical_or  = binary("logical_or", "a != 0 || b != 0", numpy.logical_or, "bool", ANY,
                     doc="Whether x1 or x2 is not 0.")
logical_xor = binary("logical_xor", "(a != 0) != (b != 0)", numpy.logical_xor, "bool", ANY,
                     doc="Whether just one of x1 and x2 is not 0.")
logical_not = unary("logical_not", "a == 0", numpy.logical_not, "bool", ANY, doc="Whether x is 0.")

# Complex numbers
conj = unary("conj", "a", numpy.conj, doc="x with its imaginary part negated.")
real = unary("real", "a", numpy.real, "component", doc="The real part of x.")
imag = unary("imag", "0", numpy.imag, "component", doc="The imaginary part of x: 0 of real numbers.")

relu = unary("relu", "a <= 0 ? 0 : a", _not_below_0, kinds=REAL,
             doc="max(x, 0); NaN stays NaN.")
relu6 = unary("relu6", "a <= 0 ? 0 : a >= 6 ? 6 : a",
              lambda x: _not_below_0(numpy.where(x >= 6, x.dtype.type(6), x)), kinds=REAL,
              doc="min(max(x, 0), 6); NaN stays NaN.")
_WHERE = elementwise(Operation("where", "a ? b : c", numpy.where, kinds=ANY))
# fmt: on


def where(condition: Array, x1: Operand, x2: Operand, /) -> Array:
    """x1 where the bool condition holds, else x2."""
    if condition.dtype != dtypes.bool_:
        raise DTypeError(f"where: the condition must be bool, got {condition.dtype.name}; write x != 0.")
    if isinstance(x1, Array) or isinstance(x2, Array):
        first, second = operands("where", x1, x2)
    else:  # two numbers: their own dtype, on the condition's device
        dtype = dtypes.promote(dtypes.as_dtype(type(x1)), dtypes.as_dtype(type(x2)), "where")
        first, second = (constant(each, dtype, condition.device) for each in (x1, x2))
    return _WHERE(condition, first, second)


def clip(x: Array, /, min: Operand | None = None, max: Operand | None = None) -> Array:
    """x with what is below min raised to it, and what is above max lowered; both may be arrays that
    broadcast."""
    low, high = _bound("clip", x, min), _bound("clip", x, max)
    raised = x if low is None else maximum(x, low)
    if high is not None:
        return minimum(raised, high)
    return positive(x) if raised is x else raised


def _bound(where: str, x: Array, bound: Operand | None) -> Operand | None:
    """A bound in the dtype of x; None for a number beyond what the dtype holds, which bounds nothing."""
    if isinstance(bound, Array):
        return bound.astype(x.dtype)
    if bound is None or x.dtype.kind not in "iu" or not isinstance(bound, int):
        return bound
    limits = numpy.iinfo(x.dtype)
    return builtins.max(int(limits.min), builtins.min(bound, int(limits.max)))
