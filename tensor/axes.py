"""Which axes of a shape a caller means, counted from the front."""

from collections.abc import Sequence
from operator import index
from typing import Any

from tensor.errors import BadIndexError, ShapeError
from tensor.layout import Shape


def sizes_of(where: str, shape: Any) -> Shape:
    """A shape given as one integer or several; raises ShapeError for what is none."""
    try:
        return (index(shape),) if hasattr(shape, "__index__") else tuple(index(each) for each in shape)
    except TypeError as error:
        raise ShapeError(f"{where}: expected a shape, an integer or several, got {shape!r}.") from error


def one_axis(where: str, axis: int | None, shape: Shape) -> int:
    """The axis meant; None stands for the only one there is. Raises ShapeError, BadIndexError."""
    if axis is None:
        if len(shape) == 1:
            return 0
        raise ShapeError(f"{where}: shape {shape} does not have one axis; say which one is meant (axis=…).")
    if not hasattr(axis, "__index__"):
        raise BadIndexError(f"{where}: an axis is an integer, got {axis!r}.")
    if not -len(shape) <= axis < len(shape):
        raise BadIndexError(f"{where}: axis {axis} does not exist in shape {shape}.")
    return int(axis) % len(shape)


def some_axes(where: str, axis: int | Sequence[int] | None, shape: Shape) -> Shape:
    """The axes meant, in the order given; None stands for all. Raises ShapeError, also for one
    named twice."""
    if axis is None:
        return tuple(range(len(shape)))
    given = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    places = tuple(one_axis(where, each, shape) for each in given)
    if len(set(places)) < len(places):
        raise ShapeError(f"{where}: axis {axis} names an axis of shape {shape} twice.")
    return places
