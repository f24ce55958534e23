"""What NumPy calls otherwise: whoever types NumPy's name is told the array API's."""

from collections.abc import Collection

_NAMES = {
    "absolute": "abs(x)",
    "arccos": "acos(x)",
    "arccosh": "acosh(x)",
    "arcsin": "asin(x)",
    "arcsinh": "asinh(x)",
    "arctan": "atan(x)",
    "arctan2": "atan2(x1, x2)",
    "arctanh": "atanh(x)",
    "concatenate": "concat((x, y))",
    "conjugate": "conj(x)",
    "cumprod": "cumulative_prod(x)",
    "cumsum": "cumulative_sum(x)",
    "diagonal": "linalg.diagonal(x)",
    "dot": "matmul(x, y), or vecdot(x, y) of vectors",
    "einsum": "tensordot(x, y, axes=…), or permute_dims and matmul",
    "flatten": "reshape(x, -1)",
    "hstack": "concat((x, y), axis=1)",
    "invert": "bitwise_invert(x)",
    "left_shift": "bitwise_left_shift(x, y)",
    "matvec": "matmul(x, y)",
    "outer": "linalg.outer(x, y)",
    "power": "pow(x, y)",
    "ravel": "reshape(x, -1)",
    "right_shift": "bitwise_right_shift(x, y)",
    "swapaxes": "permute_dims(x, axes)",
    "trace": "linalg.trace(x)",
    "transpose": "permute_dims(x, axes), or x.T of a matrix",
    "true_divide": "divide(x, y)",
    "unique": "unique_values(x)",
    "vstack": "concat((x, y), axis=0)",
}


def hint(name: str, public: Collection[str]) -> str:
    """What to type instead of an attribute that an Array does not have; empty if nothing is known."""
    instead = f"{name}(x)" if name in public else _NAMES.get(name, "")
    return f" Use tensor.{instead}." if instead else ""


def hint_for_function(name: str) -> str:
    """What to type instead of a function that tensor does not have; empty if nothing is known."""
    return f" Use tensor.{_NAMES[name]}." if name in _NAMES else ""
