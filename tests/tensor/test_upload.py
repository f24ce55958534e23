"""Uploads beside what a device computes: the values arrive, and nobody's memory is written to too early."""

import threading

import numpy
import pytest

import tensor
from tensor import Device
from tensor.upload import Uploader


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "complex64"])
def test_values_arrive_and_may_be_changed_afterwards(device: Device, dtype: str) -> None:
    uploader = Uploader(device)
    for shape in ((3, 5), (), (0, 4), (40, 50, 3), (2,)):  # the staging memory grows, and is used again
        values = numpy.arange(numpy.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        array = uploader.upload(values)
        wanted = values.copy()
        values[...] = 0
        assert (array.shape, array.dtype, array.device) == (shape, dtype, device)
        assert numpy.array_equal(numpy.asarray(array), wanted)
    turned = numpy.arange(12, dtype=dtype).reshape(3, 4).T[::2]
    assert numpy.array_equal(numpy.asarray(uploader.upload(turned)), turned)


def test_memory_that_is_still_computed_with_is_not_written_to(device: Device) -> None:
    """The pool hands out what was just freed, while the work that uses it is still in the queue."""
    uploader = Uploader(device)
    values = numpy.ones((200, 1000), numpy.float32)
    weights = tensor.asarray(numpy.eye(1000, dtype=numpy.float32) * 2, device=device)
    results = []
    for number in range(12):
        x = uploader.upload(values * number)
        results.append(x @ weights @ weights @ weights)
        del x
    for number, result in enumerate(results):
        assert numpy.array_equal(numpy.asarray(result), values * (8 * number))


def test_uploads_of_another_thread_are_in_no_recording_and_no_scope(device: Device) -> None:
    uploader, arrays = Uploader(device), []

    def upload() -> None:
        thread = threading.Thread(target=lambda: arrays.append(uploader.upload(numpy.arange(6))))
        thread.start()
        thread.join(60)

    x = tensor.ones((3,), device=device)
    with tensor.scope():
        recording = tensor.record(lambda: (upload(), x + 1)[1], device=device)
    assert len(recording) == 1
    assert numpy.asarray(arrays[0]).tolist() == [0, 1, 2, 3, 4, 5]
