"""One peer's arithmetic: sums that add up however they are cut, state that travels bit by bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mesh.codec.device
import nn
import tensor
from mesh import worker as workers
from mesh.datasets import Store
from mesh.errors import JobFailedError
from mesh.job import Job
from mesh.message import Push
from mesh.tasks import (
    Applied,
    Apply,
    BucketReady,
    Evaluate,
    Follow,
    Gradient,
    GradientDone,
    Install,
    Merge,
    Promote,
    Replay,
    Result,
    Save,
    Shadow,
    Snapshot,
    Task,
)
from mesh.worker import Worker
from tests.devices import best_devices

VIEW = (1, (0, ""))
DEVICES = best_devices()
JOB = Job(network=nn.models.lenet((8, 8, 1)), data="digits", codec="fp32", batch=120)
NORMED = replace(
    JOB,
    network=nn.Sequential(
        norm=nn.BatchNorm(1), flat=nn.Flatten(), fc=nn.Linear(64, 10), again=nn.BatchNorm(10)
    ),
)
LAYERWISE = replace(JOB, optimizer=nn.LAMB(lr=0.01))
AUGMENTED = replace(
    JOB,
    network=nn.Sequential(
        crop=nn.RandomCrop(8, padding=1),
        flip=nn.RandomHorizontalFlip(),
        flat=nn.Flatten(),
        fc=nn.Linear(64, 10),
    ),
)
IDS = np.random.default_rng(0).permutation(1500)[:120]


@pytest.fixture(scope="module")
def store() -> Store:
    return Store.of(nn.data.load("digits"))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def do(worker: Worker, task: Task) -> list[Result]:
    results: list[Result] = []
    with tensor.use_device(worker.device):
        if isinstance(task, Gradient):
            worker.view = task.view
        worker.execute(task, results.append)
    return results


def pushes(worker: Worker, step: int, ids: np.ndarray) -> dict[int, Push]:
    ready = [each for each in do(worker, Gradient(VIEW, step, ids)) if isinstance(each, BucketReady)]
    return {
        each.bucket: Push(VIEW, step, each.bucket, each.samples, each.loss, each.digest, each.payload)
        for each in ready
    }


def merged(worker: Worker, step: int, parts: list[dict[int, Push]]) -> tuple[bytes, ...]:
    buckets = range(len(worker.plan.buckets))
    return tuple(
        bytes(do(worker, Merge(VIEW, step, bucket, tuple(part[bucket] for part in parts)))[0].payload)
        for bucket in buckets
    )


def vector(payloads: tuple[bytes, ...]) -> np.ndarray:
    return np.frombuffer(b"".join(payloads), np.float32)


def train(some: list[Worker], steps: range) -> list[tuple[bytes, ...]]:
    """Let all of them apply the same UPDATEs, each worker's share of the samples in them; the UPDATEs."""
    made = []
    for step in steps:
        ids = np.random.default_rng(step).permutation(1500)[:120]
        parts = [pushes(each, step, ids[number :: len(some)]) for number, each in enumerate(some)]
        made.append(merged(some[0], step, parts))
        for each in some:
            do(each, Apply(step, made[-1]))
    return made


def weights(worker: Worker) -> np.ndarray:
    return np.asarray(worker.network.state).copy()


def test_gradient_is_the_mean_over_the_samples(store, device):
    """Against value_and_grad of the mean loss over the whole batch at once."""
    worker = Worker(JOB, store, device, None)
    got = vector(merged(worker, 1, [pushes(worker, 1, IDS)]))
    network = nn.load_definition(JOB.network).initialize(device, JOB.seed)
    with tensor.use_device(device):
        images = (
            tensor.astype(tensor.asarray(store.arrays["train_images"][IDS]), tensor.float32)
            * store.manifest.scale
        )
        labels = tensor.asarray(store.arrays["train_labels"][IDS].astype(np.int32))
        loss, _ = nn.value_and_grad(network, lambda: nn.softmax_cross_entropy(network(images), labels))()
    np.testing.assert_allclose(got, np.asarray(network.gradient), rtol=1e-4, atol=1e-6)
    total = sum(push.loss for push in [pushes(worker, 1, IDS)[0]])
    assert total / 120 == pytest.approx(float(loss), rel=1e-5)


def test_gradient_does_not_depend_on_micro_batches(store, device, monkeypatch):
    whole = vector(merged(*one_step(Worker(JOB, store, device, None))))
    monkeypatch.setattr(workers, "MICRO_BATCH", 50)
    pieces = vector(merged(*one_step(Worker(JOB, store, device, None))))
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}])
def test_of_a_text_the_gradient_is_the_mean_over_all_labels(device, options):
    tokens = np.random.default_rng(3).integers(0, 11, 400).astype(np.uint8)
    letters = Store.of(nn.data.Text("letters", "abcdefghijk", tokens[:300], tokens[300:]), length=8)
    small = nn.models.chargpt(11, context=8, depth=1, heads=2, channels=16)
    small.loss_options = options
    worker = Worker(Job(small, "letters", codec="fp32", batch=30, length=8), letters, device, None)
    ids = np.arange(5, 35)
    parts = [pushes(worker, 1, some) for some in (ids[:7], ids[7:])]
    got = vector(merged(worker, 1, parts))
    network = nn.load_definition(worker.job.network).initialize(device, 0)
    with tensor.use_device(device):
        x, y = map(tensor.asarray, letters.gather(ids))
        loss, _ = nn.value_and_grad(
            network, lambda: nn.losses.softmax_cross_entropy(network(x), y, **options)
        )()
        np.testing.assert_allclose(got, np.asarray(network.gradient), rtol=2e-4, atol=1e-6)
        assert sum(part[0].loss for part in parts) / 30 == pytest.approx(float(loss), rel=1e-5)
        (measured,) = do(worker, Evaluate(1))
        x, y = map(tensor.asarray, letters.test())
        logits = network.evaluate()(x)
        assert measured.loss == pytest.approx(float(nn.losses.of(network)(logits, y)), rel=1e-5)
        assert measured.accuracy == pytest.approx(float(nn.accuracy(logits, y)), abs=1e-6)


def one_step(worker: Worker) -> tuple[Worker, int, list[dict[int, Push]]]:
    return worker, 1, [pushes(worker, 1, IDS)]


@pytest.mark.parametrize("job", [JOB, AUGMENTED], ids=["lenet", "augmented"])
def test_shares_of_three_add_up_to_one(store, device, job):
    """Also where samples are varied: by their numbers, not by where they are computed."""
    worker = Worker(job, store, device, None)
    whole = vector(merged(worker, 1, [pushes(worker, 1, IDS)]))
    parts = [pushes(worker, 1, ids) for ids in (IDS[:1], IDS[1:50], IDS[50:])]
    np.testing.assert_allclose(vector(merged(worker, 1, parts)), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("job", "layer"), [(JOB, "conv2"), (NORMED, "norm")], ids=["lenet", "batch norm"])
def test_a_checkpoint_is_each_peers_own_choice(store, device, job, layer):
    """It sends the same bytes."""
    sent = [pushes(Worker(job, store, device, None, some), 1, IDS) for some in (None, 2, [layer])]
    assert all(
        bytes(each[bucket].payload) == bytes(push.payload)
        for each in sent[1:]
        for bucket, push in sent[0].items()
    )
    with pytest.raises(nn.NetworkError, match="names 'conv9'"):
        do(Worker(job, store, device, None, ["conv9"]), Gradient(VIEW, 1, IDS))


def test_running_statistics_follow_the_mean_of_all_shares(store, device, monkeypatch):
    """The first layer's: of the images themselves, whoever computes them and in however many pieces."""
    monkeypatch.setattr(workers, "MICRO_BATCH", 50)
    some = [Worker(NORMED, store, device, None) for _ in range(2)]
    parts = [pushes(each, 1, ids) for each, ids in zip(some, (IDS[:20], IDS[20:]), strict=True)]
    update = merged(some[0], 1, parts)
    for each in some:
        do(each, Apply(1, update))
    assert weights(some[0]).tobytes() == weights(some[1]).tobytes()
    images = store.arrays["train_images"][IDS] * np.float32(store.manifest.scale)
    pieces = [images[:20], images[20:70], images[70:]]
    spread = np.average([piece.var(ddof=1) for piece in pieces], weights=[20, 50, 50])
    buffers = some[0].network.buffers()
    assert float(buffers["norm.running_mean"][0]) == pytest.approx(0.1 * images.mean(), rel=1e-4)
    assert float(buffers["norm.running_var"][0]) == pytest.approx(0.9 + 0.1 * spread, rel=1e-4)


@pytest.mark.parametrize("codec", ["dettmers8", "adaptive8"])
def test_long_buckets_are_merged_and_applied_on_the_device_to_the_same_bits(
    store, device, codec, monkeypatch
):
    job = replace(JOB, codec=codec)
    on_host, on_device = (Worker(job, store, device, None) for _ in range(2))
    parts = [pushes(on_host, 1, IDS[number::3]) for number in range(3)]
    expected = merged(on_host, 1, parts)
    do(on_host, Apply(1, expected))
    monkeypatch.setattr(mesh.codec.device, "WORTH_LAUNCHING", 1)
    on_device.prepare()
    assert merged(on_device, 1, parts) == expected
    do(on_device, Apply(1, expected))
    np.testing.assert_array_equal(weights(on_device), weights(on_host))


@pytest.mark.parametrize("least", [1, 1 << 40])
def test_a_push_that_no_encoder_makes_is_named(store, device, least, monkeypatch):
    monkeypatch.setattr(mesh.codec.device, "WORTH_LAUNCHING", least)
    worker = Worker(replace(JOB, codec="dettmers8"), store, device, None)
    good = pushes(worker, 1, IDS)[0]
    bad = replace(good, payload=b"\xff" * len(good.payload))
    (spoiled,) = do(worker, Merge(VIEW, 1, 0, (good, good, bad)))
    assert (spoiled.number, spoiled.task.pushes[2]) == (2, bad)
    assert "block 0" in spoiled.reason


def test_buckets_come_last_layer_first_and_each_once(store, device):
    worker = Worker(JOB, store, device, None)
    order = [each.bucket for each in do(worker, Gradient(VIEW, 1, IDS)) if isinstance(each, BucketReady)]
    assert sorted(order) == list(range(len(worker.plan.buckets)))
    assert order[-1] == 0


@pytest.mark.parametrize("job", [JOB, NORMED], ids=["lenet", "batch norm"])
@pytest.mark.parametrize("codec", ["dettmers8", "fp32"])
def test_devices_that_are_fed_the_same_updates_hold_the_same_bits(store, codec, job):
    some = [Worker(replace(job, codec=codec), store, device, None) for device in DEVICES]
    if len(some) == 1:
        pytest.skip("NumPy alone here")
    train(some, range(1, 6))
    first, *rest = some
    for other in rest:
        assert weights(other).tobytes() == weights(first).tobytes()
        for name, state in first.optimizer.state.items():
            assert np.asarray(other.optimizer.state[name]).tobytes() == np.asarray(state).tobytes()
    payloads = tuple(first.codec.encode(np.zeros(bucket.size, np.float32)) for bucket in first.plan.buckets)
    digests = {do(each, Apply(6, payloads))[0].digest for each in some}
    assert len(digests) == 1


@pytest.mark.parametrize("job", [JOB, NORMED, LAYERWISE], ids=["lenet", "batch norm", "lamb"])
def test_snapshot_and_replay_lead_to_the_same_bits(store, device, job):
    teacher, learner = (Worker(job, store, device, None) for _ in range(2))
    train([teacher], range(1, 4))
    (snapshot,) = do(teacher, Snapshot("learner", 3))
    assert max(map(len, snapshot.parts)) <= workers.PART_BYTES
    after = train([teacher], range(4, 7))
    do(learner, Install(3, snapshot.parts))
    for step, payloads in enumerate(after, 4):
        do(learner, Replay(step, payloads))
    (promoted,) = do(learner, Promote(6, orphan=False))
    assert weights(learner).tobytes() == weights(teacher).tobytes()
    both = [merged_apply(each) for each in (teacher, learner)]
    assert both[0] == both[1]  # the optimizer's state came along
    assert isinstance(promoted, Applied)


def test_lamb_goes_by_the_networks_parameters(store):
    """As its own step does, and not as if the vector were one parameter."""
    worker = Worker(LAYERWISE, store, "numpy", None)
    network = nn.load_definition(LAYERWISE.network).initialize("numpy", LAYERWISE.seed)
    own = nn.load_optimizer(LAYERWISE.optimizer)
    own.initialize(network.vector, network.table)
    (update,) = train([worker], range(1, 2))
    own.step(network.vector, tensor.asarray(vector(update), device="numpy"))
    assert weights(worker).tobytes() == np.asarray(network.vector).tobytes()


def merged_apply(worker: Worker) -> int:
    payloads = tuple(
        worker.codec.encode(np.full(bucket.size, 0.01, np.float32)) for bucket in worker.plan.buckets
    )
    return int(do(worker, Apply(7, payloads))[0].digest)


def test_state_of_another_network_is_refused(store):
    worker = Worker(JOB, store, "numpy", None)
    with pytest.raises(JobFailedError, match="state"):
        do(worker, Install(3, (bytes(400),)))


@pytest.mark.parametrize("codec", ["dettmers8", "fp32"])
def test_thin_peer_follows_the_weights(store, device, codec):
    job = replace(JOB, codec=codec)
    full, thin = Worker(job, store, device, None), Worker(job, store, device, None)
    buckets = tuple(range(len(full.plan.buckets)))
    for step in range(1, 8):
        train([full], range(step, step + 1))
        shadows = do(full, Shadow(VIEW, step, step == 1, buckets))
        payloads = tuple(each.payload for each in sorted(shadows, key=lambda each: each.bucket))
        do(thin, Follow(step, step == 1, payloads))
        error = np.abs(weights(thin) - weights(full)).max()
        assert error <= (2e-3 if codec == "dettmers8" else 1e-6) * (8 if step == 1 else 1)
    do(thin, Promote(7, orphan=True))
    for state in thin.optimizer.state.values():
        assert not np.asarray(state).any()


def test_every_full_peer_can_cast_the_same_shadow(store):
    some = [Worker(replace(JOB, codec="dettmers8"), store, device, None) for device in DEVICES]
    for step in (1, 2):
        train(some, range(step, step + 1))
        shadows = [do(each, Shadow(VIEW, step, step == 1, (0, 1))) for each in some]
        for other in shadows[1:]:
            assert [bytes(each.payload) for each in other] == [bytes(each.payload) for each in shadows[0]]


def test_loss_that_is_not_finite_ends_the_job(store, device):
    worker = Worker(JOB, store, device, None)
    worker.network.vector[...] = np.full(worker.plan.parameters, 1e30, np.float32)
    with (
        pytest.raises(
            JobFailedError, match=r"step 1: .* The first layer with one is 'conv\w*' \(Conv2d\)"
        ) as error,
        np.errstate(all="ignore"),
    ):
        do(worker, Gradient(VIEW, 1, IDS))
    assert error.value.exit_code == 1
    assert "--lr" in str(error.value)


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_gradients_in_mixed_precision_are_close(store, device, precision, error, monkeypatch):
    """In micro-batches too, running statistics among them; and the exact state stays float32."""
    monkeypatch.setattr(workers, "MICRO_BATCH", 50)
    exact = vector(merged(*one_step(Worker(NORMED, store, device, None))))
    worker = Worker(replace(NORMED, precision=precision), store, device, None)
    (update,) = train([worker], range(1, 2))
    assert weights(worker).dtype == np.float32
    got = vector(merged(*one_step(Worker(replace(NORMED, precision=precision), store, device, None))))
    assert 0 < np.linalg.norm(got - exact) < error * np.linalg.norm(exact)
    assert len(vector(update)) == len(exact)


def test_what_is_not_finite_before_the_first_step_is_traced_to_its_layer(store):
    worker = Worker(JOB, store, "numpy", None)
    worker.network.vector[...] = 1e38
    with pytest.raises(JobFailedError, match=r"^A gradient of samples of zeros is not finite\. .* layer"):
        worker.prepare()


def test_what_is_beyond_float16_ends_the_job(store):
    worker = Worker(replace(JOB, precision="float16"), store, "numpy", None)
    worker.network.vector[...] = np.asarray(worker.network.vector) * np.float32(4000)
    with pytest.raises(JobFailedError, match=r"step 1: .* not finite"):
        do(worker, Gradient(VIEW, 1, IDS))


def test_a_sample_that_breaks_a_layer_is_found_by_whom_it_was_dealt_to(store, device, monkeypatch):
    """In the second piece of a share; and a peer with other samples sees nothing of it."""
    monkeypatch.setattr(workers, "MICRO_BATCH", 20)
    sums = store.arrays["train_images"].sum(axis=(1, 2, 3)) * float(store.manifest.scale)
    brightest = int(np.argmax(sums))
    next_one = float(np.sort(sums)[-2])
    assert sums[brightest] > next_one

    class Steep(nn.Layer):
        def forward(self, x: tensor.Array) -> tensor.Array:
            total = tensor.sum(x, axis=(1, 2, 3))
            return (
                x
                + tensor.log(tensor.maximum((sums[brightest] + next_one) / 2 - total, 0.0))[
                    :, None, None, None
                ]
                * 1e-9
            )

    worker = Worker(JOB, store, device, None)
    steep = Steep()
    conv = worker.network.forward
    worker.network.steep = steep
    monkeypatch.setattr(worker.network, "forward", lambda x: conv(steep(x)), raising=False)
    others = np.array([i for i in range(60) if i != brightest][:30])
    assert any(isinstance(each, GradientDone) for each in do(worker, Gradient(VIEW, 7, others)))
    with pytest.raises(
        JobFailedError, match=r"step 7: .* is 'steep' \(Steep\): its output has -inf at \[14, 0, 0, 0\]"
    ):
        do(worker, Gradient(VIEW, 7, np.array([*others[:29], brightest])))


def test_gradient_of_an_older_view_is_given_up(store, monkeypatch):
    monkeypatch.setattr(workers, "MICRO_BATCH", 10)
    worker = Worker(JOB, store, "numpy", None)
    worker.view = (2, (1, "a"))
    results: list[Result] = []
    with tensor.use_device("numpy"):
        worker.execute(Gradient(VIEW, 1, IDS), results.append)
    assert results == []


def test_measuring_and_saving(store, device, tmp_path: Path):
    worker = Worker(JOB, store, device, tmp_path)
    train([worker], range(1, 9))
    (measured,) = do(worker, Evaluate(8))
    with tensor.use_device(worker.device):
        worker.network.evaluate()
        images, labels = store.test()
        x = tensor.asarray(images.astype(np.float32) * np.float32(store.manifest.scale))
        guessed = np.asarray(worker.network(x)).argmax(axis=1)
        worker.network.train()
    assert measured.accuracy == pytest.approx((guessed == labels).mean(), abs=1e-6)
    (saved,) = do(worker, Save(8))
    assert Path(saved.path).parent == tmp_path
    assert do(Worker(JOB, store, device, None), Save(8)) == []  # without a folder nothing is written


def test_preparing_learns_nothing(store, device):
    worker = Worker(JOB, store, device, None)
    before = weights(worker)
    with tensor.use_device(worker.device):
        prepared = worker.prepare()
    assert weights(worker).tobytes() == before.tobytes()
    assert not any(np.asarray(state).any() for state in worker.optimizer.state.values())
    assert prepared.speed > 0
    assert prepared.plan.parameters == before.size
