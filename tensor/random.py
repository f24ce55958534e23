"""Random numbers: `default_rng(seed)` in NumPy's manner, and `random_uniform`, a pure function of its key.

    rng = tensor.random.default_rng(7)
    x = rng.normal(0, 1, (3, 4))

All come from Philox4x32-10, a counter and a key in, bits out: equal arguments give the same bits on every
device, whatever its number of threads. A generator holds the counter and moves it on by one with each call.
Its floats are float32. NumPy's generators of the same seed give other numbers.
"""

import secrets
from math import prod
from typing import Any

import numpy

from tensor import dtypes
from tensor.array import Array, Shape
from tensor.constants import constant
from tensor.device import Device
from tensor.discovery import device as find_device
from tensor.elementwise import less
from tensor.errors import DTypeError, NumberError, RecordError, ShapeError
from tensor.gather import take_unchecked
from tensor.memory import outside_scopes
from tensor.philox import MASK, fold_key
from tensor.primitive import not_recording_calls
from tensor.random_draws import draw_integers, draw_normal, draw_uniform
from tensor.sorting import argsort
from tensor.views import assign

_DOMAIN = 0x67656E  # keeps generators apart from random_uniform with the same integers


def random_uniform(
    shape: Any,
    key: tuple[int, ...] | int,
    *,
    counter: "Array | int" = 0,
    offset: int = 0,
    device: "Device | str | None" = None,
) -> Array:
    """float32 numbers in [0, 1) with 24 random bits: elements offset, offset + 1, … of the stream (key,
    counter).

    `key` is any integers, such as (seed, layer). `counter` (the step) may be an integer array with one
    element on the device, so that a recorded step draws new numbers in each replay. Equal arguments give
    equal bits everywhere.
    """
    folded = fold_key(_integers(key))
    if isinstance(counter, Array):
        if counter.size != 1:
            raise ShapeError(f"random_uniform: the counter must have one element, got shape {counter.shape}.")
        if counter.dtype.kind not in "iu" or counter.dtype.itemsize < 4:
            raise DTypeError(f"random_uniform: the counter must be int32 … uint64, got {counter.dtype.name}.")
        return draw_uniform(counter, shape=_integers(shape), key=folded, number=0, offset=offset)
    nothing = constant(0, dtypes.int32, find_device(device))
    number = counter & MASK
    return draw_uniform(nothing, shape=_integers(shape), key=folded, number=number, offset=offset)


def default_rng(seed: Any = None, device: "Device | str | None" = None) -> "Generator":
    """A `Generator`; numpy.random's name for it."""
    return Generator(seed, device)


class Generator:
    """A stream of random numbers on one device, named by a seed: an integer, several, or None for a new one.

    Seeds of several integers, such as (seed, worker), are streams of their own. A call inside record() draws
    new numbers in each replay: those that the same calls would draw without recording. Not for several
    threads at once.
    """

    def __init__(self, seed: Any = None, device: "Device | str | None" = None) -> None:
        self.device = find_device(device)
        self.seed = _integers(secrets.randbits(63) if seed is None else seed)
        self._key = fold_key((*self.seed, _DOMAIN))
        # The counter is the sum of the two. From the first recorded call on only the array moves, since
        # replays can move that one alone.
        self._number = 0
        self._is_recorded = False
        with outside_scopes(), self.device.queue.not_recording():
            self._counter = Array.upload(numpy.zeros((), dtypes.uint64), self.device)

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, device={self.device.spec})"

    @property
    def state(self) -> dict[str, Any]:
        """Seed and counter, all that the numbers to come depend on: {"seed": [7], "counter": 3}.

        Assign it to a generator to go on from there, on any device. Raises RecordError inside record().
        """
        return {"seed": list(self.seed), "counter": int(self._counter) + self._number & MASK}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        seed = _integers(state["seed"])
        if self._is_recorded and seed != self.seed:
            raise RecordError("The seed of this generator is part of a recording; make a new generator.")
        self.seed, self._key = seed, fold_key((*seed, _DOMAIN))
        self._counter[...] = numpy.array(int(state["counter"]) - self._number & MASK, dtypes.uint64)

    # --- numbers --------------------------------------------------------------------------------------------

    def random(self, shape: Any = ()) -> Array:
        """float32 numbers in [0, 1), multiples of 2⁻²⁴."""
        return self._draw(draw_uniform, shape)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, shape: Any = ()) -> Array:
        """float32 numbers between low and high (numbers, or arrays that fit the shape), which rounding may
        reach."""
        return _scaled(self.random(shape), high - low, low)

    def normal(self, mean: Any = 0.0, std: Any = 1.0, shape: Any = ()) -> Array:
        """float32 numbers of the normal distribution (mean and std: numbers, or arrays that fit the shape).

        At most 6.77 standard deviations from the mean: each comes from 32 bits for its radius.
        """
        return _scaled(self._draw(draw_normal, shape), std, mean)

    def integers(
        self,
        low: int,
        high: int | None = None,
        shape: Any = (),
        dtype: Any = dtypes.int64,
        endpoint: bool = False,
    ) -> Array:
        """Integers from low to below `high` (0 to below low without it), or up to it with `endpoint`.

        All are equally likely. Raises NumberError for an empty range or one that the dtype does not hold.
        """
        wanted = dtypes.as_dtype(dtype)
        if wanted.kind not in "iu":
            raise DTypeError(f"Generator.integers: expected an integer dtype, got {wanted.name}.")
        first, last = (0, low) if high is None else (low, high)
        last = last if endpoint else last - 1
        limits = numpy.iinfo(wanted)
        if not limits.min <= first <= last <= limits.max:
            raise NumberError(
                f"Generator.integers: expected a range within {limits.min} to {limits.max} ({wanted.name}), "
                f"got {first} to {last}."
            )
        return self._draw(draw_integers, shape, low=int(first), span=int(last - first + 1), dtype=wanted)

    def bernoulli(self, p: Any, shape: Any = ()) -> Array:
        """bools that are true with probability p, a number or an array that fits the shape."""
        return less(self.random(shape), p)

    # --- orders ---------------------------------------------------------------------------------------------

    def permutation(self, x: Any) -> Array:
        """0 … x − 1 in random order (int64) for an integer, or a copy of an array x with its rows in random
        order."""
        if isinstance(x, Array):
            self._require_rows("permutation", x)
            return take_unchecked(x, self.permutation(x.shape[0]))
        keys = self.integers(-(2**63), 2**63, (int(x),))  # equal ones stay in their order everywhere
        return argsort(keys)

    def shuffle(self, x: Array) -> None:
        """Put the rows of x (its elements, if it has one axis) in random order, in place."""
        assign(x, self.permutation(x))

    def choice(self, x: Any, shape: Any = (), replace: bool = True) -> Array:
        """Rows of an array x, or integers below an integer x, picked at random; `replace` allows repetition.

        Raises NumberError if there are fewer than asked for without it.
        """
        sizes = _integers(shape)
        if isinstance(x, Array):
            self._require_rows("choice", x)
        count = x.shape[0] if isinstance(x, Array) else int(x)
        if count < (min(prod(sizes), 1) if replace else prod(sizes)):
            raise NumberError(
                f"Generator.choice: expected at most {count} picks without replacement, got {sizes}."
            )
        total = prod(sizes)
        picked = self.integers(0, max(count, 1), (total,)) if replace else self.permutation(count)[:total]
        if isinstance(x, Array):
            return take_unchecked(x, picked).reshape((*sizes, *x.shape[1:]))
        return picked.reshape(sizes)

    def _require_rows(self, name: str, x: Array) -> None:
        if not x.ndim:
            raise ShapeError(f"Generator.{name}: an array without axes has no rows to pick.")

    # --- the counter ----------------------------------------------------------------------------------------

    def _draw(self, primitive: Any, shape: Any, **options: Any) -> Array:
        sizes = _integers(shape)
        if any(each < 0 for each in sizes):
            raise ShapeError(f"Generator: an array cannot have shape {sizes}: sizes are not negative.")
        drawn: Array = primitive(
            self._counter, shape=sizes, key=self._key, number=self._number, offset=0, **options
        )
        self._advance()
        return drawn

    def _advance(self) -> None:
        if self.device.queue.recording is not None:
            self._is_recorded = True
        if not self._is_recorded:
            self._number += 1
            return
        with not_recording_calls():
            self._counter += 1


def _integers(values: Any) -> Shape:
    return (int(values),) if hasattr(values, "__index__") else tuple(int(each) for each in values)


def _scaled(x: Array, factor: Any, summand: Any) -> Array:
    """x * factor + summand, without passes over x that change nothing."""
    x = x if isinstance(factor, int | float) and factor == 1 else x * factor
    return x if isinstance(summand, int | float) and summand == 0 else x + summand
