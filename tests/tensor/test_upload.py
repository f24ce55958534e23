"""Uploads beside what a device computes: the values arrive, nobody's memory is written to too early, and work
that is enqueued is not waited for."""

import threading

import numpy
import pytest

import tensor
from tensor import Device
from tensor.device import OpenCLDevice
from tensor.upload import Uploader


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "complex64"])
def test_values_arrive_and_may_be_changed_afterwards(device: Device, dtype: str) -> None:
    uploader = Uploader(device, places=2)
    for shape in ((3, 5), (), (0, 4), (40, 50, 3), (2,)):  # the memory grows, and is used again
        values = numpy.arange(numpy.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        upload = uploader.upload(values)
        wanted = values.copy()
        values[...] = 0
        assert (upload.array.shape, upload.array.dtype, upload.array.device) == (shape, dtype, device)
        assert numpy.array_equal(numpy.asarray(upload.array), wanted)
        upload.release()
    turned = numpy.arange(12, dtype=dtype).reshape(3, 4).T[::2]
    assert numpy.array_equal(numpy.asarray(uploader.upload(turned).array), turned)


def work(x: tensor.Array, weights: tensor.Array, times: int) -> tensor.Array:
    for _ in range(times):
        x = x @ weights
    return x


def test_a_place_is_not_filled_before_what_reads_it_is_done(device: Device) -> None:
    uploader = Uploader(device, places=2)
    values = numpy.ones((200, 1000), numpy.float32)
    weights = tensor.asarray(numpy.eye(1000, dtype=numpy.float32) * 2, device=device)
    results = []
    for number in range(12):
        busy = work(tensor.ones((400, 1000), device=device), weights, 2)
        upload = uploader.upload(values * number)
        results.append(upload.array + busy[:200] * 0)
        upload.release()
    for number, result in enumerate(results):
        assert numpy.array_equal(numpy.asarray(result), values * number)


def test_what_the_pool_gives_may_still_be_in_use(device: Device) -> None:
    """It hands out what was just freed, while the work that reads it is still in the queue."""
    weights = tensor.asarray(numpy.eye(1000, dtype=numpy.float32) * 2, device=device)
    results = []
    for _ in range(6):
        x = tensor.ones((200, 1000), device=device)
        busy = work(x, weights, 2)
        results.append(x * 3 + busy * 0)
        del x, busy
        Uploader(device, places=1).upload(numpy.full((200, 1000), 9, numpy.float32))
    assert all(numpy.array_equal(numpy.asarray(each), numpy.full((200, 1000), 3)) for each in results)


def test_work_that_is_enqueued_is_not_waited_for(device: Device) -> None:
    if not isinstance(device, OpenCLDevice):
        pytest.skip("NumPy computes at once")
    import pyopencl

    uploader, uploads = Uploader(device, places=1), []
    uploader.upload(numpy.zeros(1000, numpy.float32)).release()
    x = tensor.ones((3,), device=device)
    device.synchronize()
    gate = pyopencl.UserEvent(device.context)
    pyopencl.enqueue_barrier(device.queue.raw, wait_for=[gate])
    held_up = x + x  # no new number, whose upload would wait here
    thread = threading.Thread(target=lambda: uploads.append(uploader.upload(numpy.ones(1000, numpy.float32))))
    thread.start()
    thread.join(60)
    arrived = len(uploads)
    gate.set_status(pyopencl.command_execution_status.COMPLETE)
    assert arrived == 1
    assert numpy.asarray(uploads[0].array).sum() == 1000
    assert numpy.asarray(held_up).tolist() == [2, 2, 2]


def test_places_are_not_filled_before_they_are_released(device: Device) -> None:
    if not isinstance(device, OpenCLDevice):
        pytest.skip("every upload has memory of its own")
    uploader = Uploader(device, places=2)
    first, _ = (uploader.upload(numpy.arange(3)) for _ in range(2))
    with pytest.raises(tensor.errors.DeviceError, match="all 2 places are in use"):
        uploader.upload(numpy.arange(3))
    first.release()
    assert numpy.asarray(uploader.upload(numpy.arange(3)).array).tolist() == [0, 1, 2]


def test_uploads_of_another_thread_are_in_no_recording_and_no_scope(device: Device) -> None:
    uploader, uploads = Uploader(device, places=1), []

    def upload() -> None:
        thread = threading.Thread(target=lambda: uploads.append(uploader.upload(numpy.arange(6))))
        thread.start()
        thread.join(60)

    x = tensor.ones((3,), device=device)
    with tensor.scope():
        recording = tensor.record(lambda: (upload(), x + 1)[1], device=device)
    assert len(recording) == 1
    assert numpy.asarray(uploads[0].array).tolist() == [0, 1, 2, 3, 4, 5]
