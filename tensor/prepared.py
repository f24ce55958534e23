"""Functions that come down to one launch: what they found out for a layout and parameters is kept.

    @prepared
    def sum(x, /, axis=None, dtype=None, keepdims=False): …

A call costs the host a look-up by the layouts of the arrays and by all other arguments, and the launch.
Nothing has to be said about the function: its first call with a layout and arguments is watched, and if all
that it did was to call one primitive that has a `prepare` form, with its own arrays, then the launch of that
primitive is what it does. So its result must depend on arguments alone.
"""

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, TypeVar, cast

from tensor.array import Array
from tensor.primitive import Call, Forgetful, Prepared, taping

Function = TypeVar("Function", bound=Callable[..., Array])
_KEPT = 8192  # launches per function; a program whose shapes are ever new drops those it used longest ago


class _OnlyCall(Forgetful):
    """A tape that tells whether there was one call, and which."""

    calls = 0

    def append(self, call: Call) -> None:
        self.calls += 1
        self.call = call

    def launch(self, arrays: tuple[Array, ...], output: Array) -> Prepared | None:
        """What launches the only call, if that took `arrays` and made `output`."""
        if self.calls != 1 or self.call.output is not output:
            return None
        inputs = self.call.inputs
        if len(inputs) != len(arrays) or any(a is not b for a, b in zip(inputs, arrays, strict=True)):
            return None
        return self.call.primitive.launch_for(inputs, self.call.parameters)


def prepared(function: Function) -> Function:
    """`function` of one array and other arguments, prepared."""
    found_by = _places()

    @wraps(function)
    def call(x: Array, /, *others: Any, **named: Any) -> Array:
        if taping.tape is not None:
            return function(x, *others, **named)
        try:
            found = found_by(x.layout, *others, **named)
        except (AttributeError, TypeError):  # x is no Array, or there is a list among the others
            return function(x, *others, **named)
        return found[0](x) if found else _first_call(function, found, (x,), others, named)

    return cast(Function, call)


def prepared_for_two(function: Function) -> Function:
    """`function` of two arrays and other arguments, prepared."""
    found_by = _places()

    @wraps(function)
    def call(x1: Array, x2: Array, /, *others: Any, **named: Any) -> Array:
        if taping.tape is not None:
            return function(x1, x2, *others, **named)
        try:
            found = found_by(x1.layout, x2.layout, *others, **named)
        except (AttributeError, TypeError):
            return function(x1, x2, *others, **named)
        return found[0](x1, x2) if found else _first_call(function, found, (x1, x2), others, named)

    return cast(Function, call)


def _places() -> Callable[..., list[Prepared]]:
    """One list for each set of arguments, empty at first; 1, True and 1.0 are three arguments."""
    return lru_cache(maxsize=_KEPT, typed=True)(lambda *key, **named: [])


def _first_call(
    function: Callable[..., Array],
    found: list[Prepared],
    arrays: tuple[Array, ...],
    others: tuple[Any, ...],
    named: dict[str, Any],
) -> Array:
    """Call the function, and put into `found` what does the same for other arrays."""
    tape = taping.tape = _OnlyCall()
    try:
        output = function(*arrays, *others, **named)
    finally:
        taping.tape = None
    found.append(tape.launch(arrays, output) or partial(_plainly, function, others, named))
    return output


def _plainly(
    function: Callable[..., Array], others: tuple[Any, ...], named: dict[str, Any], *arrays: Array
) -> Array:
    return function(*arrays, *others, **named)
