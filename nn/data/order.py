"""In which order the samples of a data set are gone through."""

from functools import lru_cache

import numpy
from numpy.typing import NDArray


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> NDArray[numpy.int64]:
    """A permutation of the numbers below `count`, int64 [count]: a function of (seed, epoch) alone.

    A `Loader` and a mesh go by it. Epochs are numbered from 0. It is not to be written to.
    """
    order = numpy.random.Generator(numpy.random.Philox(key=[seed, epoch])).permutation(count)
    order.setflags(write=False)
    return order
