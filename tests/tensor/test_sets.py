"""The distinct elements of arrays, on every device, against NumPy."""

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tensor

GPU_KERNELS_TOO = True


def check(x):
    y = tensor.asarray(x)
    right = numpy.unique_all(x)
    every = tensor.unique_all(y)
    assert every._fields == ("values", "indices", "inverse_indices", "counts")
    for ours, theirs in zip(every, right, strict=True):
        assert ours.dtype == theirs.dtype
        numpy.testing.assert_array_equal(numpy.asarray(ours), theirs, strict=True)
    results = {
        (tensor.unique_values(y),): (right.values,),
        tensor.unique_counts(y): (right.values, right.counts),
        tensor.unique_inverse(y): (right.values, right.inverse_indices),
    }
    for ours, theirs in results.items():
        for one, other in zip(ours, theirs, strict=True):
            numpy.testing.assert_array_equal(numpy.asarray(one), other, strict=True)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (7, 11), (70000,)], ids=str)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float32", "complex64"])
def test_unique(device, generator, shape, dtype):
    check(generator.integers(0, 50, shape).astype(dtype))


@given(
    arrays(
        numpy.float32,
        array_shapes(max_dims=2, max_side=6, min_side=0),
        elements=st.sampled_from([0.0, -0.0, 1.5, numpy.nan, numpy.inf, -numpy.inf]),
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_nan_is_distinct_and_zeros_are_equal(device, x):
    check(x)


def test_views(device, generator):
    x = generator.integers(0, 9, (6, 8))
    ours = tensor.unique_inverse(tensor.asarray(x).T[::2, ::-1])
    theirs = numpy.unique_inverse(x.T[::2, ::-1])
    numpy.testing.assert_array_equal(numpy.asarray(ours.inverse_indices), theirs.inverse_indices)


def test_distinct_elements_cannot_be_recorded(device):
    x = tensor.ones((3,))
    for function in (tensor.unique_values, tensor.unique_all):
        with pytest.raises(tensor.errors.RecordError, match="the size of its result depends on the values"):
            tensor.record(lambda function=function: function(x))
