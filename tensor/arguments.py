"""The error for a list, a NumPy array or None where an Array belongs: the mistake that everybody makes.

Functions do not check for it, since arrays are passed a million times for each time that something else is:
whatever is no Array lacks an attribute at some point, and that error is put into words.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from types import FunctionType
from typing import Any

from tensor.array import Array, not_an_array


def explaining(namespace: dict[str, Any], names: Sequence[str]) -> None:
    """Let the functions of these names that take an Array first raise DTypeError for what is none.

    Elementwise functions stay as they are: they find out by themselves, and are too quick to be wrapped.
    """
    for name in names:
        function = namespace[name]
        if isinstance(function, FunctionType) and function.__module__ != "tensor.ufunc":
            first = next(iter(function.__annotations__.values()), None)
            if "Array" in str(first):
                namespace[name] = _explained(function)


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except AttributeError as error:
            if _is_given(error.obj, [*arguments, *options.values()]):
                raise not_an_array(function.__name__, error.obj) from error
            raise

    return call


def _is_given(value: Any, arguments: Sequence[Any]) -> bool:
    """Whether a value that is no Array is an argument, or in a list of arrays that is one."""
    if isinstance(value, Array):
        return False
    inside = [item for each in arguments if isinstance(each, list | tuple) for item in each]
    return any(value is each for each in [*arguments, *inside])
