"""Record and replay: a replayed step is a correct step, on memory that nobody else gets."""

import numpy
import pytest

import tensor


def test_a_replay_computes_with_what_memory_holds_now(device, generator):
    x, w = generator.normal(size=(2, 50, 30)).astype(numpy.float32)
    inputs, weights = tensor.asarray(x), tensor.asarray(w)

    def step():
        weights[...] = weights - 0.5 * inputs
        return tensor.sum(tensor.relu(weights) * 2, axis=0)

    recording = tensor.record(step)
    w = w - numpy.float32(0.5) * x
    for factor in (3, -2):
        x = x * numpy.float32(factor)
        inputs[...] = x
        result = recording.replay()
        w = w - numpy.float32(0.5) * x
        assert (numpy.asarray(weights) == w).all()
        numpy.testing.assert_allclose(numpy.asarray(result), (w * (w > 0) * 2).sum(0), rtol=1e-5)


def test_all_kinds_of_primitives_replay(device, generator):
    x = generator.normal(size=(2, 6, 6, 3)).astype(numpy.float32)
    w = generator.normal(size=(4, 3, 3, 3)).astype(numpy.float32)
    labels = tensor.asarray([1, 3])
    inputs, step = tensor.asarray(x), tensor.asarray([0])

    def forward():
        step[...] = step + 1
        y = tensor.max_pool2d(tensor.conv2d(inputs, tensor.asarray(w), padding=(1, 1)), (2, 2))
        y = y * tensor.random_uniform(y.shape, (1,), counter=step)
        logits = tensor.mean(y[:, ::-1], axis=(1, 2)) @ tensor.ones((4, 5))
        return tensor.softmax_cross_entropy(logits, labels), tensor.argmax(y.reshape(2, -1), 1)

    recording = tensor.record(forward)
    inputs[...] = x * 2
    replayed = [numpy.asarray(each) for each in recording.replay()]
    step[...] = 1
    plain = [numpy.asarray(each) for each in forward()]
    assert all((a == b).all() for a, b in zip(replayed, plain, strict=True))


def test_nothing_is_placed_where_a_replay_writes(device):
    x = tensor.ones(1000)

    def many_temporaries():
        y = x
        for _ in range(10):
            y = y * 2
        return tensor.sum(y)

    recording = tensor.record(many_temporaries)
    others = [tensor.full(1000, float(i)) for i in range(50)]
    total = recording.replay()
    assert float(total) == 1024 * 1000
    assert all((numpy.asarray(each) == i).all() for i, each in enumerate(others))


def test_a_launch_that_is_not_taken_directly_goes_through_pyopencl(opencl):
    x = tensor.ones((1000,))
    recording = tensor.record(lambda: x * 2.0 + 1.0)
    taken = list(recording._direct)
    assert len(taken) == 2
    if None in taken:
        pytest.skip("OpenCL's own function is not found here")
    for direct in ([lambda: -5] * 2, [None] * 2, taken):
        x[...] = x + 1.0
        recording._direct[:] = direct
        assert (numpy.asarray(recording.replay()) == numpy.asarray(x) * 2 + 1).all()


def test_memory_from_outside_stays_alive(device):
    def recorded():
        x = tensor.full(1000, 3.0)  # nobody but the recording knows it once this returns
        return tensor.record(lambda: tensor.sum(x * 1))

    recording = recorded()
    others = [tensor.full(1000, 9.0) for _ in range(20)]
    assert float(recording.replay()) == 3000
    assert len(others) == 20


def test_host_calls_run_at_their_place_in_each_replay(device):
    x, seen = tensor.zeros(4), []

    def step():
        x[...] = x + 1
        tensor.host_call(lambda: seen.append(float(tensor.sum(x))))
        x[...] = x * 2

    recording = tensor.record(step)
    recording.replay()
    recording.replay()
    assert seen == [4.0, 12.0, 28.0]
    tensor.host_call(lambda: seen.append("now"))
    assert seen[-1] == "now"


def test_values_written_while_recording_are_written_again(device):
    x = tensor.zeros(3)

    def step():
        values = numpy.array([1, 2, 3], numpy.float32)
        x[...] = x + tensor.asarray(values)
        x[1:] = values[1:]
        values[...] = 100

    recording = tensor.record(step)
    recording.replay()
    assert numpy.asarray(x).tolist() == [2, 2, 3]


def test_what_cannot_be_replayed_is_refused(device):
    x = tensor.ones(3)
    with pytest.raises(tensor.errors.RecordError, match="read on the host inside record"):
        tensor.record(lambda: float(tensor.sum(x)))
    with pytest.raises(tensor.errors.RecordError, match="one recording at a time"):
        tensor.record(lambda: tensor.record(lambda: x + 1))
    assert float(tensor.sum(x)) == 3  # nothing is being recorded after a failure


def test_a_replay_is_bit_equal_to_the_run(device, generator):
    x = tensor.asarray(generator.normal(size=(300, 200)).astype(numpy.float32))
    recording = tensor.record(lambda: tensor.sum(tensor.exp(x), axis=0))
    first = numpy.asarray(recording.result)
    assert (numpy.asarray(recording.replay()) == first).all()
    assert len(recording) > 0


def test_a_scope_inside_is_replayed(device):
    x = tensor.ones(1000)

    @tensor.scope()
    def step():
        x[...] = numpy.float32(1) + numpy.zeros(1000, numpy.float32)
        return tensor.sum(x * 2 + 1)

    recording = tensor.record(step)
    x[...] = 7
    assert float(recording.replay()) == 3000


def test_what_is_done_elsewhere_is_not_recorded_in_silence():
    first, *_, last = tensor.devices()
    if first is last:
        pytest.skip("needs two devices")
    x = tensor.ones(3, device=last)
    with (
        tensor.use_device(first),
        pytest.raises(tensor.errors.RecordError, match=f"Nothing was done on {first.spec}"),
    ):
        tensor.record(lambda: x + 1)
    assert numpy.asarray(tensor.record(lambda: x + 1, device=last).replay()).tolist() == [2, 2, 2]


@pytest.mark.usefixtures("no_garbage")
def test_recordings_of_many_sizes_leave_nothing_behind(opencl):
    def recorded(size):
        x = tensor.ones((size, 1000))
        return tensor.record(lambda: tensor.sum(tensor.exp(x) * 2, axis=0))

    def held():
        opencl.release_memory()  # of the arrays that recordings kept alive
        memory = tensor.memory()
        return memory.in_use_bytes + memory.held_bytes

    recordings = [recorded(400) for _ in range(4)]
    before = held()
    for size in range(1, 60):
        recordings.append(recorded(size))
        float(recordings.pop(0).replay()[0])
    assert held() < before


def test_the_memory_of_a_replay_is_its_own_even_if_the_pool_is_emptied(opencl):
    x = tensor.ones(100_000)
    expected = 100_000 * ((2 * 3 + 1) / 4)
    recording = tensor.record(lambda: tensor.sum((x * 2 * 3 + 1) / 4))
    recording.pool.free_held()  # what it does by itself when the device is full
    others = [tensor.zeros(100_000) for _ in range(8)]
    assert float(recording.replay()) == expected
    assert all(float(tensor.sum(each)) == 0 for each in others)
