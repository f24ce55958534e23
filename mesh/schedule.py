"""Who computes which samples and who serves which bucket: pure functions of the view, the step and the seed.

No message is needed for any of it. Every peer of a view computes the same answers, so the role of parameter
server can move at every step and for every bucket, and a dead peer's samples are dealt out anew by nothing
more than a new view.

Steps are numbered from 1. Step `t` uses the samples at the positions [(t − 1)·batch, t·batch) of one
endless sequence: epoch after epoch, each a permutation of the data set keyed by (seed, epoch). What a peer
computes is a slice of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nn.data import epoch_order

BUCKET_VALUES_MOST = 1 << 20  # 4 MiB of float32: one 1 MiB frame of 8-bit codes
BUCKET_VALUES_LEAST = 1 << 15
BUCKETS_WANTED = 8  # enough that a small network, too, is spread over its servers
BUCKET_ALIGNMENT = 2048  # a multiple of every codec block, so that no block crosses two buckets


@dataclass(frozen=True)
class Bucket:
    """The values [start, stop) of the flat parameter vector."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of values."""
        return self.stop - self.start


def buckets(parameter_count: int) -> tuple[Bucket, ...]:
    """Cut a vector of `parameter_count` values in buckets of equal size, the last one shorter."""
    size = min(max(-(-parameter_count // BUCKETS_WANTED), BUCKET_VALUES_LEAST), BUCKET_VALUES_MOST)
    size = -(-size // BUCKET_ALIGNMENT) * BUCKET_ALIGNMENT
    starts = range(0, max(parameter_count, 1), size)
    return tuple(Bucket(start, min(start + size, parameter_count)) for start in starts)


def server(servers: Sequence[str], step: int, bucket: int) -> str:
    """The peer that merges `bucket` in `step`: the role moves by one peer each step and each bucket."""
    return servers[(step + bucket) % len(servers)]


def sample_ids(seed: int, step: int, batch: int, count: int) -> np.ndarray:
    """The `batch` sample numbers of `step` in a data set of `count`, int64[batch]."""
    position, stop = (step - 1) * batch, step * batch
    parts = []
    while position < stop:
        epoch, offset = divmod(position, count)
        taken = min(stop - position, count - offset)
        parts.append(epoch_order(seed, epoch, count)[offset : offset + taken])
        position += taken
    return np.concatenate(parts)


def shares(speeds: Sequence[float], batch: int) -> tuple[tuple[int, int], ...]:
    """Cut the `batch` samples of a step in one slice [start, stop) a peer, in proportion to the peers'
    speeds.

    Every peer computes at least one sample; what is left over goes to the largest remainders, the earlier
    peer first. Raises ValueError where there are more peers than samples.
    """
    if batch < len(speeds):
        raise ValueError(f"a batch of {batch} samples cannot be shared by {len(speeds)} peers")
    total = sum(speeds)
    ideal = [(batch - len(speeds)) * speed / total for speed in speeds]
    counts = [1 + int(value) for value in ideal]
    by_remainder = sorted(range(len(speeds)), key=lambda peer: (int(ideal[peer]) - ideal[peer], peer))
    for peer in by_remainder[: batch - sum(counts)]:
        counts[peer] += 1
    stops = np.cumsum(counts).tolist()
    return tuple((stop - count, stop) for stop, count in zip(stops, counts, strict=True))
