"""Who computes and who serves, against counting by hand."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import schedule
from mesh.plan import Plan
from mesh.view import Member, View


def member(name: str, speed: float, full: bool = True) -> Member:
    return Member(name, "127.0.0.1", 1, 2, "device", speed, full, False)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 50), count=st.integers(1, 120))
def test_each_epoch_holds_every_sample_once(seed, batch, count):
    steps = -(-2 * count // batch)
    drawn = np.concatenate([schedule.sample_ids(seed, step, batch, count) for step in range(1, steps + 1)])
    for epoch in range(2):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_and_seeds_differ():
    first, second = (schedule.sample_ids(0, step, 500, 500) for step in (1, 2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, schedule.sample_ids(1, 1, 500, 500))


@given(
    speeds=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=9),
    spare=st.integers(0, 2000),
)
def test_shares_cover_the_batch_in_proportion(speeds, spare):
    batch = len(speeds) + spare
    slices = schedule.shares(speeds, batch)
    edges = [0, *(stop for _, stop in slices)]
    assert [start for start, _ in slices] == edges[:-1]
    assert edges[-1] == batch
    for (start, stop), speed in zip(slices, speeds, strict=True):
        exact = 1 + spare * speed / sum(speeds)
        assert stop - start >= 1
        assert abs(stop - start - exact) <= 1


def test_shares_refuse_more_peers_than_samples():
    with pytest.raises(ValueError, match="2 samples cannot be shared by 3 peers"):
        schedule.shares([1.0, 1.0, 1.0], 2)


@given(peers=st.integers(1, 9), bucket_count=st.integers(1, 20))
def test_every_peer_serves_equally_often(peers, bucket_count):
    names = tuple(f"peer{number}" for number in range(peers))
    served = Counter(
        schedule.server(names, step, bucket) for step in range(peers) for bucket in range(bucket_count)
    )
    assert set(served.values()) == {bucket_count}


@given(bucket=st.integers(0, 20), step=st.integers(1, 1000))
def test_the_role_moves_at_every_step(bucket, step):
    names = ("a", "b", "c")
    assert len({schedule.server(names, step + ahead, bucket) for ahead in range(3)}) == 3


@given(st.integers(0, 200_000_000))
def test_buckets_cover_the_vector(parameters):
    buckets = schedule.buckets(parameters)
    assert buckets[0].start == 0
    assert buckets[-1].stop == parameters
    for bucket, following in itertools.pairwise(buckets):
        assert bucket.stop == following.start
        assert bucket.stop % 2048 == 0  # whole blocks of every codec
    assert max(bucket.size for bucket in buckets) <= 1 << 20


def test_a_plan_deals_every_sample_of_a_step_to_one_member():
    view = View(1, 1, (member("a", 100.0), member("b", 33.0, full=False), member("c", 7.0)))
    plan = Plan(steps=10, batch=120, samples=1500, seed=3, parameters=100_000, evaluate_every=5)
    for step in (1, 2, 13):
        dealt = np.concatenate([plan.samples_of(step, view, peer) for peer in view.ids])
        assert sorted(dealt) == sorted(schedule.sample_ids(3, step, 120, 1500))
    assert sum(plan.shares(view)) == 120
    assert {plan.server(view, step, 0) for step in range(1, 5)} == {"a", "c"}  # thin members serve nothing


def test_a_plan_closes_with_one_empty_bucket():
    plan = Plan(steps=10, batch=1, samples=1, seed=0, parameters=100_000, evaluate_every=5)
    assert plan.bucket_count(10) == len(plan.buckets) > 1
    assert plan.bucket_count(11) == 1
    assert plan.is_closing(11)
    assert not plan.is_closing(10)
    view = View(1, 1, (member("a", 1.0),))
    assert [step for step in range(1, 12) if plan.evaluator(view, step)] == [5]  # the last one is everybody's
