"""Temporaries of a recording share memory, and never what is still needed."""

from itertools import combinations

import numpy
import pytest

import tensor
from tensor.replay_memory import Span, placed

MIB = 2**20


@pytest.mark.parametrize("most_bytes", [10**9, 40_000])
def test_spans_of_overlapping_times_lie_apart(generator, most_bytes):
    spans = []
    for _ in range(300):
        first = int(generator.integers(0, 500))
        spans.append(Span(first, first + int(generator.integers(0, 60)), int(generator.integers(1, 10_000))))
    places, sizes = placed(spans, 128, most_bytes)
    laid = list(zip(spans, places, strict=True))
    for span, place in laid:
        assert place.offset_bytes % 128 == 0
        assert place.offset_bytes + span.size_bytes <= sizes[place.slab] <= most_bytes
    for (a, at), (b, bt) in combinations(laid, 2):
        if at.slab == bt.slab and a.first <= b.last and b.first <= a.last:
            apart = at.offset_bytes - bt.offset_bytes
            assert apart >= b.size_bytes if apart >= 0 else -apart >= a.size_bytes
    at_once = max(sum(s.size_bytes for s in spans if s.first <= t <= s.last) for t in range(560))
    assert sum(sizes) < 1.3 * at_once
    assert (len(sizes) > 1) == (most_bytes < at_once)


def test_a_slab_without_parts_holds_one_span_at_a_time(generator):
    """What devices ask for on which parts of a buffer cost time, such as NVIDIA's."""
    starts = [int(each) for each in generator.integers(0, 500, 300)]
    spans = [Span(each, each + int(generator.integers(0, 60)), each + 1) for each in starts]
    places, sizes = placed(spans, 128, 0)
    laid = list(zip(spans, places, strict=True))
    assert all(at.offset_bytes == 0 and span.size_bytes <= sizes[at.slab] for span, at in laid)
    for (a, at), (b, bt) in combinations(laid, 2):
        assert at.slab != bt.slab or a.last < b.first or b.last < a.first
    assert len(sizes) < 1.5 * max(sum(s.first <= t <= s.last for s in spans) for t in range(560))


@pytest.mark.usefixtures("no_garbage")
def test_a_recording_needs_what_the_first_run_needed(device):
    x = tensor.ones(4 * MIB)

    def step():
        y = x
        for factor in (4, 3, 2, 1):  # of sizes that no pool of equal pieces could use again
            y = tensor.tile(tensor.sum(y.reshape(4, -1), axis=0), (factor,)) * 0.25
        return tensor.sum(y)

    first = tensor.device(device)
    first.reset_peak_memory()
    before = first.memory().in_use_bytes
    expected = float(step())
    peak_bytes = first.memory().peak_bytes - before
    first.release_memory()
    memory = first.memory()
    recording = tensor.record(step)
    after = first.memory()
    grown = after.in_use_bytes + after.held_bytes - memory.in_use_bytes - memory.held_bytes
    assert grown <= 1.01 * peak_bytes
    assert float(recording.replay()) == expected
    x[...] = 2.0
    assert float(recording.replay()) == 2 * expected


@pytest.mark.parametrize("seed", range(4))
def test_any_program_replays_as_it_runs(device, seed):
    """Temporaries of many sizes, used early and late, views of them, and writing into some."""
    sizes = numpy.random.default_rng(seed).integers(20_000, 200_000, 8)
    inputs = [tensor.zeros(int(size)) for size in sizes]

    def program():
        choice = numpy.random.default_rng(seed)
        arrays = [x + 1.0 for x in inputs]
        for _ in range(40):
            i, j = (int(each) for each in choice.integers(0, len(arrays), 2))
            a, b = arrays[i], arrays[j]
            length = min(a.size, b.size)
            match int(choice.integers(0, 5)):
                case 0:
                    arrays[i] = a[:length] * 0.5 + b[a.size and b.size - length :] * 0.25
                case 1:
                    arrays[i] = tensor.concat([a[length // 2 :], b[: length // 3]])
                case 2:
                    a[length // 2 : length] = b[length // 2 : length]
                case 3:
                    arrays[i] = tensor.flip(a) - tensor.mean(b)
                case 4:
                    arrays[j] = tensor.maximum(b, tensor.sum(a[:7]))
        return arrays[0] * 1.0, [tensor.sum(x) for x in arrays]

    recording = tensor.record(program)
    generator = numpy.random.default_rng(seed)
    for _ in range(2):
        for x in inputs:
            x[...] = generator.standard_normal(x.size).astype(numpy.float32)
        whole, sums = recording.replay()
        expected, expected_sums = program()
        assert (numpy.asarray(whole) == numpy.asarray(expected)).all()
        assert [float(each) for each in sums] == [float(each) for each in expected_sums]
        assert numpy.asarray(whole).any()
