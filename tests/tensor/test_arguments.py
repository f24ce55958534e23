"""What is no Array, where one belongs, is an error that says so, in every function."""

import copy
import pickle

import numpy
import pytest

import tensor
from tensor import numpy_names


@pytest.mark.parametrize("wrong", [[1.0, 2.0], None, "x"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((tensor, name) for name in ("exp", "sum", "argmax", "sort", "copy", "nonzero", "cumulative_sum")),
        *((tensor, name) for name in ("matrix_transpose", "unique_all", "zeros_like", "tril", "flip", "var")),
        *((tensor.linalg, name) for name in ("inv", "det", "svd", "vector_norm")),
        *((tensor.fft, name) for name in ("fft", "irfft", "fftshift")),
    ],
)
def test_what_is_no_array_is_named(device, module, name, wrong):
    message = rf"{name}: expected an Array, got {type(wrong).__name__}; use tensor\.asarray"
    with pytest.raises(tensor.errors.DTypeError, match=message):
        getattr(module, name)(wrong)


@pytest.mark.parametrize("name", ["exp", "sum", "argmax", "sort", "copy", "nonzero", "tril", "reshape"])
def test_numpys_arrays_are_not_ours(device, name):
    shape = [(4,)] if name == "reshape" else []
    with pytest.raises(tensor.errors.DTypeError, match=f"{name}: expected an Array, got ndarray"):
        getattr(tensor, name)(numpy.ones((2, 2), numpy.float32), *shape)


def test_lists_of_what_is_no_array_too(device):
    with pytest.raises(tensor.errors.DTypeError, match="concat: expected an Array, got int"):
        tensor.concat([1, 2])
    with pytest.raises(tensor.errors.DTypeError, match="stack: expected an Array, got list"):
        tensor.stack(([1], [2]))
    with pytest.raises(tensor.errors.DTypeError, match="take_along_axis: expected an Array, got list"):
        tensor.take_along_axis(tensor.ones(3), [0])


def test_mistakes_elsewhere_stay_what_they_are(device):
    with pytest.raises(AttributeError, match="foo"):
        tensor.record(lambda x: x.foo, 3, device=device)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tensor.zeros(2.5), r"A new array: expected a shape, an integer or several, got 2\.5"),
        (lambda x: tensor.ones((2, "a")), r"A new array: expected a shape, .* got \(2, 'a'\)"),
        (lambda x: x.reshape(2.5), r"reshape: expected a shape, an integer or several, got 2\.5"),
        (lambda x: tensor.tile(x, None), "tile: expected a shape, .* got None"),
        (lambda x: tensor.sum(x, axis="x"), "sum: an axis is an integer, got .*'x'"),
        (lambda x: tensor.sort(x, axis=1.5), r"sort: an axis is an integer, got 1\.5"),
    ],
)
def test_shapes_and_axes_are_integers(device, call, message):
    with pytest.raises(tensor.errors.MeshError, match=message):
        call(tensor.ones((2, 3)))


def test_numpys_names_are_answered_with_the_standards(device):
    x = tensor.ones((2, 3))
    with pytest.raises(AttributeError, match=r"no attribute 'sum'\. Use tensor\.sum\(x\)\."):
        x.sum()
    with pytest.raises(AttributeError, match=r"no attribute 'flatten'\. Use tensor\.reshape\(x, -1\)\."):
        x.flatten()
    with pytest.raises(AttributeError, match=r"tensor has no 'concatenate'\. Use tensor\.concat\("):
        tensor.concatenate((x, x))
    with pytest.raises(AttributeError, match=r"tensor has no 'einsums'\.$"):
        tensor.einsums  # noqa: B018
    with pytest.raises(tensor.errors.DTypeError, match=r"no dtype 4; .* one tuple: \(3, 4\)"):
        tensor.zeros(3, 4)
    for name, instead in numpy_names._NAMES.items():
        assert not hasattr(tensor, name)
        assert hasattr(x, name) == hasattr(tensor.Array, name)
        function = instead.partition("(")[0]
        module = getattr(tensor, function.partition(".")[0]) if "." in function else tensor
        assert callable(getattr(module, function.rpartition(".")[2]))


def test_arrays_are_copied_by_copy_and_not_pickled(device):
    x = tensor.ones(3)
    for each in (copy.copy(x), copy.deepcopy({"x": x})["x"]):
        each[0] = 5
    assert x.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match=r"not pickled; use x\.numpy\(\)"):
        pickle.dumps(x)


def test_a_shape_may_be_one_integer(device):
    assert tensor.zeros(numpy.int64(3)).shape == (3,)
    assert tensor.tile(tensor.ones(3), 2).shape == (6,)
    assert tensor.ones(6).reshape(numpy.int32(-1)).shape == (6,)
