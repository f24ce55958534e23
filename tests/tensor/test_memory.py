"""Memory: loops do not grow, scopes release, and too much is an error that names sizes."""

import gc
import subprocess
import sys
import threading

import numpy
import pytest

import tensor
from tensor import allocation, machine_memory
from tensor.memory import Memory

pytestmark = pytest.mark.usefixtures("no_garbage")


def occupied():
    """What the default device has given to arrays and pools, once its work is done."""
    tensor.default_device().synchronize()
    memory = tensor.memory()
    return memory.in_use_bytes, memory.in_use_bytes + memory.held_bytes, memory.allocations


def assert_no_more_than(before):
    in_use, managed, allocations = occupied()
    assert in_use <= before[0] + 8192
    assert managed <= before[1] + 65536
    assert allocations <= before[2] + 4


def test_a_hundred_thousand_temporaries_leave_memory_where_it_was(device):
    x = tensor.ones(1000)
    y = x
    for _ in range(100):
        y = y * 0.5 + x
    before = occupied()
    for _ in range(50_000):  # two temporaries each
        y = y * 0.5 + x
    assert (numpy.asarray(y) == 2).all()
    assert_no_more_than(before)


def failing(x):
    y = x + 1
    with tensor.scope():
        z = y * 2
        raise ValueError(f"with {z.shape} and {y.shape} alive")


def test_errors_threads_and_recordings_leave_nothing_behind(device):
    x = tensor.ones(10_000)

    def work():
        with tensor.use_device(device):
            for _ in range(100):
                with pytest.raises(ValueError, match="alive"):
                    failing(x)
                with pytest.raises(tensor.errors.ShapeError):
                    x * 2 + tensor.ones(3)
            for _ in range(10):
                tensor.record(lambda: tensor.sum(x * 2), device=device).replay()

    work()
    before = occupied()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    gc.collect()
    in_use, managed, allocations = occupied()
    assert in_use <= before[0] + 8192
    assert managed <= before[1] + 12 * 40_000 + 65536  # what three threads had at once is held once
    assert allocations <= before[2] + 4


def test_the_peak_is_the_most_that_was_in_use_at_once(device):
    tensor.ones(10)  # and the numbers that it needs
    tensor.reset_peak_memory()
    before = tensor.memory()
    assert before.peak_bytes == before.in_use_bytes
    x = tensor.empty(1_000_000)
    y = tensor.empty(500_000, tensor.uint8)
    del x
    after = tensor.memory()
    assert after.peak_bytes == before.in_use_bytes + 4_500_000
    assert after.in_use_bytes == before.in_use_bytes + 500_000
    assert after.allocations == before.allocations + 1
    del y
    tensor.reset_peak_memory()
    assert tensor.memory().peak_bytes == tensor.memory().in_use_bytes == before.in_use_bytes
    assert f"{device.spec}: " in str(after)
    assert "4.3 MiB" in str(after)


def test_held_memory_is_given_back(opencl):
    x = tensor.empty(3_000_000)
    del x
    held = tensor.memory().held_bytes
    assert held >= 12_000_000
    assert tensor.release_memory() >= 12_000_000
    assert tensor.memory().held_bytes <= held - 12_000_000
    assert tensor.release_memory("numpy") == 0


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


@pytest.mark.parametrize("elements", [2**36, 2**40, 2**61, 2**70])
def test_too_much_memory_is_an_error_with_sizes(device, elements):
    with pytest.raises(
        tensor.errors.OutOfMemoryError, match=r"cannot hold another array of .* MiB"
    ) as caught:
        tensor.empty(elements)
    assert caught.value.exit_code == 5
    assert float(tensor.sum(tensor.ones(3))) == 3


def test_a_result_that_is_too_large_is_an_error_with_sizes(device):
    x = tensor.broadcast_to(tensor.ones(1), (2**20, 2**20))
    with pytest.raises(tensor.errors.OutOfMemoryError, match=r"MiB"):
        x + 1
    assert float(tensor.sum(tensor.ones(3))) == 3


def test_values_that_are_kept_on_the_host_are_counted_apart(opencl):
    before = tensor.memory()
    x = tensor.empty(1000, tensor.complex64)
    after = tensor.memory()
    assert after.on_host_bytes == before.on_host_bytes + 8000
    assert after.in_use_bytes <= before.in_use_bytes + 8
    assert "on the host" in str(after)
    del x
    assert tensor.memory().on_host_bytes == before.on_host_bytes


@pytest.mark.slow
@pytest.mark.deep
def test_a_million_temporaries_leave_memory_where_it_was(device):
    x = tensor.ones(1000)
    y = x * 0.5 + x
    before = occupied()
    for _ in range(500_000):  # two temporaries each
        y = y * 0.5 + x
    assert (numpy.asarray(y) == 2).all()
    assert_no_more_than(before)


def test_an_array_larger_than_the_largest_is_refused_before_the_driver_is_asked(opencl, monkeypatch):
    monkeypatch.setattr(opencl, "largest_buffer_bytes", 1000)
    monkeypatch.setattr(opencl.pools, "main", None)  # whoever asks it fails
    monkeypatch.setattr(opencl.pools, "in_use_bytes", lambda: 0)
    monkeypatch.setattr(opencl, "memory", lambda: Memory("it", 0, 0, 0, 10**6, 1000, 0))
    with pytest.raises(tensor.errors.OutOfMemoryError, match=r"one array may have 0\.0 MiB"):
        tensor.empty(1001, tensor.uint8)


def test_an_array_of_just_the_largest_size_is_not_rounded_up(opencl, monkeypatch):
    largest = 2**20 + 100  # pools would make 2**20 + 2**16 - 1 of it
    monkeypatch.setattr(opencl, "largest_buffer_bytes", largest)
    before = tensor.memory()
    pools = opencl.pools
    buffer = pools._allocate_again(pools.main, largest, driver_error("INVALID_BUFFER_SIZE"))
    assert buffer.size == largest
    during = tensor.memory()
    assert during.in_use_bytes == before.in_use_bytes + largest
    assert during.allocations == before.allocations + 1
    del buffer
    assert tensor.memory().in_use_bytes == before.in_use_bytes


def driver_error(name):
    """What pyopencl raises for a code."""
    import pyopencl

    code = getattr(pyopencl.status_code, name)
    return pyopencl.Error(pyopencl._cl._ErrorRecord(msg=name, code=code, routine="of_the_driver"))


class FullPool:
    """A pool whose driver has no memory until other pools have given theirs back."""

    def __init__(self, real, main, size_bytes):
        self._real, self._main, self._size_bytes = real, main, size_bytes

    def __getattr__(self, name):
        return getattr(self._real, name)

    def allocate(self, size_bytes):
        if size_bytes >= self._size_bytes and self._main.managed_bytes > self._main.active_bytes * 2 + 10**6:
            raise driver_error("MEM_OBJECT_ALLOCATION_FAILURE")
        return self._real.allocate(size_bytes)


def test_before_giving_up_what_the_pools_hold_is_given_back(opencl):
    """A recording's pool may run dry while the main one holds plenty."""
    x = tensor.ones(1_000_000)

    def step():
        opencl.queue.recording.pool = FullPool(opencl.queue.recording.pool, opencl.pools.main, 4_000_000)
        return tensor.sum(x * 2)

    held = tensor.empty(8_000_000)
    del held
    assert tensor.memory().held_bytes > 30_000_000
    recording = tensor.record(step)
    assert tensor.memory().held_bytes < 30_000_000
    assert float(recording.replay()) == 2_000_000


def test_a_driver_that_has_no_memory_is_our_error(opencl, monkeypatch):
    class Empty(FullPool):
        def allocate(self, size_bytes):
            raise driver_error("OUT_OF_HOST_MEMORY")

    monkeypatch.setattr(opencl.pools, "main", Empty(opencl.pools.main, None, 0))
    with pytest.raises(tensor.errors.OutOfMemoryError, match=r"another array of 3\.8 MiB: .* MiB are in use"):
        tensor.empty(1_000_000)


def test_new_memory_is_filled_at_once_for_drivers_that_put_it_off(opencl, monkeypatch):
    import pyopencl

    opencl.queue.raw.finish()  # the device has its own pools now
    filled, refusals, fill = [], [], pyopencl.enqueue_fill_buffer

    def fill_or_refuse(*arguments):
        if refusals:
            raise refusals.pop()
        filled.append(fill(*arguments))

    monkeypatch.setattr(pyopencl, "enqueue_fill_buffer", fill_or_refuse)
    monkeypatch.setattr(allocation, "_fills_new_memory", lambda _: True)
    pools = allocation.Pools(opencl)
    pools.allocate(1000, None)
    pools.allocate(1000, None)  # the same piece again
    assert len(filled) == 1
    for count, size_bytes in enumerate((1_000_000, 1), 2):
        refusals.append(driver_error("MEM_OBJECT_ALLOCATION_FAILURE"))
        pools.allocate(size_bytes, None)
        assert (len(filled), refusals) == (count, [])
    refusals.extend([driver_error("MEM_OBJECT_ALLOCATION_FAILURE")] * 2)
    with pytest.raises(tensor.errors.OutOfMemoryError):
        pools.allocate(2_000_000, None)


@pytest.mark.parametrize("name", ["MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_RESOURCES"])
def test_memory_that_is_missing_at_the_first_launch_is_our_error(opencl, monkeypatch, name):
    """NVIDIA's driver gives memory when a kernel first uses it."""
    monkeypatch.setattr("tensor.queue.direct_launch", lambda *_: lambda: -5)  # so that pyopencl is asked
    x = tensor.ones(1013)
    x + 1
    enqueue, refusals = opencl.queue.driver_enqueue, [driver_error(name)]

    def enqueue_or_refuse(*arguments):
        if refusals:
            raise refusals.pop()
        return enqueue(*arguments)

    monkeypatch.setattr(opencl.queue, "driver_enqueue", enqueue_or_refuse)
    assert float(tensor.sum(x + 1)) == 2026  # refused once, and launched again
    assert not refusals
    refusals.extend([driver_error(name)] * 2)
    with pytest.raises(
        tensor.errors.OutOfMemoryError, match=f"ran out of memory while launching kernel .*{name}"
    ):
        x + 1
    recording = tensor.record(lambda: x * 2)
    refusals.append(driver_error(name))
    with pytest.raises(tensor.errors.OutOfMemoryError, match="ran out of memory while replaying"):
        recording.replay()
    assert float(tensor.sum(recording.replay())) == 2026


def test_a_device_that_broke_down_is_said_at_the_next_call(opencl, monkeypatch):
    import pyopencl

    x = tensor.ones(3)

    def fail(*arguments, **options):
        raise driver_error("INVALID_COMMAND_QUEUE")

    monkeypatch.setattr(pyopencl, "enqueue_copy", fail)
    with pytest.raises(tensor.errors.DeviceError, match=r"failed while reading values.*outside its arrays"):
        x.numpy()
    with pytest.raises(tensor.errors.DeviceError, match="failed while writing values"):
        x.write(numpy.zeros(3, numpy.float32))


def test_memory_that_the_host_does_not_have_is_refused(device, monkeypatch):
    """Linux would promise it, and end this process when it is touched."""
    if not device.uses_host_memory:
        pytest.skip(f"{device.spec} has memory of its own")
    tensor.reset_peak_memory()  # what other tests needed is no measure
    monkeypatch.setattr(machine_memory, "available_bytes", lambda: 100 * 2**20)
    with pytest.raises(tensor.errors.OutOfMemoryError, match=r"this machine has 100\.0 MiB free"):
        tensor.empty(200 * 2**20 + tensor.memory().peak_bytes, tensor.uint8)
    column, row = tensor.ones((2**13, 1)), tensor.ones((1, 2**13))
    with pytest.raises(tensor.errors.OutOfMemoryError, match=r"this machine has 100\.0 MiB free"):
        column + row
    assert tensor.ones(1000).shape == (1000,)


LITTLE_MEMORY = """
import resource, sys, tensor
with tensor.use_device(sys.argv[1]) as device:
    tensor.sum(tensor.ones(1000) + 1).numpy()
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 640 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    kept = []
    try:
        while len(kept) < 20:
            kept.append(tensor.ones(2**25) + 1)  # 128 MiB
            device.synchronize()
    except tensor.errors.OutOfMemoryError as error:
        print(error)
    assert 1 <= len(kept) < 20
    kept.clear()
    print(float(tensor.sum(tensor.ones(2**25) * 2)))
"""


def test_a_process_that_may_have_little_memory_goes_on(device):
    """Really short of it, by `ulimit -v`: PoCL and Linux would end the process."""
    if not device.uses_host_memory or not machine_memory._MEMINFO.exists():
        pytest.skip("limits of processes are Linux's, for the host's memory")
    command = [sys.executable, "-c", LITTLE_MEMORY, device.spec]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "128.0 MiB" in done.stdout or "128. MiB" in done.stdout
    assert done.stdout.splitlines()[-1] == str(2.0**26)


def test_the_hosts_memory_is_known_on_linux(tmp_path, monkeypatch):
    if not machine_memory._MEMINFO.exists():
        pytest.skip("/proc/meminfo is Linux's")
    assert 0 < machine_memory.available_bytes() <= machine_memory.total_bytes()
    for name, text in {
        "memory.max": "1000000",
        "memory.current": "700000",
        "memory.stat": "anon 5\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine_memory, "_CGROUP", tmp_path)
    assert (machine_memory.total_bytes(), machine_memory.available_bytes()) == (1_000_000, 300_000)
    (tmp_path / "memory.stat").write_text("inactive_file 50000\n")
    assert machine_memory.available_bytes() == 350_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory.available_bytes() > 1_000_000
    monkeypatch.setattr(machine_memory, "_MEMINFO", tmp_path / "none")
    assert machine_memory.available_bytes() is None
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (2**50, 2**50))
    assert 0 < machine_memory.available_bytes() < 2**50


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
