"""What waits awake for PoCL, and that a wait ends with the work, however long that takes."""

import numpy
import pytest

import tensor
from tensor import waiting
from tensor.device import Device
from tensor.pocl import is_pocl
from tests.devices import opencl_cpus
from tests.tensor.test_memory import driver_error

pytestmark = pytest.mark.parametrize("device", opencl_cpus(), ids=lambda each: each.spec)


def test_only_a_launch_of_one_group_is_waited_for_awake(device: Device) -> None:
    few, many = tensor.ones(100, device=device), tensor.ones(4_000_000, device=device)
    _ = many + many
    assert not device.queue.ends_soon
    _ = few + few
    assert device.queue.ends_soon == is_pocl(device)
    device.synchronize()
    assert not device.queue.ends_soon
    recording = tensor.record(lambda: few + few, device=device)
    _ = few + few
    recording.replay()
    assert not device.queue.ends_soon


@pytest.mark.parametrize("awake_s", [0.0, 10.0])
def test_values_are_there_after_any_wait(
    device: Device, monkeypatch: pytest.MonkeyPatch, awake_s: float
) -> None:
    """Of the last of many operations, which a wait that ended too early would not have seen."""
    monkeypatch.setattr(waiting, "_AWAKE_S", awake_s)
    x = tensor.zeros(1000, device=device)
    live = x.__array__(copy=False)  # the memory itself
    for i in range(300):
        x += 1
        if i % 3 == 1:
            device.synchronize()
            assert numpy.all(live == i + 1)
        if i % 3 == 2:
            assert numpy.all(x.numpy() == i + 1)


def test_a_wait_that_the_device_refuses_is_our_error(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyopencl

    def refuse(*_: object, **__: object) -> None:
        raise driver_error("OUT_OF_HOST_MEMORY")

    if not is_pocl(device):
        pytest.skip("other drivers are not waited for awake")
    x = tensor.ones(10, device=device) + 1
    monkeypatch.setattr(pyopencl, "enqueue_marker", refuse)
    with pytest.raises(tensor.errors.OutOfMemoryError, match="waiting for its work"):
        device.synchronize()
    assert x.numpy().tolist() == [2.0] * 10
