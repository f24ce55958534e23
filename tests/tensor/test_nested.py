"""What asarray takes: numbers, nested lists, arrays in them, other libraries' objects; what it refuses, and
where it says the fault lies."""

import array

import numpy
import pytest

import tensor
from tensor.errors import DTypeError, ExchangeError, ShapeError


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        (1, "int64", ()),
        (2.5, "float32", ()),
        (1j, "complex64", ()),
        (True, "bool", ()),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        ([[1, 2], (3, 4)], "int64", (2, 2)),
        ([True, 1], "int64", (2,)),
        ([1, 2.5], "float32", (2,)),
        ([[1], [2j]], "complex64", (2, 1)),
        ([2**63], "uint64", (1,)),
        ([1, 2**64 - 1], "uint64", (2,)),
        ([numpy.float64(1), 2.0], "float64", (2,)),
        ([numpy.int8(3), 4], "int8", (2,)),
        ([numpy.arange(3), numpy.arange(3)], "int64", (2, 3)),
        (range(4), "int64", (4,)),
        (b"abc", "uint8", (3,)),
        (bytearray(b"ab"), "uint8", (2,)),
        (array.array("h", [1, 2, 3]), "int16", (3,)),
        (numpy.arange(6, dtype=">i2").reshape(2, 3).T, "int16", (3, 2)),
        (numpy.float32(3), "float32", ()),
    ],
)
def test_values_and_their_dtypes(device, values, dtype, shape):
    x = tensor.asarray(values)
    assert x.device is device
    assert x.dtype == dtype
    assert x.shape == shape
    truth = (
        numpy.frombuffer(values, numpy.uint8) if isinstance(values, bytes) else numpy.asarray(values, dtype)
    )
    assert (x.numpy() == truth).all()
    assert x.tolist() == truth.tolist()


def test_lists_with_arrays_in_them_stay_on_the_device(device):
    x, y = tensor.asarray([1.5, 2, 3]), tensor.asarray([4, 5, 6], tensor.int32)
    both = tensor.asarray([[x, y], [y, x]])
    assert both.shape == (2, 2, 3)
    assert both.dtype == tensor.float32
    assert both.tolist() == [[[1.5, 2, 3], [4, 5, 6]], [[4, 5, 6], [1.5, 2, 3]]]
    numbers = tensor.asarray([tensor.sum(y), 2, numpy.int64(3)], tensor.float32)
    assert numbers.tolist() == [15, 2, 3]
    recording = tensor.record(lambda: tensor.asarray([x[0], x[1]]))
    x[0] = 9
    assert recording.replay().tolist() == [9, 2]
    with pytest.raises(ShapeError, match=r"x\[1\] has shape \(2,\), but x\[0\] has \(3,\)"):
        tensor.asarray([x, x[:2]])


def test_arrays_of_two_devices_are_no_list(opencl):
    with pytest.raises(tensor.errors.DeviceError, match="to_device"):
        tensor.asarray([tensor.ones(2), tensor.ones(2, device="numpy")])


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        ([[1, 2], [3]], {}, ShapeError, r"x\[1\] has shape \(1,\), but x\[0\] has \(2,\)"),
        ([[[1], [2]], [[3], 4]], {}, ShapeError, r"x\[1\]\[1\] has shape \(\), but x\[1\]\[0\] has \(1,\)"),
        ([[1, None]], {}, DTypeError, r"x\[0\]\[1\] is None \(NoneType\)"),
        ([1, "a"], {}, DTypeError, r"x\[1\] is a \(str\)"),
        ([2**70], {}, DTypeError, r"x\[0\] is 1180591620717411303424 \(int\)"),
        ([1, -1, 2**63], {}, DTypeError, r"x\[1\] is -1"),
        (
            [1, 300],
            {"dtype": tensor.uint8},
            DTypeError,
            r"x\[1\] is 300 \(int\), which does not fit into uint8",
        ),
        ([[float("nan")]], {"dtype": int}, DTypeError, r"x\[0\]\[0\] is nan"),
        (300, {"dtype": tensor.int8}, DTypeError, "x is 300"),
        ("abc", {}, DTypeError, "got str"),
        (None, {}, DTypeError, "got NoneType"),
        ({1, 2}, {}, DTypeError, "got set"),
        (numpy.array(["a"]), {}, DTypeError, "cannot have dtype"),
    ],
)
def test_what_is_no_array_is_refused(values, options, error, message):
    with pytest.raises(error, match=message):
        tensor.asarray(values, device="numpy", **options)


def test_a_list_that_contains_itself_is_refused():
    endless = [1]
    endless.append(endless)
    with pytest.raises(ShapeError, match="contains itself"):
        tensor.asarray(endless)
    both = []
    both += [both, both]
    with pytest.raises(ShapeError, match="contains itself"):
        tensor.asarray(both)


def test_copies_are_made_as_asked(device):
    values = numpy.arange(5, dtype=numpy.float32)
    x = tensor.asarray(values)
    values[0] = 50
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert tensor.asarray(x) is x
    assert tensor.asarray(x, copy=False) is x
    copied = tensor.asarray(x, copy=True)
    x[1] = 7
    assert copied.tolist() == [0, 1, 2, 3, 4]
    if device.kind in ("cpu", "host"):
        shared = tensor.asarray(values, copy=False)
        values[2] = -3
        assert (shared + 0).tolist() == [50, 1, -3, 3, 4]
    for refused in ([1, 2], 3.0):
        with pytest.raises(ExchangeError, match="have to be copied"):
            tensor.asarray(refused, copy=False)
    with pytest.raises(ValueError, match="to become int64"):
        tensor.asarray(values, tensor.int64, copy=False)
    with pytest.raises(ValueError, match="has to be copied to become"):
        tensor.asarray(x, tensor.int64, copy=False)


def test_objects_of_others(device):
    class WithArray:
        def __array__(self, dtype=None, copy=None):
            return numpy.arange(3, dtype=dtype)

    class WithDLPack:
        def __init__(self, values):
            self.values = values
            self.__dlpack__, self.__dlpack_device__ = values.__dlpack__, values.__dlpack_device__

    class WithInterface:
        def __init__(self, values):
            self.kept, self.__array_interface__ = values, values.__array_interface__

    for theirs in (
        WithArray(),
        WithDLPack(numpy.arange(3)),
        WithInterface(numpy.arange(3)),
        memoryview(numpy.arange(3)),
    ):
        x = tensor.asarray(theirs)
        assert x.dtype == tensor.int64
        assert x.tolist() == [0, 1, 2]


def test_torch_tensors_become_arrays(device):
    torch = pytest.importorskip("torch")
    t = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    x = tensor.asarray(t.T)
    t.zero_()
    assert x.tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(ExchangeError, match="asarray: Tensor does not hand its values over"):
        tensor.asarray(torch.ones(2, requires_grad=True))
