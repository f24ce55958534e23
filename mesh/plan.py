"""The numbers of a job that every decision of the protocol depends on, and the decisions that follow from
them alone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mesh import schedule
from mesh.schedule import Bucket
from mesh.view import View


@dataclass(frozen=True)
class Plan:
    """What a job needs scheduled: `steps` steps of `batch` of the `samples` training samples, on
    `parameters` values.

    After the last step comes the *closing* step, `steps` + 1: one empty bucket that everybody pushes and
    whose UPDATE makes the last real step final.
    """

    steps: int
    batch: int
    samples: int
    seed: int
    parameters: int
    evaluate_every: int

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """The slices of the flat vector."""
        return schedule.buckets(self.parameters)

    def bucket_count(self, step: int) -> int:
        """Number of buckets that `step` exchanges."""
        return len(self.buckets) if step <= self.steps else 1

    def is_closing(self, step: int) -> bool:
        """Whether `step` is the empty one behind the last."""
        return step > self.steps

    def samples_of(self, step: int, view: View, peer: str) -> np.ndarray:
        """The sample numbers that `peer` computes in `step`, int64."""
        ids = schedule.sample_ids(self.seed, step, self.batch, self.samples)
        start, stop = schedule.shares([member.speed for member in view.members], self.batch)[
            view.ids.index(peer)
        ]
        return ids[start:stop]

    def shares(self, view: View) -> tuple[int, ...]:
        """How many samples of a step each member computes."""
        slices = schedule.shares([member.speed for member in view.members], self.batch)
        return tuple(stop - start for start, stop in slices)

    def share(self, view: View, peer: str) -> int:
        """How many samples of a step `peer` computes."""
        return self.shares(view)[view.ids.index(peer)]

    def server(self, view: View, step: int, bucket: int) -> str:
        """The peer that merges `bucket` in `step` of `view`."""
        return schedule.server(view.servers, step, bucket)

    def evaluator(self, view: View, step: int) -> str | None:
        """The peer that measures the weights after `step` for everybody, or None where `step` is
        not measured.
        """
        if step % self.evaluate_every or step >= self.steps:
            return None  # the last weights are measured by everybody
        return view.servers[(step // self.evaluate_every) % len(view.servers)]
