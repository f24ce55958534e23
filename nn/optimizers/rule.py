"""Update rules, written once: what NumPy and OpenCL compute of them has the same bits.

A rule is a Python function over numbers with + − · / and `sqrt`. Called with `Values` it computes in NumPy;
called with `Terms` it writes OpenCL C, one operation a statement. Both round each operation to float32, or
to float64 where the vector is of that, and turn denormal results, and −0, to +0 on purpose, so that all peers
hold the same bits whatever they compute on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy
from numpy.typing import NDArray

from nn.launch import flushed

Floats = NDArray[Any]  # float32, or float64
Operand = Union["Values", "Term", float]


@dataclass(frozen=True)
class Values:
    """Numbers of NumPy, flushed after every operation."""

    array: Floats

    def __add__(self, other: Operand) -> "Values":
        return self._by(numpy.add, other)

    def __sub__(self, other: Operand) -> "Values":
        return self._by(numpy.subtract, other)

    def __mul__(self, other: Operand) -> "Values":
        return self._by(numpy.multiply, other)

    def __truediv__(self, other: Operand) -> "Values":
        return self._by(numpy.divide, other)

    def sqrt(self) -> "Values":
        return Values(numpy.sqrt(self.array))

    def clamp(self, bound: "Values") -> "Values":
        return Values(
            numpy.where(
                self.array > bound.array,
                bound.array,
                numpy.where(self.array < -bound.array, -bound.array, self.array),
            )
        )

    def _by(self, operation: Any, other: Operand) -> "Values":
        dtype = self.array.dtype
        right = other.array if isinstance(other, Values) else dtype.type(other)
        return Values(flushed(numpy.asarray(operation(self.array, right), dtype)))


@dataclass
class Text:
    """The statements of a rule in OpenCL C, in order."""

    statements: list[str] = field(default_factory=list)

    def named(self, expression: str) -> "Term":
        name = f"t{len(self.statements)}"
        self.statements.append(f"const real {name} = {expression};")
        return Term(name, self)


@dataclass(frozen=True)
class Term:
    """A number in OpenCL C."""

    name: str
    text: Text

    def __add__(self, other: Operand) -> "Term":
        return self._by("+", other)

    def __sub__(self, other: Operand) -> "Term":
        return self._by("-", other)

    def __mul__(self, other: Operand) -> "Term":
        return self._by("*", other)

    def __truediv__(self, other: Operand) -> "Term":
        return self._by("/", other)

    def sqrt(self) -> "Term":
        return self.text.named(f"sqrt({self.name})")

    def clamp(self, bound: "Term") -> "Term":
        x, b = self.name, bound.name
        return self.text.named(f"{x} > {b} ? {b} : {x} < -{b} ? -{b} : {x}")

    def _by(self, operator: str, other: Operand) -> "Term":
        right = other.name if isinstance(other, Term) else _literal(other)
        return self.text.named(f"flushed({self.name} {operator} {right})")


def _literal(number: Any) -> str:
    """A number of Python in OpenCL C, of the type that the kernel computes in."""
    return f"NUMBER({float(number)!r})"


def terms(names: Sequence[str], text: Text) -> dict[str, Term]:
    """Each name as a number of its own."""
    return {name: Term(name, text) for name in names}
