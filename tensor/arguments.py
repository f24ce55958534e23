"""The error for a list, a NumPy array or None where an Array belongs: the mistake that everybody makes.

Functions do not check for it, since arrays are passed a million times for each time that something else is:
whatever is no Array lacks an attribute at some point, and that error is put into words.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from types import FunctionType
from typing import Any

import numpy

from tensor.array import Array, not_an_array


def explaining(namespace: dict[str, Any], names: Sequence[str]) -> None:
    """Let the functions of these names that take Arrays raise DTypeError for what is none.

    Elementwise functions stay as they are: they find out by themselves, and are too quick to be wrapped.
    """
    for name in names:
        function = namespace[name]
        if isinstance(function, FunctionType) and function.__module__ != "tensor.ufunc":
            takes = [
                str(each) for parameter, each in function.__annotations__.items() if parameter != "return"
            ]
            if any("Array" in each for each in takes):
                namespace[name] = _explained(function)


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except AttributeError as error:
            for each in _given(arguments, options):
                if each is error.obj or isinstance(each, numpy.ndarray):
                    raise not_an_array(function.__name__, each) from error
            raise

    return call


def _given(arguments: Sequence[Any], options: dict[str, Any]) -> Iterator[Any]:
    """What was given and is no Array, also in lists of arrays."""
    for each in (*arguments, *options.values()):
        if not isinstance(each, Array):
            yield each
        if isinstance(each, list | tuple):
            yield from (item for item in each if not isinstance(item, Array))
