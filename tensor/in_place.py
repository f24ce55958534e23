"""`x += y` and its like: one launch that writes into the elements of x, wherever that does what NumPy does.

It does if the result has the dtype and the shape of x, if no two elements of x lie in one place, and if y
lies elsewhere or is x itself: then each element is read before it is written, by the same work-item. All
else is computed first and assigned then, also what somebody tapes.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy

from tensor import elementwise
from tensor.array import Array, Layout, Operand
from tensor.constants import operands
from tensor.errors import DTypeError
from tensor.indexing import set_item
from tensor.layout import are_apart, broadcast_shape
from tensor.pointwise import launch
from tensor.primitive import is_taped, primitive
from tensor.ufunc import OPERATIONS, Binary, Operation, dtypes_of, run_numpy

Update = Callable[[Array, Operand], Array]


def _update_numpy(operation: Operation, x: Any, y: Any) -> None:
    compute, result = dtypes_of(operation, x.dtype, y.dtype)
    if isinstance(operation.definition, numpy.ufunc) and compute == result:
        operation.definition(x, y.astype(compute, copy=False), out=x)
    else:
        x[...] = run_numpy(operation, x, y)


def _update_opencl(operation: Operation, x: Array, y: Array) -> None:
    compute, _ = dtypes_of(operation, x.dtype, y.dtype)
    launch(operation.expression_for(compute), compute, x, (x, y), overwrites=True)


@lru_cache(maxsize=8192)
def _fits(operation: Operation, x: Layout, y: Layout) -> bool:
    """Whether the result has a place in x, wherever both lie."""
    return (
        x.device is y.device
        and dtypes_of(operation, x.dtype, y.dtype)[1] == x.dtype
        and broadcast_shape(operation.name, x.shape, y.shape) == x.shape
        and are_apart(x.shape, x.strides)
    )


def _lies_elsewhere(y: Array, x: Array) -> bool:
    """Whether y has no element in the memory of x, or is x; False also where nobody knows."""
    if x.on_host or not y.storage.may_overlap(x.storage):  # on the host, NumPy sees to it
        return True
    return y.storage is x.storage and y.layout is x.layout and y.offset == x.offset


def _in_place(function: Binary) -> Update:
    """What an operator in place does: x = function(x, y) in the elements of x."""
    operation = OPERATIONS[function.__name__]
    write = primitive(
        f"{operation.name}_in_place",
        numpy=partial(_update_numpy, operation),
        opencl=partial(_update_opencl, operation),
        in_place=True,
        stores=True,
    )

    def update(x: Array, other: Operand) -> Array:
        if not is_taped():
            _, y = operands(operation.name, x, other)
            if _fits(operation, x.layout, y.layout) and (y is not other or _lies_elsewhere(y, x)):
                return write(x, y)
        return become(x, function(x, other))

    return update


def become(x: Array, values: Array) -> Array:
    """Assign to x what an operator in place has computed, if that has x's shape and dtype."""
    if values.dtype != x.dtype:
        raise DTypeError(
            f"An in-place operation gave {values.dtype.name} for an array of {x.dtype.name}; "
            "write x = x + y instead, or use astype first."
        )
    set_item(x, ..., values)
    return x


add, subtract = _in_place(elementwise.add), _in_place(elementwise.subtract)
multiply, divide = _in_place(elementwise.multiply), _in_place(elementwise.divide)
floor_divide, remainder = _in_place(elementwise.floor_divide), _in_place(elementwise.remainder)
pow = _in_place(elementwise.pow)
bitwise_and, bitwise_or = _in_place(elementwise.bitwise_and), _in_place(elementwise.bitwise_or)
bitwise_xor = _in_place(elementwise.bitwise_xor)
bitwise_left_shift = _in_place(elementwise.bitwise_left_shift)
bitwise_right_shift = _in_place(elementwise.bitwise_right_shift)
