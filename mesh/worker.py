"""The arithmetic of one peer: a network, an optimizer, a codec, and every task that the event loop may ask
of them.

Three sets of weights may live here. `network.vector` computes. A full peer's is exact; beside it stands Ŵ,
which thin peers have, as long as the view has any. A thin peer computes with Ŵ itself, and a learner's
exact vector grows beside it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import nn
import tensor
from mesh import codec as codecs
from mesh.codec import CodecError
from mesh.codec.base import Sum
from mesh.datasets import Store
from mesh.errors import JobFailedError
from mesh.job import Job
from mesh.message import Payload
from mesh.plan import Plan
from mesh.run import CHECKPOINT
from mesh.schedule import Bucket
from mesh.tasks import (
    Applied,
    Apply,
    BucketReady,
    Evaluate,
    Follow,
    Gradient,
    GradientDone,
    Install,
    Measured,
    Merge,
    Merged,
    Prepared,
    Promote,
    Replay,
    Result,
    Save,
    Saved,
    Shadow,
    ShadowReady,
    Snapshot,
    SnapshotReady,
    Spoiled,
    Task,
)
from mesh.view import ViewKey

MICRO_BATCH = (
    128  # samples computed at a time: bounds memory, and how late a worker notices that its view is over
)
RECORDINGS_MOST = 4
TEST_BATCH = 500
PART_BYTES = 1 << 20
FLOAT16_SCALE = 256.0  # of losses that are summed over samples: the same on all peers, and for the whole job

Emit = Callable[[Result], None]


class Worker:
    """Does tasks one after the other on one device; results go to `emit` as soon as they are there.

    `view` is the key of the view that the last gradient was asked in: a gradient of an older one is given up.
    `checkpoint` is that of `nn.value_and_grad`: less memory on this peer, and the same bits.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        device: str | None,
        run: Path | None,
        checkpoint: nn.Checkpoint = None,
    ) -> None:
        self.job = job
        self.store = store
        self.device = tensor.device(device)
        self.view: ViewKey | None = None
        self.network = nn.load_definition(job.network).initialize(self.device, job.seed)
        self.optimizer = nn.load_optimizer(job.optimizer)
        self.optimizer.initialize(self.network.vector, self.network.table)
        self.codec = codecs.by_name(job.codec, job.block)
        samples = store.manifest.samples
        evaluate_every = job.evaluate_every or max(samples // job.batch, 1)
        self.plan = Plan(job.steps, job.batch, samples, job.seed, self.network.state.size, evaluate_every)
        self._run = run
        self.checkpoint: nn.Checkpoint = checkpoint
        self._digest = 0
        self._steps = _Steps(self)
        self._shadow = np.zeros(self.plan.parameters, np.float32)
        self._exact: tensor.Array | None = None
        self._exact_optimizer = nn.load_optimizer(job.optimizer)

    def prepare(self) -> Prepared:
        """Compile all that training needs and measure this device's speed, on blank samples: nothing is
        learnt.

        So no member ever keeps the others waiting for a compiler.
        """
        speeds = [self._warm_up(size) for size in sorted({1, 8, min(self.plan.batch, MICRO_BATCH)})]
        blank = tensor.zeros(self.network.state.shape, dtype=tensor.float32, device=self.device)
        optimizer = nn.load_optimizer(self.job.optimizer)
        optimizer.initialize(self.network.vector, self.network.table)
        first = self.plan.buckets[0]
        total = self._empty_sum(first.size)
        payload = self.codec.encode(total)
        self.codec.decode_add(payload, total)
        total /= 1.0
        self._decode_bucket(blank, first, payload)
        self.network.advance(optimizer, blank, blank.copy())
        tensor.checksum(blank)
        images, labels = self._blank(TEST_BATCH)
        self._measure(images, labels)
        return Prepared(self.plan, self.device.name, speeds[-1])

    def _blank(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        manifest = self.store.manifest
        dtype = np.int32 if manifest.length else np.uint8
        return np.zeros((samples, *manifest.sample_shape), dtype), np.zeros(
            (samples, *manifest.label_shape), np.int32
        )

    def _warm_up(self, samples: int) -> float:
        """Samples/s of the second of two gradients, all of it encoded."""
        images, labels = self._blank(samples)
        seconds = 0.0
        for _ in range(2):
            begin = time.perf_counter()
            try:
                self._steps.run(0, np.arange(samples), images, labels, self._encode)
            except CodecError as error:
                why = self._steps.first_non_finite(0, np.arange(samples), images, labels)
                raise JobFailedError(f"A gradient of samples of zeros is not finite. {why}") from error
            self.device.synchronize()
            seconds = time.perf_counter() - begin
        return samples / seconds

    def _encode(self, bucket: int) -> bytes:
        """One bucket of the gradient as it travels."""
        span = self.plan.buckets[bucket]
        return self.codec.encode(self.network.change[span.start : span.stop])

    def execute(self, task: Task, emit: Emit) -> None:
        """Do one task. Raises MeshError where it cannot be done."""
        match task:
            case Gradient():
                self._gradient(task, emit)
            case Merge():
                emit(self._merge(task))
            case Apply(step, payloads):
                self._decode_into(self.network.change, payloads)
                self.optimizer.at_step(step)
                self.network.advance(self.optimizer)
                emit(self._applied(step))
            case Shadow():
                self._cast_shadow(task, emit)
            case Follow(_, fresh, payloads):
                self._follow(fresh, payloads)
            case Snapshot(peer, step):
                emit(SnapshotReady(peer, step, self._state_parts()))
            case Install(_, parts):
                self._install(parts)
            case Replay(step, payloads):
                assert self._exact is not None
                scratch = tensor.empty(self._exact.shape, dtype=tensor.float32, device=self.device)
                self._decode_into(scratch, payloads)
                self._exact_optimizer.at_step(step)
                self.network.advance(self._exact_optimizer, self._exact, scratch)
            case Promote(step, orphan):
                self._promote(orphan)
                emit(self._applied(step))
            case Evaluate(step):
                emit(self._evaluate(step))
            case Save(step):
                self._save(step, emit)

    # ---- one step ----

    def _gradient(self, task: Gradient, emit: Emit) -> None:
        begin = time.perf_counter()
        images, labels = self.store.gather(task.ids)

        def send(bucket: int) -> None:
            try:
                payload = self._encode(bucket)
            except CodecError as error:
                raise _NotFinite("a gradient is not finite") from error
            loss = self._steps.loss()
            if not np.isfinite(loss):
                raise _NotFinite(f"the loss is {loss}")
            emit(BucketReady(task.view, task.step, bucket, len(task.ids), loss, self._digest, payload))

        try:
            done = self._steps.run(task.step, task.ids, images, labels, send, lambda: self.view != task.view)
        except _NotFinite as what:
            why = self._steps.first_non_finite(task.step, task.ids, images, labels)
            raise JobFailedError(f"step {task.step}: {what}. {why}") from what
        if done:
            emit(GradientDone(task.view, task.step, len(task.ids), time.perf_counter() - begin))

    def _merge(self, task: Merge) -> Merged | Spoiled:
        total = self._empty_sum(self.plan.buckets[task.bucket].size)
        for number, push in enumerate(task.pushes):
            try:
                self.codec.decode_add(push.payload, total)
            except CodecError as error:
                return Spoiled(task, number, str(error))
        total /= float(sum(push.samples for push in task.pushes))
        return Merged(task.view, task.step, task.bucket, self.codec.encode(total))

    def _empty_sum(self, size: int) -> Sum:
        """float32[size] of zeros, where payloads are added up sooner."""
        if self.codec.is_sooner_on(self.device, size):
            return tensor.zeros(size, dtype=tensor.float32, device=self.device)
        return np.zeros(size, np.float32)

    def _applied(self, step: int) -> Applied:
        self._digest = tensor.checksum(self.network.state)
        return Applied(step, self._digest)

    def _decode_into(self, vector: tensor.Array, payloads: tuple[Payload, ...]) -> None:
        for span, payload in zip(self.plan.buckets, payloads, strict=True):
            self._decode_bucket(vector, span, payload)

    def _decode_bucket(self, vector: tensor.Array, span: Bucket, payload: Payload) -> None:
        if self.codec.is_sooner_on(self.device, span.size):
            vector[span.start : span.stop] = self.codec.decode_array(payload, span.size, self.device)
        else:
            vector[span.start : span.stop] = self.codec.decode(payload, span.size)

    # ---- thin peers ----

    def _cast_shadow(self, task: Shadow, emit: Emit) -> None:
        """Ŵ += decode(encode(W − Ŵ)), bucket by bucket, from Ŵ = 0 in a new view."""
        if task.fresh:
            self._shadow[:] = 0
        weights = np.asarray(self.network.state)
        for bucket, span in enumerate(self.plan.buckets):
            shadow = self._shadow[span.start : span.stop]
            payload = self.codec.encode(weights[span.start : span.stop] - shadow)
            self.codec.decode_add(payload, shadow)
            if bucket in task.buckets:
                emit(ShadowReady(task.view, task.step, bucket, self._digest, payload))

    def _follow(self, fresh: bool, payloads: tuple[Payload, ...]) -> None:
        if fresh:
            self._shadow[:] = 0
        for span, payload in zip(self.plan.buckets, payloads, strict=True):
            self.codec.decode_add(payload, self._shadow[span.start : span.stop])
        self.network.state[...] = self._shadow

    # ---- exact state on its way to a learner ----

    def _state_parts(self) -> tuple[Payload, ...]:
        """Parameters and buffers, then the optimizer's vectors in the order of their names, as float32 bytes
        in
        parts."""
        vectors = _exact_state(self.network.state, self.optimizer)
        state = np.concatenate([np.asarray(vector) for vector in vectors]).data.cast("B")
        return tuple(state[start : start + PART_BYTES] for start in range(0, len(state), PART_BYTES))

    def _install(self, parts: tuple[Payload, ...]) -> None:
        self._exact = tensor.zeros(self.network.state.shape, dtype=tensor.float32, device=self.device)
        self._exact_optimizer.initialize(self.network.vector, self.network.table)
        state = b"".join(parts)
        vectors = _exact_state(self._exact, self._exact_optimizer)
        needed = 4 * sum(vector.size for vector in vectors)
        if len(state) != needed:
            raise JobFailedError(f"a peer's state has {len(state)} bytes, this network needs {needed}")
        values, at = np.frombuffer(state, np.float32), 0
        for vector in vectors:
            vector[...] = values[at : at + vector.size]
            at += vector.size

    def _promote(self, orphan: bool) -> None:
        if orphan:
            self.optimizer.initialize(self.network.vector, self.network.table)
            return
        assert self._exact is not None
        self.network.state[...] = self._exact
        self.optimizer, self._exact_optimizer = self._exact_optimizer, self.optimizer
        self._exact = None

    # ---- measuring and keeping ----

    def _evaluate(self, step: int) -> Measured:
        accuracy, loss = self._measure(*self.store.test())
        return Measured(step, accuracy, loss)

    def _measure(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """Accuracy and mean loss a label of the present weights, on samples as `Store.test` gives them."""
        self.network.evaluate()
        right, loss = 0.0, 0.0
        for start in range(0, len(images), TEST_BATCH):
            x = self._steps.as_input(tensor.asarray(images[start : start + TEST_BATCH], device=self.device))
            y = tensor.asarray(labels[start : start + TEST_BATCH], device=self.device)
            logits = self.network(x)
            right += float(nn.accuracy(logits, y)) * y.size
            loss += float(nn.losses.of(self.network)(logits, y, reduction="sum"))
        self.network.train()
        return right / labels.size, loss / labels.size

    def _save(self, step: int, emit: Emit) -> None:
        if self._run is not None:
            path = self._run / CHECKPOINT
            shape = self.store.manifest.sample_shape
            nn.save(path, self.network, self.optimizer, step, self.job.seed, shape)
            emit(Saved(step, str(path)))


def _exact_state(weights: tensor.Array, optimizer: nn.Optimizer) -> list[tensor.Array]:
    """All vectors that a full peer needs, in an order that all peers know."""
    return [weights, *(optimizer.state[name] for name in sorted(optimizer.state))]


class _NotFinite(Exception):  # noqa: N818 - what was found, before it is known where it comes from
    pass


class _Steps:
    """Gradient sums over any number of samples: recorded once for each size of micro-batch, and replayed."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._recordings: OrderedDict[int, tuple[tensor.Array, tensor.Array, tensor.Recording]] = (
            OrderedDict()
        )
        self._loss: tensor.Array | None = None
        self._loss_before = 0.0
        self._on_bucket: Callable[[int], object] | None = None
        self._open: dict[int, int] = {}
        self._accumulates = False
        network = worker.network
        self._buckets_of = {
            entry.name: [
                number
                for number, bucket in enumerate(worker.plan.buckets)
                if entry.offset < bucket.stop and bucket.start < entry.offset + entry.size
            ]
            for entry in (*network.table, *network.buffer_table)
        }
        self._before = tensor.zeros(network.state.shape, dtype=tensor.float32, device=worker.device)

    def as_input(self, images: tensor.Array) -> tensor.Array:
        """uint8 images as the network's float32 input; a text's tokens as they are."""
        manifest = self._worker.store.manifest
        return images if manifest.length else tensor.astype(images, tensor.float32) * manifest.scale

    def loss(self) -> float:
        """The loss sum over the samples of the run in progress; a sample's is the mean over its labels."""
        return self._loss_before + float(self._loss) if self._loss is not None else 0.0

    def run(
        self,
        step: int,
        ids: np.ndarray,
        images: np.ndarray,
        labels: np.ndarray,
        on_bucket: Callable[[int], object],
        given_up: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Leave the gradient sum in `network.change`; `on_bucket` is called as each bucket of it is
        complete, last layer first.

        False if it was given up on the way.
        """
        pieces = _pieces(len(ids))
        network = self._worker.network
        self._loss_before = 0.0
        for number, piece in enumerate(pieces):
            if given_up():
                return False
            last = number == len(pieces) - 1
            self._open = dict.fromkeys(range(len(self._worker.plan.buckets)), 0)
            for buckets in self._buckets_of.values():
                for bucket in buckets:
                    self._open[bucket] += 1
            self._on_bucket = on_bucket if last else None
            self._accumulates = number > 0
            network.randomness.set_step(step, ids[piece])
            self._replay(images[piece], labels[piece])
            if not last:
                self._loss_before = self.loss()
                self._before[...] = network.change
        return True

    def first_non_finite(self, step: int, ids: np.ndarray, images: np.ndarray, labels: np.ndarray) -> str:
        """Which layer makes the first value that is not finite in a step like this one, and what to do."""
        network, device = self._worker.network, self._worker.device
        for piece in _pieces(len(ids)):
            network.randomness.set_step(step, ids[piece])
            x, y = (tensor.asarray(each[piece], device=device) for each in (images, labels))
            with nn.mixed_precision(network, self._worker.job.precision):
                found = nn.first_non_finite(network, self._loss_of, x, y)
            if found is not None:
                return f"{found}. {found.advice} For lr there is --lr of mesh start."
        if self._worker.job.precision == "float16":
            return (
                f"It is beyond float16's range, at a scale of {FLOAT16_SCALE:.0f}: use --precision bfloat16"
            )
        return "Computed once more, all of it is finite: this device does not compute the same twice"

    def _replay(self, images: np.ndarray, labels: np.ndarray) -> None:
        known = self._recordings.pop(len(labels), None)
        if known is None:
            device = self._worker.device
            x, y = tensor.asarray(images, device=device), tensor.asarray(labels, device=device)
            known = (x, y, self._record(x, y))
        else:
            known[0][...] = images
            known[1][...] = labels
            known[2].replay()
        self._recordings[len(labels)] = known
        while len(self._recordings) > RECORDINGS_MOST:
            self._recordings.popitem(last=False)

    def _record(self, x: tensor.Array, y: tensor.Array) -> tensor.Recording:
        network = self._worker.network

        def loss_function() -> tensor.Array:
            loss = self._loss_of(x, y)

            def note() -> None:  # at each replay: every size has a loss of its own
                self._loss = loss

            tensor.host_call(note)
            return loss

        precision = self._worker.job.precision
        gradient = nn.value_and_grad(
            network,
            loss_function,
            lambda entry: self._on_gradient(entry, len(y)),
            checkpoint=self._worker.checkpoint,
            precision=precision,
            loss_scale=nn.LossScale(FLOAT16_SCALE, every=0) if precision == "float16" else None,
        )
        return tensor.record(lambda: gradient()[0])

    def _loss_of(self, x: tensor.Array, y: tensor.Array) -> tensor.Array:
        network = self._worker.network
        loss = nn.losses.of(network)(network(self.as_input(x)), y, reduction="sum")
        return loss * (len(y) / y.size) if y.size > len(y) else loss

    def _on_gradient(self, entry: nn.Entry, samples: int) -> None:
        """A parameter's gradient sum is final, or what `samples` had for a buffer: so may be the buckets
        that it lies in."""
        change = self._worker.network.change
        if entry in self._worker.network.buffer_table:
            change[entry.span] = change[entry.span] * float(samples)  # a sum, as the gradients are
        if self._accumulates:
            change[entry.span] = change[entry.span] + self._before[entry.span]
        for bucket in self._buckets_of[entry.name]:
            self._open[bucket] -= 1
            if self._open[bucket] == 0 and self._on_bucket is not None:
                self._on_bucket(bucket)


def _pieces(samples: int) -> list[np.ndarray]:
    """The places of samples, in pieces that are computed at a time."""
    return np.array_split(np.arange(samples), -(-samples // MICRO_BATCH))
