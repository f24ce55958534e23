"""Profiles: what ran, how often, how long; a trace that Perfetto reads; and nothing left behind."""

import json
import threading

import numpy
import pytest

import tensor
from tensor import profiling
from tensor.profile_report import Row, Span, rows, table_text


def work(x):
    return tensor.sum(tensor.relu(x * 2 - 1) @ x, axis=0)


def calls(profile):
    """How often each operation launched, by its name and the kernel's."""
    return {(row.operation, row.name): row.calls for row in profile.table()}


def test_operations_and_their_kernels_are_counted_and_timed(device):
    x = tensor.ones((100, 100))
    expected = numpy.asarray(work(x))
    with tensor.profile() as p:
        for _ in range(3):
            y = work(x)
        y.numpy()
    assert (numpy.asarray(y) == expected).all()
    found = p.table()
    assert {"multiply", "subtract", "relu", "matmul", "sum"} <= {row.operation for row in found}
    assert all(row.calls % 3 == 0 for row in found if row.operation)
    assert all(row.mean_us == pytest.approx(row.total_ms * 1000 / row.calls) for row in found)
    assert sum(row.share for row in found) == pytest.approx(1)
    assert found == sorted(found, key=lambda row: -row.total_ms)
    assert 0 < sum(row.total_ms for row in found) <= p.wall_ms * 1.05
    if device.backend == "opencl":
        multiply = next(row for row in found if row.operation == "multiply")
        assert multiply.name.startswith("elementwise")
        assert multiply.name.endswith(" a * b")
        assert multiply.rate_gb_s == pytest.approx(3 * 80_004 / multiply.total_ms / 1e6)
        copy = next(row for row in found if row.name == "to the host")
        assert copy.rate_gb_s == pytest.approx(400 / copy.total_ms / 1e6)
    text = str(p).splitlines()
    assert text[0].startswith(f"{device.spec}: ")
    assert text[1].split() == ["operation", "kernel", "calls", "total", "ms", "mean", "µs", "share", "GB/s"]
    assert len(text) == 2 + len(found)


def test_replays_are_profiled_and_stay_right(device):
    x = tensor.ones((50, 50))
    recording = tensor.record(work, x)
    expected = numpy.asarray(recording.result)
    with tensor.profile() as p:
        for _ in range(2):
            recording.replay()
        inside = tensor.record(work, x)
    kinds = {operation for operation, _ in calls(p)}
    if device.backend == "numpy":
        assert calls(p)["matmul", "on the host"] == 3
    else:
        assert "(replay)" in kinds
        assert sum(n for (operation, _), n in calls(p).items() if operation == "(replay)") == 2 * len(inside)
    x[...] = 2.0
    for each in (
        recording,
        inside,
    ):  # the one from before and the one from inside, on the queue of afterwards
        assert (numpy.asarray(each.replay()) > 2 * expected).all()
    x[...] = 1.0
    assert (numpy.asarray(inside.replay()) == expected).all()


def test_fused_functions_stay_fused_and_have_their_name(device):
    @tensor.fuse
    def softplus(x):
        return tensor.log(1 + tensor.exp(x)) - tensor.sum(x * 2)

    x = tensor.asarray([0.0, 1.0, 2.0])
    expected = numpy.log(1 + numpy.exp([0.0, 1.0, 2.0])) - 6
    for _ in range(2):  # made, and made before
        with tensor.profile() as p:
            y = softplus(x)
            x - 1
        numpy.testing.assert_allclose(numpy.asarray(y), expected, rtol=1e-5)
        found = {operation for operation, _ in calls(p)}
        if device.backend == "opencl":
            assert {"softplus", "subtract"} <= found <= {"softplus", "subtract", "sum"}
            assert sum(n for (operation, _), n in calls(p).items() if operation == "softplus") <= 2
        else:
            assert {"exp", "log", "add", "subtract", "sum", "multiply"} <= found


def test_nothing_is_left_behind(device):
    queue = device.queue
    before = (queue.raw_or_none, queue.driver_enqueue)
    with tensor.profile(device) as p:
        assert queue.profile is p
        with pytest.raises(tensor.errors.DeviceError, match="one at a time"), tensor.profile():
            pass
    with pytest.raises(ValueError, match="on purpose"), tensor.profile():
        raise ValueError("on purpose")
    assert (queue.raw_or_none, queue.driver_enqueue, queue.profile) == (*before, None)
    count = len(p.table())
    tensor.ones(3) + 1
    assert len(p.table()) == count
    with tensor.recording_calls() as tape:
        with tensor.profile():
            tensor.ones(3) + 1
        tensor.ones(3) * 3
    assert [call.primitive.name for call in tape if call.primitive.name in ("add", "multiply")] == [
        "add",
        "multiply",
    ]


def test_errors_inside_do_not_confuse_what_follows(device):
    with tensor.profile() as p:
        with pytest.raises(tensor.errors.ShapeError):
            tensor.ones((2, 3)) @ tensor.ones((2, 3))
        tensor.ones((2, 3)) + 1
    assert "add" in {operation for operation, _ in calls(p)}


def test_launches_of_other_threads_are_seen(opencl):
    x = tensor.ones(1000)
    x - 1

    def other():
        with tensor.use_device(opencl):
            x - 1

    with tensor.profile() as p:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert list(calls(p).values()) == [1]
    ((operation, name),) = calls(p)
    assert operation == ""
    assert name.endswith("a - b")


def test_a_users_kernel_has_its_own_name(opencl):
    x = tensor.zeros(10)
    count = tensor.kernel("kernel void count_up(global float *x) { x[get_global_id(0)] += 1; }", "count_up")
    with tensor.profile() as p:
        for _ in range(5):
            count(10, x)
    assert calls(p) == {("", "count_up"): 5}
    assert numpy.asarray(x).tolist() == [5] * 10


def test_very_many_launches_do_not_pile_up(opencl, monkeypatch):
    monkeypatch.setattr(profiling, "_MOST_PENDING", 10)
    x = tensor.ones(10)
    with tensor.profile() as p:
        for _ in range(101):
            x = x + 1
            assert len(p._pending) < 10
    assert calls(p)["add", next(name for _, name in calls(p) if "a + b" in name)] == 101
    assert float(x[0]) == 102


def test_the_trace_is_what_perfetto_reads(device, tmp_path):
    """Fields by the Trace Event Format: complete events ("X") with times in µs, metadata ("M") for names."""
    x = tensor.ones((64, 64))
    work(x)
    with tensor.profile() as p:
        work(x).numpy()
    p.trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["displayTimeUnit"] in ("ms", "ns")
    names = [each for each in trace["traceEvents"] if each["ph"] == "M"]
    tracks = {each["tid"]: each["args"]["name"] for each in names if each["name"] == "thread_name"}
    assert set(tracks.values()) == {"Python", f"{device.spec}: {device.name}"}
    spans = [each for each in trace["traceEvents"] if each["ph"] == "X"]
    assert len(spans) + len(names) == len(trace["traceEvents"])
    for each in spans:
        assert each["name"]
        assert each["cat"] in ("kernel", "copy", "host")
        assert each["ts"] >= 0
        assert each["dur"] >= 0
        assert isinstance(each["pid"], int)
        assert each["tid"] in tracks
        assert each["ts"] + each["dur"] <= p.wall_ms * 1000 * 1.05 + 1000
    assert "matmul" in {each["name"] for each in spans if tracks[each["tid"]] == "Python"}
    commands = [each for each in spans if each["cat"] == "kernel"]
    if device.backend == "opencl":
        assert {each["args"]["operation"] for each in commands} >= {"matmul", "sum", "relu"}
        assert all(each["args"]["queued_us"] >= each["args"]["submitted_us"] >= 0 for each in commands)
        assert [each["ts"] for each in commands] == sorted(each["ts"] for each in commands)


def test_an_empty_profile_is_a_table_without_rows(device, tmp_path):
    with tensor.profile() as p:
        pass
    assert p.table() == []
    assert len(str(p).splitlines()) == 2
    p.trace(tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text())["traceEvents"]


def test_rows_sum_spans_and_give_rates_where_all_sizes_are_known():
    spans = [
        Span("kernel", "f", "add", 0, 2_000_000, size_bytes=4_000_000),
        Span("kernel", "f", "add", 5_000_000, 6_000_000, size_bytes=2_000_000),
        Span("kernel", "g", "", 0, 1_000_000),
        Span("host", "on the host", "add", 0, 9_000_000, in_table=False),
    ]
    add, other = rows(spans)
    assert add == Row("add", "f", 2, 3.0, 1500.0, 0.75, 2.0)
    assert other == Row("", "g", 1, 1.0, 1000.0, 0.25, None)
    assert table_text([add]).splitlines() == [
        "operation  kernel  calls  total ms  mean µs  share  GB/s",
        "add        f           2     3.000  1,500.0  75.0%   2.0",
    ]
