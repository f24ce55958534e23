"""The job as data."""

import contextlib
import dataclasses
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn
from mesh.errors import ProtocolError, UsageError
from mesh.job import Job
from tensor.errors import MeshError


def job(**changes) -> Job:
    return Job(**{"network": nn.models.lenet((8, 8, 1)), "data": "digits", **changes})


def test_a_job_is_plain_data_and_comes_back_equal():
    sent = job(uses=(("layers.py", "ab" * 32),), optimizer=nn.SGD(lr=0.1, momentum=0.5))
    text = json.dumps(sent.to_dict())
    got = Job.from_dict(json.loads(text))
    assert got == sent
    assert got.digest == sent.digest


def test_the_digest_is_the_hash_of_everything_in_it():
    base = job()
    text = json.dumps(base.to_dict(), sort_keys=True, separators=(",", ":"))
    assert base.digest == hashlib.sha256(text.encode()).hexdigest()
    changes = {
        "data": "mnist",
        "optimizer": nn.SGD(lr=0.051, momentum=0.9),
        "batch": 121,
        "steps": 1001,
        "seed": 1,
        "codec": "fp32",
        "block": 512,
        "evaluate_every": 1,
        "uses": (("a.py", "0"),),
        "length": 32,
        "precision": "bfloat16",
        "network": nn.models.lenet((28, 28, 1)),
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Job)}
    digests = {job(**{name: value}).digest for name, value in changes.items()}
    assert len(digests | {base.digest}) == len(changes) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch", 0), ("steps", 0), ("steps", 1 << 41), ("seed", -1), ("seed", 1 << 32), ("evaluate_every", -1)],
)
def test_values_that_make_no_sense(name, value):
    with pytest.raises(UsageError, match=str(value)):
        job(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("codec", "zip"), ("block", 0), ("optimizer", {"type": "magic"}), ("precision", "half")],
)
def test_what_does_not_exist(name, value):
    with pytest.raises(MeshError):
        job(**{name: value})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_fields_are_refused_or_make_a_job(data):
    facts = job().to_dict()
    name = data.draw(st.sampled_from(sorted(facts)))
    facts[name] = data.draw(
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    )  # fmt: skip
    with contextlib.suppress(MeshError):
        Job.from_dict(facts)


@pytest.mark.parametrize(
    "facts", [{}, {"network": [], "data": "x", "more": 1}, {"uses": 3}, {"uses": [["a"]]}]
)
def test_garbage_is_refused(facts):
    with pytest.raises(ProtocolError):
        Job.from_dict(facts)
