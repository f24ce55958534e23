"""Generators: the same bits on every device, the distributions that they claim, a state that can be kept."""

import json
import math

import numpy
import pytest

import tensor
from tensor.random import Generator, default_rng
from tensor.random_draws import _bits, _normal, _normal_pair, draw_integers, draw_normal, draw_uniform

GPU_KERNELS_TOO = True

DRAWS = {
    "random": lambda rng: rng.random((7, 11)),
    "uniform": lambda rng: rng.uniform(-2, 5, (1000,)),
    "normal": lambda rng: rng.normal(shape=(50_001,)),
    "normal with mean": lambda rng: rng.normal(3, 0.5, (100,)),
    "integers": lambda rng: rng.integers(1000, shape=(333,)),
    "int8": lambda rng: rng.integers(-100, 100, (5, 5), tensor.int8, endpoint=True),
    "rejecting": lambda rng: rng.integers(-5, 2**31 + 2**30, (1001,), tensor.int64),
    "all of uint32": lambda rng: rng.integers(0, 2**32, (77,), tensor.uint32),
    "wide": lambda rng: rng.integers(-(2**40), 2**41, (99,)),
    "wide rejecting": lambda rng: rng.integers(0, 2**63 + 2**62, (501,), tensor.uint64),
    "all of int64": lambda rng: rng.integers(-(2**63), 2**63, (9,)),
    "one": lambda rng: rng.integers(4, 5, (3,)),
    "number": lambda rng: rng.normal(),
    "nothing": lambda rng: rng.random((0, 3)),
    "bernoulli": lambda rng: rng.bernoulli(0.3, (100,)),
    "permutation": lambda rng: rng.permutation(500),
    "choice": lambda rng: rng.choice(10, (4, 4)),
    "choice without": lambda rng: rng.choice(40, 13, replace=False),
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_device_draws_numpys_bits(device, name):
    ours, truth = default_rng((5, 6)), default_rng((5, 6), device="numpy")
    for _ in range(2):
        x, wanted = DRAWS[name](ours), DRAWS[name](truth)
        assert x.device is device
        assert x.dtype == wanted.dtype
        assert x.shape == wanted.shape
        assert x.numpy().tobytes() == wanted.numpy().tobytes()


def test_slices_of_a_stream_are_the_stream(device):
    counter = tensor.asarray([9], tensor.uint64)
    kinds = [
        (draw_uniform, {}),
        (draw_normal, {}),
        (draw_integers, {"low": -3, "span": 2**31 + 5, "dtype": tensor.int64}),
        (draw_integers, {"low": 0, "span": 2**63 + 5, "dtype": tensor.uint64}),
    ]
    for draw, options in kinds:
        whole = draw(counter, shape=(300,), key=8, number=1, offset=0, **options).numpy()
        for offset in (1, 2, 3, 130):
            part = draw(counter, shape=(170,), key=8, number=1, offset=offset, **options).numpy()
            assert (part == whole[offset : offset + 170]).all()


def kolmogorov_smirnov(x, distribution):
    """The largest distance between the distribution of x and the one given, times sqrt(n): above 2.2 in 1 of
    8,000."""
    x = numpy.sort(x.astype(numpy.float64))
    expected = distribution(x)
    steps = numpy.arange(len(x) + 1) / len(x)
    return max((steps[1:] - expected).max(), (expected - steps[:-1]).max()) * math.sqrt(len(x))


def normal_distribution(x):
    return numpy.array([math.erfc(-each / math.sqrt(2)) / 2 for each in x])


def test_distributions():
    rng = default_rng(1, device="numpy")
    n = 100_000
    assert kolmogorov_smirnov(rng.random(n).numpy(), lambda x: x) < 2.2
    assert kolmogorov_smirnov(rng.uniform(-3, 1, n).numpy(), lambda x: (x + 3) / 4) < 2.2
    z = rng.normal(0, 1, n).numpy()
    assert kolmogorov_smirnov(z, normal_distribution) < 2.2
    assert kolmogorov_smirnov(z[::2] + z[1::2], lambda x: normal_distribution(x / math.sqrt(2))) < 2.2
    moments = [(z.astype(numpy.float64) ** k).mean() for k in (1, 2, 3, 4)]
    spreads = [math.sqrt(each / n) for each in (1, 2, 15, 96)]
    for moment, wanted, spread in zip(moments, (0, 1, 0, 3), spreads, strict=True):
        assert abs(moment - wanted) < 4 * spread
    assert abs(rng.normal(5, 2, n).numpy().std() - 2) < 0.02
    for low, high in ((0, 10), (-7, 6), (2**40, 2**40 + 10)):
        drawn = rng.integers(low, high, n).numpy()
        counts = numpy.bincount(drawn - low, minlength=high - low)
        assert len(counts) == high - low
        assert ((counts - n / len(counts)) ** 2 / (n / len(counts))).sum() < 45
    hits = rng.bernoulli(0.3, n).numpy().mean()
    assert abs(hits - 0.3) < 4 * math.sqrt(0.21 / n)


def test_ranges_that_modulo_would_skew_are_even():
    top = 3 * 2**30  # of 2^32: the lower third would come twice as often
    drawn = default_rng(2, device="numpy").integers(0, top, 90_000).numpy()
    counts = numpy.bincount(drawn // 2**30, minlength=3)
    assert ((counts - 30_000) ** 2 / 30_000).sum() < 20
    drawn = default_rng(2, device="numpy").integers(0, 3 * 2**62, 90_000, tensor.uint64).numpy()
    counts = numpy.bincount((drawn // 2**62).astype(int), minlength=3)
    assert ((counts - 30_000) ** 2 / 30_000).sum() < 20


def test_normal_numbers_are_those_of_the_equation():
    counter = numpy.zeros(1, numpy.uint64)
    bits = _bits(counter, 200_000, 3, 0, 0, 1).astype(numpy.float64)
    radius = numpy.sqrt(-2 * numpy.log(bits[::2].astype(numpy.float32) * 2.0**-32 + 2.0**-33))
    angle = 2 * numpy.pi * bits[1::2] * 2.0**-32
    truth = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], 1).reshape(-1)
    ours = _normal(counter, (200_000,), 3, 0, 0)
    assert abs(ours - truth).max() < 1.5e-6
    assert numpy.median(abs(ours - truth) / numpy.spacing(abs(truth).astype(numpy.float32))) < 1
    edges = numpy.array([0, 2**32 - 1, 2**31, 2**29 - 1, 2**29, 7 * 2**29], numpy.uint32)
    for u in edges:
        for v in edges:
            pair = _normal_pair(numpy.array([u]), numpy.array([v]))
            assert all(numpy.isfinite(each).all() and abs(each).max() < 6.78 for each in pair)


def test_streams_are_independent():
    n = 50_000
    streams = [
        default_rng(seed, device="numpy").random(n).numpy() for seed in (0, 1, (0, 1), (1, 0), (0, 0), -1)
    ]
    rng = default_rng(0, device="numpy")
    streams += [rng.random(n).numpy() for _ in range(3)][1:]
    streams.append(tensor.random_uniform(n, 0, device="numpy").numpy())
    correlations = numpy.corrcoef(streams) - numpy.eye(len(streams))
    assert abs(correlations).max() < 5 / math.sqrt(n)
    assert default_rng().seed != default_rng().seed


def test_a_state_goes_on_where_it_was_taken(device):
    rng = default_rng(11)
    rng.random(5)
    state = json.loads(json.dumps(rng.state))
    assert state == {"seed": [11], "counter": 1}
    following = [rng.normal(shape=4).numpy(), rng.integers(100, shape=4).numpy()]
    other = Generator(device="numpy")
    other.state = state
    rng.state = state
    for each in (rng, other):
        again = [each.normal(shape=4).numpy(), each.integers(100, shape=4).numpy()]
        assert all((a == b).all() for a, b in zip(again, following, strict=True))


def test_a_replay_draws_what_the_calls_would_draw(device):
    plain, rng = default_rng(3), default_rng(3)
    truth = [plain.random(4).numpy() for _ in range(12)]
    assert (rng.random(4).numpy() == truth[0]).all()

    def step():
        return rng.random(4), rng.random(4)

    with tensor.scope() as inside:  # which must not take the counter away
        recording = tensor.record(step)
        inside.keep(recording.result)
        drawn = [each.numpy() for each in recording.result]
    drawn += [each.numpy() for each in recording.replay()]
    drawn.append(rng.random(4).numpy())
    drawn += [each.numpy() for each in recording.replay()]
    assert all((a == b).all() for a, b in zip(drawn, truth[1:], strict=False))
    assert rng.state["counter"] == 8
    rng.state = {"seed": [3], "counter": 2}
    drawn = [each.numpy() for each in recording.replay()] + [rng.random(4).numpy()]
    assert all((a == b).all() for a, b in zip(drawn, truth[2:5], strict=True))
    with pytest.raises(tensor.errors.RecordError, match="make a new generator"):
        rng.state = {"seed": [4], "counter": 0}


def test_orders_and_choices(device):
    rng = default_rng(4)
    order = rng.permutation(1000).numpy()
    assert order.dtype == numpy.int64
    assert sorted(order.tolist()) == list(range(1000))
    assert abs(numpy.corrcoef(order, numpy.arange(1000))[0, 1]) < 0.15
    firsts = numpy.bincount([int(rng.permutation(3)[0]) for _ in range(300)], minlength=3)
    assert ((firsts - 100) ** 2 / 100).sum() < 20
    rows = numpy.arange(40, dtype=numpy.float32).reshape(20, 2)
    x = tensor.asarray(rows)
    mixed = rng.permutation(x).numpy()
    assert (x.numpy() == rows).all()
    assert not (mixed == rows).all()
    assert sorted(mixed.tolist()) == rows.tolist()
    rng.shuffle(x)
    assert sorted(x.numpy().tolist()) == rows.tolist()
    assert not (x.numpy() == rows).all()
    view = tensor.asarray(rows)
    rng.shuffle(view[5:, 0])
    assert sorted(view.numpy()[5:, 0].tolist()) == rows[5:, 0].tolist()
    assert (view.numpy()[:5] == rows[:5]).all()
    picked = rng.choice(x, (3, 4)).numpy()
    assert picked.shape == (3, 4, 2)
    assert all(each in rows.tolist() for each in picked.reshape(-1, 2).tolist())
    assert len(set(rng.choice(50, 50, replace=False).numpy().tolist())) == 50
    assert rng.choice(5).shape == ()
    assert rng.choice(0, 0).shape == (0,)
    assert rng.permutation(0).shape == (0,)


def test_wrong_arguments_are_errors():
    rng = default_rng(0, device="numpy")
    for arguments, options in [
        ((5, 5), {}),
        ((-1,), {}),
        ((0, 300), {"dtype": tensor.uint8}),
        ((0, 2**63), {"endpoint": True}),
    ]:
        with pytest.raises(tensor.errors.NumberError, match="expected a range within"):
            rng.integers(*arguments, **options)
    with pytest.raises(tensor.errors.DTypeError, match="integer dtype"):
        rng.integers(3, dtype=tensor.float32)
    with pytest.raises(tensor.errors.NumberError, match="at most 3 picks"):
        rng.choice(3, 4, replace=False)
    with pytest.raises(tensor.errors.NumberError, match="picks"):
        rng.choice(0, 1)
    with pytest.raises(tensor.errors.ShapeError, match="no rows"):
        rng.permutation(tensor.asarray(1.0, device="numpy"))
    with pytest.raises(tensor.errors.ShapeError, match="not negative"):
        rng.random((2, -1))
