"""Devices are found, named, chosen per context, and their absence is explained."""

import os
import subprocess
import sys
import threading

import numpy
import pytest

import tensor
from tensor import discovery
from tensor.device import OpenCLDevice
from tensor.pocl import is_pocl


def test_numpy_is_always_there_and_last():
    assert tensor.devices()[-1].spec == "numpy"
    numpy_device = tensor.device("numpy")
    assert (numpy_device.backend, numpy_device.kind) == ("numpy", "host")
    assert numpy_device.compute_units > 0
    assert numpy_device.memory_bytes > 0


def test_devices_are_found_by_spec_kind_and_part_of_name(device):
    assert tensor.device(device.spec) is device
    assert tensor.device(device) is device
    assert tensor.device(None) is device is tensor.default_device()
    assert tensor.device(device.name[:-1].upper()).name == device.name
    assert tensor.device(device.kind if device.backend == "opencl" else "numpy").kind == device.kind
    assert device.driver
    device.synchronize()


@pytest.mark.skipif("CI" not in os.environ, reason="only continuous integration must have both")
def test_kernels_are_tested_on_two_implementations():
    cpus = [each for each in tensor.devices() if isinstance(each, OpenCLDevice) and each.kind == "cpu"]
    assert len({each.raw.platform.name for each in cpus}) >= 2, cpus
    assert is_pocl(cpus[0])  # what is not about kernels runs on this one


def test_an_unknown_device_lists_the_known_ones():
    with pytest.raises(tensor.errors.DeviceError, match=r"no device 3\. There are: "):
        tensor.device(3)
    with pytest.raises(tensor.errors.DeviceError, match=r"no device 'warp drive'.*numpy = NumPy") as caught:
        tensor.device("warp drive")
    assert caught.value.exit_code == 5


def test_the_choice_is_per_context():
    seen = []
    with tensor.use_device("numpy"):
        assert tensor.zeros(1).device.spec == "numpy"
        thread = threading.Thread(target=lambda: seen.append(tensor.default_device()))
        thread.start()
        thread.join()
    assert seen == [tensor.default_device()]


def test_the_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("MESH_DEVICE", "numpy")
    assert tensor.zeros(1).device.spec == "numpy"


def test_without_opencl_everything_runs_on_numpy_and_says_so():
    script = (
        "import sys; sys.modules['pyopencl'] = None\n"
        "import tensor\n"
        "x = tensor.ones((2, 2)) @ tensor.ones((2, 2))\n"
        "print(x.device.spec, float(tensor.sum(x)), tensor.device_notes()[0])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MESH_DEVICE"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert result.stdout.startswith("numpy 8.0 pyopencl cannot be imported")
    assert "pip install" in result.stdout


def test_an_unregistered_nvidia_library_is_found_and_explained(monkeypatch, tmp_path):
    (tmp_path / "libnvidia-opencl.so.1").touch()
    monkeypatch.setattr(discovery, "_LIBRARY_FOLDERS", (str(tmp_path),))
    (note,) = discovery._nvidia_notes()
    assert str(tmp_path) in note
    assert "/etc/OpenCL/vendors/nvidia.icd" in note


def test_arrays_come_from_and_go_to_the_host(device):
    assert tensor.asarray([1, 2]).dtype == tensor.int64
    assert tensor.asarray([2**40]).dtype == tensor.int64
    assert tensor.asarray(1.5).shape == ()
    assert tensor.asarray(numpy.zeros((2, 0))).dtype == tensor.float64
    assert tensor.asarray([[0.0], [1]]).dtype == tensor.float32
    assert numpy.asarray(tensor.arange(2, 9, 3)).tolist() == [2, 5, 8]
    assert numpy.asarray(tensor.arange(0, 1, 0.25)).tolist() == [0, 0.25, 0.5, 0.75]
    assert numpy.asarray(tensor.full((2,), True)).tolist() == [True, True]
    assert numpy.asarray(tensor.ones_like(tensor.zeros((1, 2), "uint8"))).tolist() == [[1, 1]]
    source = numpy.arange(6.0).reshape(2, 3)
    x = tensor.asarray(source)
    source[...] = 0
    host = x.numpy()
    host[...] = -1
    assert numpy.asarray(x, dtype=numpy.float64).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert len(x) == 2
    assert [float(row[0]) for row in x] == [0, 3]
    assert bool(tensor.asarray(True))
    assert [10, 20, 30][tensor.asarray(1)] == 20
    assert "shape=(2, 3)" in repr(x)
    with pytest.raises(tensor.errors.ShapeError, match="one element"):
        float(x)


def test_another_thread_may_compute_too(device):
    x, results = tensor.ones((100, 100)), []

    def work():
        with tensor.use_device(device):
            results.append([float(tensor.sum(x * i)) for i in range(50)])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[10000.0 * i for i in range(50)]] * 2


def test_threads_may_ask_for_memory_wait_and_end(device):
    """NVIDIA's driver crashed where new memory was asked for while another thread waited for results."""
    wrong = []

    def work(number):
        with tensor.use_device(device):
            for i in range(10):
                x = tensor.ones(200_000 * i + 20_000 * number + 100)
                if float(tensor.sum(x[:100])) != 100:
                    wrong.append((number, i))

    for _ in range(3):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tensor.default_device().release_memory()
    assert not wrong


def test_everything_public_is_listed():
    public = {name for name in vars(tensor) if not name.startswith("_")}
    modules = {
        name
        for name in public - {"errors", "fft", "linalg", "random"}
        if isinstance(getattr(tensor, name), type(tensor))
    }
    of_the_standard = {"__array_api_version__", "__array_namespace_info__"}
    assert (public - modules) | of_the_standard == set(tensor.__all__)


class BrokenPlatform:
    """A platform whose driver fails at the first question."""

    @property
    def name(self):
        import pyopencl

        raise pyopencl.LogicError("out of host memory")

    get_devices = name.fget


@pytest.mark.parametrize(
    ("platforms", "sentence"),
    [
        (lambda: [BrokenPlatform()], "The OpenCL platform number 0 does not tell its devices"),
        (lambda: [], "No OpenCL device was found"),
        (lambda: BrokenPlatform().name, "No OpenCL platform is installed"),
    ],
)
def test_platforms_of_no_use_are_named_and_numpy_is_left(monkeypatch, opencl, platforms, sentence):
    monkeypatch.setattr("pyopencl.get_platforms", platforms)
    found, notes = discovery._discovered.__wrapped__()
    assert [each.spec for each in found] == ["numpy"]
    assert sentence in notes[0]


def test_a_device_that_cannot_be_used_says_so(opencl, monkeypatch):
    import pyopencl

    def refuse(devices):
        raise pyopencl.RuntimeError("device not available")

    monkeypatch.setattr("pyopencl.Context", refuse)
    with pytest.raises(tensor.errors.DeviceError, match=r"cannot be used .*not available.*numpy"):
        tensor.zeros(3, device=OpenCLDevice(opencl.raw, "broken"))


def test_threads_that_come_first_at_once_share_one_queue(opencl):
    device = OpenCLDevice(opencl.raw, "fresh")
    together, seen = threading.Barrier(8), []

    def work():
        together.wait()
        seen.append((device.queue, device.pools, device.context))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({tuple(map(id, each)) for each in seen}) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_is_refused_rather_than_hung(opencl):
    script = (
        "import os, sys, tensor\n"
        f"x = tensor.ones(3, device={opencl.spec!r})\n"
        "float(tensor.sum(x))\n"
        "child = os.fork()\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "try:\n"
        "    x.numpy()\n"
        "except tensor.errors.DeviceError as error:\n"
        "    print(error, float(tensor.sum(tensor.ones(3, device='numpy'))))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0 or "NVIDIA" in opencl.name  # whose driver crashes when such a child ends
    assert "forked after its parent" in result.stdout
    assert result.stdout.endswith("3.0\n")
