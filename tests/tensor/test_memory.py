"""Memory: loops do not grow, scopes release, and too much is an error that names sizes."""

import threading

import numpy
import pytest

import tensor


def test_memory_does_not_grow_over_ten_thousand_temporaries(device):
    x = tensor.ones(1000)
    y = x
    for _ in range(100):
        y = y * 0.5 + x
    tensor.default_device().synchronize()
    before = tensor.memory()
    for _ in range(5000):  # two temporaries each
        y = y * 0.5 + x
    after = tensor.memory()
    assert (numpy.asarray(y) == 2).all()
    assert after.in_use_bytes <= before.in_use_bytes + 8192
    assert after.held_bytes <= before.held_bytes + 65536


def test_a_scope_releases_what_it_does_not_keep(device):
    before = tensor.memory().in_use_bytes
    with tensor.scope() as inside:
        temporary = tensor.ones((1000, 100))
        kept = inside.keep(tensor.sum(temporary, axis=0))
        view = temporary[10:]
    assert numpy.asarray(kept).tolist() == [1000] * 100
    for each in (temporary, view):
        with pytest.raises(tensor.errors.DeviceError, match="released when its scope ended"):
            each + 1
    assert tensor.memory().in_use_bytes - before < 100_000


def test_a_scoped_function_keeps_what_it_returns(device):
    leaked = []

    @tensor.scope()
    def step(x):
        y = x * 2
        leaked.append(y)
        return {"loss": tensor.sum(y), "parts": [y[0], (y + 1,)]}, None

    x = tensor.ones((2, 3))
    result, nothing = step(x)
    assert nothing is None
    assert float(result["loss"]) == 12
    assert numpy.asarray(result["parts"][1][0]).tolist() == [[3, 3, 3]] * 2
    assert numpy.asarray(x).tolist() == [[1, 1, 1]] * 2
    leaked[0] + 1  # y[0] shares its memory, so that is kept


def test_scopes_nest(device):
    with tensor.scope() as outer:
        with tensor.scope() as inner:
            a = inner.keep(tensor.ones(3))
            b = tensor.ones(3)
        assert float(tensor.sum(a)) == 3
        c = outer.keep(a + 1)
    for released in (a, b):
        with pytest.raises(tensor.errors.DeviceError):
            released.numpy()
    assert float(tensor.sum(c * 0.125)) == 0.75


def test_numbers_used_first_inside_a_scope_stay_usable(device):
    with tensor.scope():
        tensor.ones(3) * 0.12345
    assert numpy.asarray(tensor.ones(1) * 0.12345).tolist() == [numpy.float32(0.12345)]


def test_a_recordings_memory_is_counted_and_given_back(opencl):
    x = tensor.ones(1_000_000)
    before = tensor.memory()
    recording = tensor.record(lambda: tensor.sum(x * 2 + 1))
    during = tensor.memory()
    assert float(recording.replay()) == 3_000_000
    grown = during.in_use_bytes + during.held_bytes - before.in_use_bytes - before.held_bytes
    assert 8_000_000 <= grown < 12_000_000
    del recording
    after = tensor.memory()
    assert after.in_use_bytes + after.held_bytes < before.in_use_bytes + before.held_bytes + 100_000


def test_too_much_memory_is_an_error_with_sizes(opencl):
    with pytest.raises(
        tensor.errors.OutOfMemoryError, match=r"cannot hold another array of .* MiB"
    ) as caught:
        tensor.empty(2**40)
    assert caught.value.exit_code == 5
    assert float(tensor.sum(tensor.ones(3))) == 3


def test_memory_is_counted_while_another_thread_records(opencl):
    x, failures = tensor.ones(10), []
    done = threading.Event()

    def count():
        try:
            while not done.is_set():
                tensor.memory(opencl)
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=count)
    thread.start()
    recordings = [tensor.record(lambda: x + 1) for _ in range(300)]
    done.set()
    thread.join()
    assert len(recordings) == 300
    assert not failures
