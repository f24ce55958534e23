"""More than 2³¹ elements: every index, count and offset has to have 64 bits."""

import gc

import numpy
import pytest

import tensor
from tensor import machine_memory

pytestmark = [pytest.mark.slow, pytest.mark.one_device, pytest.mark.timeout(900)]

ROW = 715_827_885
SIZE = 3 * ROW  # 2**31 + 7
LAST = [5, 6, 7]


@pytest.fixture
def x(device):
    """SIZE ones of one byte, but for the last three; with room for two arrays more of that size."""
    memory = tensor.memory()
    if memory.largest_array_bytes < SIZE:
        pytest.skip(f"{device.spec} allows arrays of {memory.largest_array_bytes:,} bytes only")
    needed = int(3.2 * SIZE)
    free = machine_memory.available_bytes() if device.uses_host_memory else memory.limit_bytes
    if free is not None and free < needed:
        pytest.skip(f"{needed:,} bytes are needed, {free:,} are free")
    gc.collect()
    x = tensor.full(SIZE, 1, dtype=tensor.int8)
    x[-3:] = tensor.asarray(LAST, dtype=tensor.int8)
    yield x
    del x
    gc.collect()
    tensor.release_memory()


def ends(x):
    """The first and the last three elements, read through slices."""
    return numpy.asarray(x[:3]).tolist(), numpy.asarray(x[-3:]).tolist()


def test_filling_indexing_and_views(x):
    assert x.size == SIZE
    assert ends(x) == ([1, 1, 1], LAST)
    assert [int(x[i]) for i in (-1, SIZE - 1, 2**31 - 1, 2**31, 2**31 + 5)] == [7, 7, 1, 1, 6]
    x[2**31 - 2 : 2**31 + 2] = tensor.asarray([21, 22, 23, 24], dtype=tensor.int8)
    assert numpy.asarray(x[2**31 - 3 : 2**31 + 3]).tolist() == [1, 21, 22, 23, 24, 1]
    assert numpy.asarray(x[:: 2**30]).tolist() == [1, 1, 23]
    assert numpy.asarray(x[::-1][:4]).tolist() == [7, 6, 5, 1]
    matrix = x.reshape(3, ROW)
    assert numpy.asarray(matrix.T[-2:]).tolist() == [[1, 1, 6], [1, 1, 7]]
    places = tensor.asarray([SIZE - 1, 0, 2**31 + 1, 2**31 - 2])
    assert numpy.asarray(tensor.take(x, places)).tolist() == [7, 1, 24, 21]


def test_elementwise_and_copies(x):
    y = x + x
    assert ends(y) == ([2, 2, 2], [10, 12, 14])
    y[...] = x
    assert ends(y) == ([1, 1, 1], LAST)
    del y
    y = x.copy()
    assert ends(y) == ([1, 1, 1], LAST)
    del y
    y = x[::-1].copy()
    assert ends(y) == (LAST[::-1], [1, 1, 1])
    del y
    y = x.reshape(3, ROW).T + 1  # strided
    assert numpy.asarray(y[-2:]).tolist() == [[2, 2, 7], [2, 2, 8]]


def test_reductions(x):
    total = SIZE - 3 + sum(LAST)
    assert int(tensor.sum(x)) == total
    assert int(tensor.max(x)) == 7
    assert int(tensor.argmax(x)) == SIZE - 1
    rows = x.reshape(3, ROW)
    assert numpy.asarray(tensor.sum(rows, axis=1)).tolist() == [ROW, ROW, total - 2 * ROW]
    assert numpy.asarray(tensor.max(rows, axis=1)).tolist() == [1, 1, 7]
    assert numpy.asarray(tensor.sum(x.reshape(ROW, 3), axis=0)).tolist() == [ROW + 4, ROW + 5, ROW + 6]
    assert int(tensor.sum(tensor.broadcast_to(x[-1:], (SIZE + 10,)))) == 7 * (SIZE + 10)


def test_conditions_and_counts(x):
    large = x > 5
    assert ends(large) == ([False] * 3, [False, True, True])
    assert bool(tensor.any(large))
    assert not bool(tensor.all(large))
    assert int(tensor.count_nonzero(large)) == 2
    assert numpy.asarray(x[large]).tolist() == [6, 7]
    assert [numpy.asarray(each).tolist() for each in tensor.nonzero(large)] == [[SIZE - 2, SIZE - 1]]
    assert ends(tensor.where(large, x, tensor.asarray(0, dtype=tensor.int8))) == ([0, 0, 0], [0, 6, 7])


def test_index_arrays(x):
    places = [SIZE - 1, 2**31, -2]
    assert numpy.asarray(x[places]).tolist() == [7, 1, 6]
    x[places] = tensor.asarray([11, 12, 13], dtype=tensor.int8)
    assert numpy.asarray(x[[2**31 - 1, 2**31, SIZE - 2, SIZE - 1]]).tolist() == [1, 12, 13, 11]
    x[x > 10] = 0
    assert ends(x) == ([1, 1, 1], [5, 0, 0])
    assert ends(tensor.roll(x, 2)) == ([0, 0, 1], [1, 1, 5])


def test_sums_so_far(x):
    sums = tensor.cumulative_sum(x, dtype=tensor.uint8)
    assert ends(sums) == ([1, 2, 3], [(SIZE - 3 + each) % 256 for each in (5, 11, 18)])


def test_to_the_host_and_back(x):
    values = numpy.asarray(x)
    assert values[-3:].tolist() == LAST
    assert int(values.sum(dtype=numpy.int64)) == SIZE - 3 + sum(LAST)
    values[-1] = 9
    x.write(values)
    assert ends(x) == ([1, 1, 1], [5, 6, 9])
