"""Batches on a device before they are asked for.

A thread gathers the next batches and uploads them while the present one is computed with, a few ahead and no
more. Which samples a batch has is a function of (seed, epoch) alone; the last batch of an epoch has what is
left.

    loader = nn.data.Loader(digits.training, batch=64, seed=0, epochs=20)
    for batch in loader:
        network.randomness.set_step(batch.step, batch.samples)
        step(batch.inputs, batch.labels)
"""

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import Any, Protocol, Self

import numpy
from numpy.typing import NDArray

import tensor
from nn.data.order import epoch_order
from nn.errors import DataError
from tensor import Array, Device
from tensor.upload import Upload, Uploader

AHEAD = 2  # one that is ready while the next one is on its way
LOOK_EVERY_S = 1.0
CLOSE_S = 10.0


class Samples(Protocol):
    """Numbered samples, as a `Loader` reads them; `gather` is called by its thread."""

    @property
    def scale(self) -> float | None:
        """What inputs are multiplied by to become float32; None leaves them as they are."""

    def __len__(self) -> int: ...

    def gather(self, ids: NDArray[numpy.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs [n, ...] and labels [n, ...] of the samples `ids`."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples on the device. `step` counts from 1 over all epochs, `epoch` from 0.

    samples: their numbers, int32 [n]; inputs: [n, ...], as a network takes them; labels: [n, ...].
    """

    epoch: int
    step: int
    samples: NDArray[numpy.int32]
    inputs: Array
    labels: Array


class Loader:
    """The batches of `epochs` epochs; each iteration begins again, with a thread of its own.

    `first_epoch` is the number of the first epoch, for training that goes on. `ahead` batches are kept ready
    on `device` (the default device). A batch that has not come `timeout_s` after it was asked for is a
    DataError.
    """

    def __init__(
        self,
        samples: Samples,
        batch: int,
        seed: int = 0,
        epochs: int = 1,
        *,
        first_epoch: int = 0,
        device: Device | str | None = None,
        ahead: int = AHEAD,
        timeout_s: float = 60.0,
    ) -> None:
        if min(batch, ahead, len(samples)) < 1 or min(epochs, first_epoch, seed) < 0:
            raise DataError(
                f"Loader expected samples, a batch and batches ahead of at least 1, got {len(samples)}, "
                f"{batch} and {ahead}; and epochs, a first one and a seed of at least 0, got {epochs}, "
                f"{first_epoch} and {seed}."
            )
        self.samples, self.batch, self.seed, self.epochs = samples, batch, seed, epochs
        self.first_epoch, self.ahead, self.timeout_s = first_epoch, ahead, timeout_s
        self.device = tensor.device(device)

    @property
    def batches_an_epoch(self) -> int:
        """Number of batches of each epoch, the last one included."""
        return ceil(len(self.samples) / self.batch)

    def __len__(self) -> int:
        return self.epochs * self.batches_an_epoch

    def __iter__(self) -> "Batches":
        return Batches(self)

    def plan(self) -> Iterator[tuple[int, int, NDArray[numpy.int64]]]:
        """Epoch, step and samples of every batch."""
        for epoch in range(self.first_epoch, self.first_epoch + self.epochs):
            order = epoch_order(self.seed, epoch, len(self.samples))
            for number in range(self.batches_an_epoch):
                step = epoch * self.batches_an_epoch + number + 1
                yield epoch, step, order[number * self.batch : (number + 1) * self.batch]


class Batches:
    """One iteration of a `Loader`: the consumer's end. It ends with `close`, with the `with` block, when
    nobody holds it any more, and with the program."""

    def __init__(self, loader: Loader) -> None:
        self._producer = _Producer(loader)
        self._end = weakref.finalize(self, self._producer.close)  # at exit, too

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        arrived = self._producer.next()
        if arrived is None:
            self.close()
            raise StopIteration
        return arrived.batch()

    @property
    def ready(self) -> int:
        """Batches that lie ready on the device."""
        return self._producer.ready

    @property
    def waited(self) -> int:
        """How many batches were not ready yet when they were asked for, the first one among them."""
        return self._producer.waited

    def close(self) -> None:
        """End the thread, after what it is gathering; waits 10 s at most. Harmless if it has ended."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class _Arrived:
    """A batch in memory that the uploaders use again and again."""

    epoch: int
    step: int
    samples: NDArray[numpy.int32]
    inputs: Upload
    labels: Upload
    scale: float | None

    def batch(self) -> Batch:
        """The batch in memory of its own, as a network takes it."""
        x, labels = self.inputs.array, self.labels.array.copy()
        inputs = x.copy() if self.scale is None else tensor.astype(x, tensor.float32) * self.scale
        self.inputs.release()
        self.labels.release()
        return Batch(self.epoch, self.step, self.samples, inputs, labels)


class _Producer:
    """The thread that gathers and uploads, and the few batches that it is ahead."""

    def __init__(self, loader: Loader) -> None:
        self.waited = 0
        self._loader = loader
        self._batches: deque[_Arrived] = deque()
        self._changed = threading.Condition()
        self._closed = self._done = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="nn.data.Loader", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> int:
        return len(self._batches)

    def next(self) -> _Arrived | None:
        """The next batch; None after the last one. Raises what the thread met, in its turn."""
        with self._changed:
            self.waited += not (self._batches or self._done)
            if not self._changed.wait_for(
                lambda: self._batches or self._done or self._closed, self._loader.timeout_s
            ):
                raise DataError(
                    f"No batch came in {self._loader.timeout_s:g} s: gathering one takes longer, or hangs. "
                    "Look at the samples' gather(), or give the Loader a larger timeout_s."
                )
            if self._batches:
                batch = self._batches.popleft()
                self._changed.notify_all()
                return batch
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._batches.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            samples = self._loader.samples
            # those that are ready, the one that is taken, and the one that is filled
            inputs, labels = (Uploader(self._loader.device, self._loader.ahead + 2) for _ in range(2))
            for epoch, step, ids in self._loader.plan():
                if not self._has_room():
                    return
                x, y = samples.gather(ids)
                arrived = inputs.upload(x), labels.upload(y)
                self._put(_Arrived(epoch, step, ids.astype(numpy.int32), *arrived, samples.scale))
        except BaseException as error:  # whatever it is, the consumer gets it
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until a batch may be made; False once nobody wants one. A consumer may take its time."""
        with self._changed:
            while not self._closed:
                if self._changed.wait_for(
                    lambda: self._closed or len(self._batches) < self._loader.ahead, LOOK_EVERY_S
                ):
                    break
            return not self._closed

    def _put(self, batch: _Arrived) -> None:
        with self._changed:
            if not self._closed:
                self._batches.append(batch)
                self._changed.notify_all()
