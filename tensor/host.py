"""Primitives that NumPy computes on the host for every device: what no kernel is written for, or pays for."""

from collections.abc import Callable
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array
from tensor.conversion import astype
from tensor.errors import DTypeError, MatrixError
from tensor.primitive import Primitive, primitive, through_host


def host_primitive(name: str, definition: Callable[..., Any], refused: str = "") -> Primitive:
    """The primitive of a NumPy function of one result, which comes back to the device of its inputs.

    `refused` says of matrices that the function does not take what they are, and what to use instead.
    """

    def compute(*inputs: Any, **parameters: Any) -> Any:
        try:
            return numpy.asarray(definition(*inputs, **parameters))
        except numpy.linalg.LinAlgError as error:
            shapes = " and ".join(str(each.shape) for each in inputs)
            raise MatrixError(f"{name}: of the matrices in shape {shapes} one {refused}.") from error

    return primitive(name, numpy=compute, opencl=through_host(compute))


def host_numbers(where: str, x: Array) -> Array:
    """x as NumPy's factorisations and transforms take it: integers become float32.

    Raises DTypeError for bool, float16 and bfloat16.
    """
    if x.dtype.kind in "iu":
        return astype(x, dtypes.float32)
    if x.dtype in (dtypes.bool_, *dtypes.STORED):
        raise DTypeError(
            f"{where}: expected float32, float64, complex numbers or integers, got {x.dtype.name}; "
            "use astype(x, float32)."
        )
    return x
