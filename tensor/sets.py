"""The distinct elements of an array: sorted, the places where neighbours differ say everything else.

As in the standard, every NaN is distinct, and −0 equals +0. All wait for the device, which has to say how
many there are, and raise RecordError inside record().
"""

from typing import NamedTuple

from tensor.array import Array
from tensor.creation import empty, full, ones
from tensor.dtypes import bool_, int64
from tensor.elementwise import not_equal
from tensor.gather import take_unchecked
from tensor.manipulation import concat, diff
from tensor.primitive import require_known_size
from tensor.scan import cumulative_sum
from tensor.scatter import SCATTER
from tensor.searching import nonzero
from tensor.sorting import argsort, sort
from tensor.views import reshape


class UniqueAllResult(NamedTuple):
    """See `unique_all`."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCountsResult(NamedTuple):
    """See `unique_counts`."""

    values: Array
    counts: Array


class UniqueInverseResult(NamedTuple):
    """See `unique_inverse`."""

    values: Array
    inverse_indices: Array


def unique_values(x: Array, /) -> Array:
    """The distinct elements of x, ascending."""
    ascending = sort(_flat("unique_values", x), stable=False)
    return take_unchecked(ascending, nonzero(_begins(ascending))[0])


def unique_counts(x: Array, /) -> UniqueCountsResult:
    """The distinct elements of x, ascending, and how often each one occurs (int64)."""
    ascending = sort(_flat("unique_counts", x), stable=False)
    starts = nonzero(_begins(ascending))[0]
    return UniqueCountsResult(take_unchecked(ascending, starts), _counts(starts, x.size))


def unique_inverse(x: Array, /) -> UniqueInverseResult:
    """The distinct elements of x, ascending, and for each element of x its place among them (int64)."""
    found = _all("unique_inverse", x)
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_all(x: Array, /) -> UniqueAllResult:
    """The distinct elements of x, ascending; the place in flat x where each occurs first; for each element
    of x its place among them; and how often each one occurs (places and counts are int64)."""
    return _all("unique_all", x)


def _all(where: str, x: Array) -> UniqueAllResult:
    flat = _flat(where, x)
    order = argsort(flat)
    ascending = take_unchecked(flat, order)
    begins = _begins(ascending)
    starts = nonzero(begins)[0]
    inverse = empty(x.shape, int64, x.device)
    # Every place is in `order` once, so nothing is to be checked, and nothing waited for.
    SCATTER(
        reshape(inverse, (-1,)),
        cumulative_sum(begins) - 1,
        order,
        axes=(0,),
        at=0,
        check=False,
        distinct=True,
    )
    values, indices = take_unchecked(ascending, starts), take_unchecked(order, starts)
    return UniqueAllResult(values, indices, inverse, _counts(starts, x.size))


def _flat(where: str, x: Array) -> Array:
    require_known_size(where, x)
    return reshape(x, (-1,))


def _begins(ascending: Array) -> Array:
    """Whether each element is the first of its value."""
    first = ones(min(len(ascending), 1), bool_, ascending.device)
    return concat([first, not_equal(ascending[1:], ascending[:-1])])


def _counts(starts: Array, size: int) -> Array:
    return diff(starts, append=full(1, size, dtype=int64, device=starts.device))
