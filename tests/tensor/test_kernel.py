"""Users' kernels, primitives and tapes; errors that can be read; the disk cache."""

import json

import numpy
import pytest

import tensor
from tensor import program

SCALE = """
__kernel void scale(__global float *out, __global const float *a, const float factor, const int n) {
  int i = get_global_id(0);
  if (i < n) out[i] = a[i] * factor;
}
__kernel void pick(__global int *out, const int4 values) { out[0] = values.z; }
"""


def test_a_users_kernel_is_one_call(opencl):
    scale = tensor.kernel(SCALE, "scale")
    a = tensor.arange(10, dtype=tensor.float32)
    out = tensor.empty(10)
    scale(10, out, a, 2.5, 10)
    assert numpy.asarray(out).tolist() == [2.5 * i for i in range(10)]
    scale((10,), out, out, numpy.float32(2), 10, local_size=(1,))
    assert numpy.asarray(out).tolist() == [5.0 * i for i in range(10)]
    recording = tensor.record(lambda: scale(10, out, out, 3, 10))
    recording.replay()
    assert numpy.asarray(out).tolist() == [45.0 * i for i in range(10)]


def test_vectors_are_passed_as_bytes(opencl):
    out = tensor.empty(1, tensor.int32)
    tensor.kernel(SCALE, "pick")(1, out, numpy.array([1, 2, 3, 4], numpy.int32).tobytes())
    assert int(out) == 3


def test_wrong_kernels_are_explained(opencl):
    with pytest.raises(tensor.errors.KernelBuildError, match="no kernel named other; it has: scale"):
        tensor.kernel(SCALE, "other")(1, tensor.zeros(1))
    with pytest.raises(tensor.errors.KernelBuildError, match="no kernel named scale; it has: none; a kernel"):
        tensor.kernel("void scale(float x) {}", "scale")(1)
    with pytest.raises(
        tensor.errors.KernelBuildError,
        match=r"takes 4 arguments \(float\* out, float\* a, float factor, int n\); got 2",
    ):
        tensor.kernel(SCALE, "scale")(1, tensor.zeros(1), 3)
    with pytest.raises(tensor.errors.KernelBuildError, match=r"no kernel file nothing\.cl, neither in"):
        tensor.kernel("nothing.cl", "nothing")
    x = tensor.zeros((4, 4))
    with pytest.raises(tensor.errors.ShapeError, match=r"argument 2 .* got a view of .* strides \(1, 4\)"):
        tensor.kernel(SCALE, "scale")(1, x, x.T, 2.0, 1)
    with pytest.raises(
        tensor.errors.DeviceError,
        match=r"refused kernel scale with global size \(10,\) and local size \(3,\): "
        r"INVALID_WORK_GROUP_SIZE\. The local size has to divide .* this kernel may have \d+ items",
    ):
        tensor.kernel(SCALE, "scale")(10, tensor.zeros(10), tensor.zeros(10), 2.0, 10, local_size=(3,))
    with pytest.raises(tensor.errors.DeviceError, match="needs an OpenCL device"):
        tensor.kernel(SCALE, "scale")(1, tensor.zeros(1, device="numpy"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out", "a", 2.5, 1.5), r"argument 4 \(int n\) got 1\.5: .*integer"),
        (("out", "a", 2.5, 2**40), r"argument 4 \(int n\) got 1099511627776"),
        (("out", "a", "2", "many"), r"argument 4 \(int n\) got a str"),
        (("out", 3, 2.5, 1), r"argument 2 \(float\* a\) got 3"),
        (
            ("out", "a", "array", 1),
            r"argument 3 \(float factor\) got an array of shape \(4,\); give a number",
        ),
    ],
)
def test_a_wrong_argument_is_named(opencl, arguments, message):
    arrays = {"out": tensor.zeros(4), "a": tensor.ones(4), "array": tensor.ones(4)}
    arguments = [arrays.get(each, each) for each in arguments]
    with pytest.raises(tensor.errors.KernelBuildError, match=message):
        tensor.kernel(SCALE, "scale")(4, *arguments)
    with pytest.raises(tensor.errors.KernelBuildError, match=message):
        tensor.record(lambda: tensor.kernel(SCALE, "scale")(4, *arguments))


@pytest.mark.parametrize("size", [-1, "a", 2.5, (), (1, 2, 3, 4)])
def test_sizes_are_one_to_three_integers(opencl, size):
    x = tensor.zeros(4)
    with pytest.raises(tensor.errors.ShapeError, match=r"Kernel scale: the global size: expected"):
        tensor.kernel(SCALE, "scale")(size, x, x, 1.0, 4)
    with pytest.raises(tensor.errors.ShapeError, match=r"Kernel scale: the local size: expected"):
        tensor.kernel(SCALE, "scale")(4, x, x, 1.0, 4, local_size=size)
    tensor.kernel(SCALE, "scale")(4, x, tensor.ones(4), 2.0, 4, local_size=2)
    assert x.tolist() == [2, 2, 2, 2]


def test_an_array_of_another_dtype_than_the_kernels_is_refused(opencl):
    x, wrong = tensor.ones(4), tensor.ones(4, tensor.int32)
    message = r'argument 2 \(float\* a\) got an array of int32; give x.astype\("float32"\), or write int \*a'
    with pytest.raises(tensor.errors.DTypeError, match=message):
        tensor.kernel(SCALE, "scale")(4, x, wrong, 1.0, 4)
    bytes_too = """
    kernel void vectors(global float4 *out, global uchar *mask, global void *any, constant uint3 *c) {
      out[0] = mask[1];
    }
    """
    k = tensor.kernel(bytes_too, "vectors")
    k(1, x, tensor.asarray([False, True]), wrong, tensor.ones(4, tensor.uint32))
    k(1, x, tensor.ones(2, tensor.uint8), x, tensor.ones(4, tensor.uint32))
    assert numpy.asarray(x).tolist() == [1, 1, 1, 1]
    with pytest.raises(tensor.errors.DTypeError, match=r"argument 4 \(uint3\* c\) got an array of float32"):
        k(1, x, tensor.ones(2, tensor.uint8), x, x)


def test_files_of_users_include_others(opencl, tmp_path, monkeypatch):
    (tmp_path / "half.h").write_text("#define HALF(x) ((x) / 2)\n")
    (tmp_path / "mine.cl").write_text(
        '#include "half.h"\n#include "common.h"\nkernel void mine(global float *x) { x[0] = HALF(FACTOR); }\n'
    )
    x = tensor.zeros(1)
    tensor.kernel(str(tmp_path / "mine.cl"), "mine", defines={"FACTOR": "x[0] + 3"})(1, x)
    assert float(x) == 1.5
    monkeypatch.chdir(tmp_path)
    tensor.kernel("mine.cl", "mine", options=["-DFACTOR=8"])(1, x)
    assert float(x) == 4


def scaled_by_another_process(device):
    """4 · 2 by a kernel that this process has not built, as far as it remembers."""
    device.programs.clear()
    out = tensor.empty(1)
    tensor.kernel(SCALE, "scale")(1, out, tensor.full(1, 4.0), 2.0, 1)
    return float(out)


def test_binaries_are_cached_on_disk_and_a_broken_one_is_built_anew(opencl, tmp_path, monkeypatch):
    monkeypatch.setenv("MESH_CACHE", str(tmp_path))
    monkeypatch.setattr(program, "is_pocl", lambda device: False)
    compiled = []
    original = program._compile
    monkeypatch.setattr(program, "_compile", lambda *a: compiled.append(1) or original(*a))

    assert scaled_by_another_process(opencl) == 8
    (cached,) = (tmp_path / "kernels").iterdir()
    assert scaled_by_another_process(opencl) == 8
    assert len(compiled) == 1
    head, binary = whole = cached.read_bytes().split(b"\n", 1)
    for number, broken in enumerate([b"{}\nnot a binary", b"[]\n", head, head + b"\n" + binary[:-100], b""]):
        cached.write_bytes(broken)
        assert scaled_by_another_process(opencl) == 8
        assert len(compiled) == number + 2
    assert json.loads(cached.read_bytes().split(b"\n", 1)[0])["kernels"] == json.loads(whole[0])["kernels"]
    assert [*cached.parent.iterdir()] == [cached]


def test_a_cache_that_cannot_be_written_costs_time_only(opencl, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "is_pocl", lambda device: False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("MESH_CACHE", str(tmp_path / "file"))
    assert scaled_by_another_process(opencl) == 8

    def full(*paths):
        raise OSError("no space left on device")

    monkeypatch.setenv("MESH_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(program.os, "replace", full)
    assert scaled_by_another_process(opencl) == 8
    assert not [*(tmp_path / "full" / "kernels").iterdir()]


def test_a_source_is_built_once_for_all_its_kernels(opencl, monkeypatch):
    opencl.programs.clear()
    compiled = []
    original = program._compile
    monkeypatch.setattr(program, "_compile", lambda *a: compiled.append(1) or original(*a))
    monkeypatch.setattr(program, "is_pocl", lambda device: True)
    for name in ("scale", "pick"):
        tensor.kernel(SCALE, name).on(opencl)
    assert len(compiled) == 1


def test_a_new_primitive_is_taped_and_runs_everywhere(device):
    double = tensor.PRIMITIVES.get("test_double") or tensor.primitive(
        "test_double",
        numpy=lambda x, times: x * numpy.float32(2**times),
        opencl=lambda x, times: x * 2.0**times,
    )
    x = tensor.arange(3, dtype="float32")
    with tensor.recording_calls() as tape:
        y = double(x, times=2)
        with tensor.not_recording_calls():
            x + 1
    assert numpy.asarray(y).tolist() == [0, 4, 8]
    (call,) = tape
    assert (call.primitive, call.inputs, call.parameters, call.output) == (double, (x,), {"times": 2}, y)
    with pytest.raises(tensor.errors.MeshError, match="primitive named test_double already"):
        tensor.primitive("test_double", numpy=abs, opencl=abs)
    with pytest.raises(tensor.errors.MeshError, match="needs numpy= and one of"):
        tensor.primitive("test_other", numpy=abs)


def test_the_tape_holds_views_and_casts_too(device):
    x = tensor.ones((2, 3), tensor.uint8)
    with tensor.recording_calls() as tape:
        y = tensor.sum(
            (x.astype("float32").reshape(3, 2).T[0] + 1) * tensor.broadcast_to(tensor.ones(1), (3,))
        )
    names = [call.primitive.name for call in tape if not call.primitive.in_place]  # but for filling the ones
    expected = ["astype", "reshape", "permute_dims", "index", "add", "broadcast_to", "multiply", "sum"]
    assert names == expected
    assert tape[-1].output is y


def test_an_in_place_primitive_writes_into_its_input(device):
    def add_one(x):
        x += 1

    def add_one_opencl(x):
        x[...] = x + 1

    increment = tensor.PRIMITIVES.get("test_increment") or tensor.primitive(
        "test_increment", numpy=add_one, opencl=add_one_opencl, in_place=True
    )
    x = tensor.zeros(3)
    recording = tensor.record(lambda: increment(x))
    recording.replay()
    assert numpy.asarray(x).tolist() == [2, 2, 2]
    assert recording.result is x


def test_through_host_computes_with_numpy_and_replays(device):
    sort = tensor.PRIMITIVES.get("test_sort") or tensor.primitive(
        "test_sort", numpy=numpy.sort, opencl=tensor.through_host(numpy.sort)
    )
    x = tensor.asarray([3.0, 1.0, 2.0])
    recording = tensor.record(lambda: sort(x * 2) + 1)
    x[...] = numpy.array([0, -1, 5])
    assert numpy.asarray(recording.replay()).tolist() == [-1, 1, 11]
