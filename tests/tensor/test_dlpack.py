"""Exchange with NumPy and PyTorch: the same values, the same memory where that can be, in any order of
deletion."""

import gc

import numpy
import pytest

import tensor
from tensor.host_memory import array_over, host_view

GPU_KERNELS_TOO = True  # the pretended GPU stands for devices whose memory the host cannot reach

LAYOUTS = {
    "whole": lambda x: x,
    "part": lambda x: x[1:, 1:3],
    "transposed": lambda x: x.T,
    "steps": lambda x: x[::2, 1],
    "backwards": lambda x: x[::-1, ::-2],
    "repeated": lambda x: x[:1],
    "scalar": lambda x: x[2, 3],
    "empty": lambda x: x[:0],
}


def is_host(device):
    return tensor.empty(1).__dlpack_device__() == (1, 0)


def needs_host(device):
    if not is_host(device):
        pytest.skip("the memory of this device is not the host's")


def test_cpus_share_host_memory_and_others_do_not(device):
    assert is_host(device) == (device.kind in ("cpu", "host"))
    if device.kind == "gpu":
        assert tensor.empty(1).__dlpack_device__()[0] == 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy_takes_arrays_and_gives_them(device, layout):
    for dtype in set(tensor.dtypes.ALL) - {tensor.bfloat16}:  # NumPy has no DLPack form of it
        values = numpy.arange(20).reshape(4, 5).astype(dtype)
        ours = LAYOUTS[layout](tensor.asarray(values))
        truth = numpy.asarray(LAYOUTS[layout](values))
        theirs = numpy.from_dlpack(ours) if is_host(device) else numpy.from_dlpack(ours, device="cpu")
        assert theirs.dtype == dtype
        assert theirs.shape == truth.shape
        assert (theirs == truth).all()
        back = tensor.from_dlpack(truth)
        assert back.device is device
        assert back.dtype == dtype
        assert (back.numpy() == truth).all()
        assert (tensor.from_dlpack(truth, copy=True).numpy() == truth).all()


def test_a_view_is_the_very_memory_and_numpy_a_copy(device):
    needs_host(device)
    x = tensor.asarray(numpy.arange(12, dtype=numpy.float32).reshape(3, 4))
    views = [numpy.asarray(x, copy=False), numpy.from_dlpack(x), numpy.from_dlpack(x.T).T]
    copies = [x.numpy(), numpy.asarray(x), numpy.array(x), numpy.from_dlpack(x, copy=True)]
    x[1] = x[0] + 100
    x.device.synchronize()
    for each in views:
        assert each[1].tolist() == [100, 101, 102, 103]
    for each in copies:
        assert each[1].tolist() == [4, 5, 6, 7]
    views[0][2] = -1
    assert (x * 2).numpy()[2].tolist() == [-2] * 4


def test_arrays_over_numpys_memory_compute_there(device):
    needs_host(device)
    for shift in range(5):  # NumPy's memory begins anywhere
        memory = numpy.arange(4000 + shift, dtype=numpy.float32)[shift:]
        x = tensor.from_dlpack(memory, copy=False)
        memory[7] = 50
        assert (x + 1).numpy().tolist() == (memory + 1).tolist()
        x[::2] = x[1::2]
        x.device.synchronize()
        assert memory[:4].tolist() == [1 + shift, 1 + shift, 3 + shift, 3 + shift]
    rows = numpy.arange(30, dtype=numpy.int32).reshape(5, 6)
    view = tensor.from_dlpack(rows[::-1, 4:0:-2], copy=False)
    view += 0
    assert (tensor.sum(view, axis=1).numpy() == rows[::-1, 4:0:-2].sum(1)).all()


def test_memory_lives_while_either_side_uses_it(device):
    needs_host(device)
    memory = numpy.full(300_000, 3, numpy.float32)
    x = tensor.from_dlpack(memory, copy=False)
    del memory
    y = x * 2
    del x  # with the kernel perhaps under way
    assert (y.numpy() == 6).all()
    view = numpy.from_dlpack(y)
    del y
    gc.collect()
    others = [tensor.full((300_000,), 9.0) for _ in range(5)]  # a pool must not hand the memory out
    assert (view == 6).all()
    del view
    with tensor.scope():
        z = tensor.full((300_000,), 4.0)
        kept = numpy.from_dlpack(z)
    others.append(tensor.full((300_000,), 9.0))
    assert (kept == 4).all()
    with pytest.raises(tensor.errors.DeviceError, match="released"):
        z.numpy()


@pytest.mark.usefixtures("no_garbage")
def test_exported_memory_is_given_back(device):
    needs_host(device)
    before = tensor.memory().in_use_bytes
    for _ in range(200):
        view = numpy.from_dlpack(tensor.ones(100_000))
        assert view[-1] == 1
        tensor.from_dlpack(view)
    del view
    gc.collect()
    assert tensor.memory().in_use_bytes <= before + 500_000


def test_what_cannot_be_shared_is_copied_or_refused(device):
    values = numpy.arange(8, dtype=numpy.float32)
    frozen = values.copy()
    frozen.flags.writeable = False
    odd = numpy.frombuffer(bytearray(33), numpy.float32, offset=1)
    for each in (frozen, odd):
        assert (tensor.asarray(each).numpy() == each).all()
        assert array_over(each, device) is None
    assert (tensor.from_dlpack(frozen).numpy() == values).all()
    with pytest.raises(BufferError, match="writable"):
        tensor.from_dlpack(frozen, copy=False)
    x = tensor.asarray(values)
    with pytest.raises(ValueError, match="float64 without a copy"):
        numpy.asarray(x, numpy.float64, copy=False)
    assert numpy.asarray(x, numpy.float64).dtype == numpy.float64
    with pytest.raises(tensor.errors.ExchangeError, match="has no __dlpack__"):
        tensor.from_dlpack([1, 2])
    with pytest.raises(tensor.errors.ExchangeError, match="no streams"):
        x.__dlpack__(stream=1, dl_device=(1, 0))
    with pytest.raises(tensor.errors.ExchangeError, match="DLPack device"):
        x.__dlpack__(dl_device=(2, 0))
    if not is_host(device):
        assert host_view(x) is None
        for refused in (
            lambda: numpy.asarray(x, copy=False),
            lambda: numpy.from_dlpack(x),
            lambda: x.__dlpack__(dl_device=(1, 0), copy=False),
            lambda: tensor.from_dlpack(values, copy=False),
        ):
            with pytest.raises(tensor.errors.ExchangeError):
                refused()


def test_dtypes_that_a_device_lacks_are_shared_everywhere(device):
    values = numpy.arange(6, dtype=numpy.complex64).reshape(2, 3)
    shared = tensor.from_dlpack(values.T, copy=False)
    assert shared.device is device
    values[0, 1] = 7j
    assert (shared + 1).numpy()[1, 0] == 1 + 7j
    assert numpy.shares_memory(numpy.from_dlpack(shared), values)


def test_what_is_larger_than_any_buffer_is_copied(opencl, monkeypatch):
    needs_host(opencl)
    monkeypatch.setattr(opencl, "largest_buffer_bytes", 1000)
    assert array_over(numpy.ones(200, numpy.float32), opencl) is not None
    assert array_over(numpy.ones(251, numpy.float32), opencl) is None


def test_to_device_copies_values_that_go_their_own_way(device):
    values = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
    for x in (tensor.asarray(values), tensor.asarray(values).T, tensor.asarray(values.astype(complex))):
        truth = x.numpy()
        for target in tensor.devices():
            there = x.to_device(target)
            assert there.device is target
            assert (there.numpy() == truth).all()
            if target is not device:
                there[0] = 50
                assert (x.numpy() == truth).all()
                assert (there.to_device(device).numpy()[0] == 50).all()


def test_between_our_devices(device):
    x = tensor.asarray(numpy.arange(6, dtype=numpy.int32))
    same = tensor.from_dlpack(x)
    same[0] = 40
    assert x.numpy().tolist() == [40, 1, 2, 3, 4, 5]
    assert tensor.from_dlpack(x, copy=True).storage is not x.storage
    moved = tensor.from_dlpack(x, device="numpy")
    assert moved.device is tensor.device("numpy")
    assert moved.numpy().tolist() == x.numpy().tolist()
    if is_host(device):
        moved[1] = -8
        assert (x + 0).numpy()[1] == -8


def test_nothing_is_handed_over_while_recording(opencl):
    needs_host(opencl)
    x = tensor.ones(3)
    for hand_over in (lambda: numpy.from_dlpack(x), lambda: numpy.asarray(x, copy=False)):
        with pytest.raises(tensor.errors.RecordError, match="inside record"):
            tensor.record(hand_over)


def test_a_recording_keeps_the_memory_of_others(opencl):
    needs_host(opencl)
    memory = numpy.ones(1000, numpy.float32)
    x = tensor.from_dlpack(memory, copy=False)
    recording = tensor.record(tensor.sum, x)
    del x
    gc.collect()
    memory[:] = 2
    assert float(recording.replay()) == 2000


def test_torch_both_ways(device):
    torch = pytest.importorskip("torch")
    t = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    for theirs in (t, t.T, t[:, 1:3], t[::2], t[:0], t[1, 2], t > 4, t.to(torch.int16)):
        ours = tensor.from_dlpack(theirs)
        assert ours.shape == tuple(theirs.shape)
        assert (ours.numpy() == theirs.numpy()).all()
    x = tensor.asarray(numpy.arange(12, dtype=numpy.float32).reshape(3, 4))
    if not is_host(device):
        with pytest.raises((tensor.errors.ExchangeError, RuntimeError, ValueError)):
            torch.from_dlpack(x)
        return
    for ours in (x, x.T, x[1:, ::2], x[:0], x[2, 3], x > 4):
        theirs = torch.from_dlpack(ours)
        assert tuple(theirs.shape) == ours.shape
        assert (theirs.numpy() == ours.numpy()).all()
    shared = tensor.from_dlpack(t, copy=False)
    t.mul_(2)
    assert (shared + 0).numpy()[2].tolist() == [16, 18, 20, 22]
    del t
    gc.collect()
    again = torch.from_dlpack(shared)
    del shared
    again.add_(1)
    assert again[2].tolist() == [17, 19, 21, 23]
    with pytest.raises(tensor.errors.ExchangeError, match="does not hand its values over"):
        tensor.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(tensor.errors.ExchangeError, match="does not hand its values over"):
        tensor.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
