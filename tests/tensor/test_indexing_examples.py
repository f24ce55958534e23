"""Indexing by example: what each kind of key does, what is refused, and what happens inside record()."""

import numpy
import pytest

import tensor
from tensor.errors import BadIndexError, BadIndexTypeError, RecordError
from tensor.host_memory import is_reachable

GPU_KERNELS_TOO = True


@pytest.fixture
def table(device: tensor.Device) -> tensor.Array:
    """0 … 11 in three rows of four."""
    return tensor.asarray(numpy.arange(12, dtype=numpy.float32).reshape(3, 4))


def values(x: tensor.Array) -> list:
    return numpy.asarray(x).tolist()


def test_reading(table):
    assert values(table[1]) == [4, 5, 6, 7]
    assert values(table[-1, ::2]) == [8, 10]
    assert values(table[[2, 0], 1]) == [9, 1]
    assert values(table[[2, 0]][:, :1]) == [[8], [0]]
    assert values(table[:, [3, -4]]) == [[3, 0], [7, 4], [11, 8]]
    assert values(table[[[0], [2]], [[1, 3]]]) == [[1, 3], [9, 11]]
    assert values(table[table > 8]) == [9, 10, 11]
    assert values(table[[True, False, True], 0]) == [0, 8]
    assert table[None, [0], ..., [0]].shape == (1, 1)
    assert table[True].shape == (1, 3, 4)
    assert table[False].shape == (0, 3, 4)


def test_an_array_without_axes_is_an_integer(table):
    last = tensor.argmax(table[1])
    assert values(table[0, last]) == 3
    assert table[0, last].storage is table.storage


def test_views_share_memory_and_picked_elements_are_copies(table):
    view, picked = table[1:, ::2], table[[1, 2]]
    table[...] = 0
    assert values(view) == [[0, 0], [0, 0]]
    assert values(picked) == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_writing(table):
    table[1] = 0
    table[:, [0, 2]] = [[50], [60], [70]]
    table[table == 0] = -1
    assert values(table) == [[50, 1, 50, 3], [60, -1, 60, -1], [70, 9, 70, 11]]
    table[table > 9] = tensor.asarray([1, 2, 3, 4, 5, 6, 7])
    assert values(table) == [[1, 1, 2, 3], [3, -1, 4, -1], [5, 9, 6, 7]]


def test_of_several_values_for_one_place_the_last_one_stays(device, generator):
    places = generator.integers(0, 50, 20_000)
    ours, theirs = tensor.zeros((50, 3)), numpy.zeros((50, 3), numpy.float32)
    numbers = generator.normal(size=(20_000, 3)).astype(numpy.float32)
    ours[tensor.asarray(places)] = tensor.asarray(numbers)
    theirs[places] = numbers
    numpy.testing.assert_array_equal(numpy.asarray(ours), theirs)
    ours[:, 0][tensor.asarray(places)] = tensor.asarray(numbers[:, 2])
    theirs[:, 0][places] = numbers[:, 2]
    numpy.testing.assert_array_equal(numpy.asarray(ours), theirs)


def test_in_place_operators_count_a_repeated_index_once_as_in_numpy(table):
    theirs = numpy.asarray(table)
    for key in (1, (slice(None), [0, 0, 3]), [2, 2], theirs > 4):
        table[key] += 10
        theirs[key] += 10
    assert values(table) == theirs.tolist()


def test_index_add_counts_a_repeated_index_each_time_in_the_same_order_everywhere(device, generator):
    places = generator.integers(-50, 50, 5000)
    numbers = generator.normal(size=(5000, 130)).astype(numpy.float32)
    for width, key in [(130, places), (1, places), (3, (slice(None), places))]:
        theirs = numpy.ones((50, width) if not isinstance(key, tuple) else (width, 50), numpy.float32)
        values = numbers[:, :width] if not isinstance(key, tuple) else numbers[:, :width].T
        ours = tensor.asarray(theirs)
        tensor.index_add(ours, tensor.asarray(key) if not isinstance(key, tuple) else key, values)
        numpy.add.at(theirs, key, values)
        numpy.testing.assert_array_equal(numpy.asarray(ours), theirs)
    with pytest.raises(BadIndexError):
        tensor.index_add(ours, tensor.asarray([50]), 1.0)
    with pytest.raises(tensor.errors.DTypeError):
        tensor.index_add(tensor.asarray([True]), [0], True)


def test_writing_an_array_to_a_part_of_itself(table):
    theirs = numpy.asarray(table)
    table[[0, 1, 2]] = table[::-1]
    theirs[[0, 1, 2]] = theirs[::-1].copy()
    table[:, theirs[0] > 9] = table[:, :1]
    theirs[:, theirs[0] > 9] = theirs[:, :1].copy()
    assert values(table) == theirs.tolist()


@pytest.mark.parametrize("through_numpy", [False, True])
def test_a_mask_that_is_a_part_of_what_is_written(device, generator, through_numpy):
    theirs = generator.random((300, 200)) < 0.5
    ours = tensor.asarray(theirs)
    same = tensor.from_dlpack(numpy.from_dlpack(ours)) if through_numpy and is_reachable(ours) else ours
    ours[:, same[7]] = False
    theirs[:, theirs[7]] = False
    assert numpy.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("dtype", ["float16", "float64", "complex64", "uint16"])
def test_every_dtype(device, dtype):
    x = numpy.arange(12).reshape(3, 4).astype(dtype)
    ours = tensor.asarray(x)
    for key in ([2, -1], (slice(None), [1, 1]), x.real > 3):
        on_device = tensor.asarray(key) if not isinstance(key, tuple) else key
        numpy.testing.assert_array_equal(numpy.asarray(ours[on_device]), x[key], strict=True)
        ours[on_device] = x[key] + x.dtype.type(1)
        x[key] += x.dtype.type(1)
        numpy.testing.assert_array_equal(numpy.asarray(ours), x, strict=True)


def test_many_axes(device, generator):
    x = generator.integers(0, 9, (2,) * 9).astype(numpy.int32)
    ours = tensor.asarray(x)
    key = (1, slice(None), [1, 0], slice(None), [0, 1])
    numpy.testing.assert_array_equal(numpy.asarray(ours[key]), x[key])
    if device.backend == "opencl":
        with pytest.raises(tensor.errors.ShapeError, match="9 axes that cannot be joined"):
            tensor.permute_dims(ours, range(8, -1, -1))[[0]]


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "Index 3 is out of range for axis 0 of shape"),
        ([0, -4], "Index -4 is out of range for axis 0 of shape"),
        ((slice(None), numpy.array([4])), "Index 4 is out of range for axis 1"),
        ((0, 0, 0), "takes 3 axes"),
        ((..., ...), "more than one"),
        (([0, 1], [0, 1, 2]), "cannot be broadcast together"),
        ([True, False], r"A mask of shape \(2,\) does not fit"),
        (slice(None, None, 0), "must not be 0"),
        ([[0, 1], [2]], "not rectangular"),
    ],
)
def test_bad_keys(table, key, message):
    for act in (lambda: table[key], lambda: table.__setitem__(key, 0)):
        with pytest.raises(BadIndexError, match=message) as caught:
            act()
        assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("key", [1.0, "a", [0.5], numpy.array([1.0]), {1}])
def test_keys_of_other_types(table, key):
    with pytest.raises(BadIndexTypeError) as caught:
        table[key]
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("bad", [3, -4, 2**40])
def test_a_bad_index_on_the_device_changes_nothing(table, bad):
    indices = tensor.asarray([0, bad, 1])
    with pytest.raises(BadIndexError, match=f"Index {bad} is out of range for axis 0"):
        table[indices]
    with pytest.raises(BadIndexError, match=f"Index {bad} is out of range for axis 0"):
        table[indices] = 7
    assert values(table) == numpy.arange(12).reshape(3, 4).tolist()
    assert values(table[tensor.asarray([2])]) == [[8, 9, 10, 11]]  # the error does not stay


def test_values_that_do_not_fit(table):
    for key in ([0, 1], table > 3):
        with pytest.raises(tensor.errors.ShapeError, match="cannot be broadcast"):
            table[key] = tensor.zeros(3)


# --- inside record() ----------------------------------------------------------------------------------------


def test_a_replay_follows_the_indices_and_never_leaves_the_array(table):
    indices = tensor.asarray([2, 0])
    scalar = tensor.asarray(1)

    def step():
        picked, one = table[indices], table[scalar, :2]
        written = tensor.zeros_like(table)
        written[indices] = picked
        return picked, one, written

    recorded = tensor.record(step)
    indices[...] = [1, 100]
    scalar[...] = 2
    picked, one, written = recorded.replay()
    assert values(picked)[0] == [4, 5, 6, 7]
    assert numpy.isnan(values(picked)[1]).all()
    assert values(one) == [8, 9]
    assert values(written) == [[0] * 4, [4, 5, 6, 7], [0] * 4]


def test_adding_inside_record_skips_what_is_out_of_range(device):
    indices = tensor.asarray([1, 0, 1])
    x = tensor.zeros((2, 2))
    recorded = tensor.record(lambda: tensor.index_add(x, indices, tensor.asarray([[1.0], [2.0], [4.0]])))
    assert values(x) == [[2, 2], [5, 5]]
    indices[...] = [-3, 1, 1]
    recorded.replay()
    assert values(x) == [[2, 2], [11, 11]]


def test_index_arrays_of_the_host_are_kept_by_a_recording(table):
    def step():
        with tensor.scope():
            table[[2, 0], 1:] = table[[0, 1], :-1] + 1

    recorded = tensor.record(step)
    pressure = [tensor.zeros(2, dtype=tensor.int64) for _ in range(50)]
    table[...] = 0
    recorded.replay()
    assert values(table) == [[0, 1, 1, 1], [0] * 4, [0, 1, 1, 1]]
    assert len(pressure) == 50


def test_masks_inside_record(table):
    def step():
        table[table > 5] = 0.0
        with pytest.raises(RecordError, match="depends on"):
            table[table > 5]

    recorded = tensor.record(step)
    table[...] = 6
    table[0] = 1
    recorded.replay()
    assert values(table) == [[1] * 4, [0] * 4, [0] * 4]


# --- along one axis -----------------------------------------------------------------------------------------


def test_take(device, generator):
    x = generator.normal(size=(10, 4, 3)).astype(numpy.float32)
    ours = tensor.asarray(x)
    for axis, places in [(0, [3, 0, 9, -3]), (1, [2]), (-1, [[2, 0]]), (0, []), (None, [100, 3])]:
        wanted = numpy.take(x, numpy.array(places, int), axis)
        numpy.testing.assert_array_equal(numpy.asarray(tensor.take(ours, places, axis=axis)), wanted)
        on_device = tensor.asarray(numpy.array(places, numpy.int16))
        numpy.testing.assert_array_equal(numpy.asarray(tensor.take(ours, on_device, axis=axis)), wanted)
    with pytest.raises(BadIndexError):
        tensor.take(ours, tensor.asarray([10]), axis=0)


def test_take_along_axis(device, generator):
    x = generator.normal(size=(4, 5, 3)).astype(numpy.float32)
    for axis in (0, 1, -1):
        places = numpy.argsort(x, axis=axis)
        found = tensor.take_along_axis(tensor.asarray(x), tensor.asarray(places), axis=axis)
        numpy.testing.assert_array_equal(numpy.asarray(found), numpy.sort(x, axis=axis))
    few = numpy.array([[[-1], [0]]])
    found = tensor.take_along_axis(tensor.asarray(x), tensor.asarray(few), axis=1)
    numpy.testing.assert_array_equal(numpy.asarray(found), numpy.take_along_axis(x, few, axis=1))
