"""The compute thread: does what the event loop submits, in order, and hands back results. The event loop
never computes.
"""

import queue
import threading
from collections.abc import Callable

import numpy as np

import tensor
from mesh.tasks import Failed, Gradient, Prepared, Result, Task
from mesh.worker import Worker
from tensor.errors import MeshError


class Compute:
    """One worker in one thread. `wake` is called whenever there are new results."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.worker: Worker | None = None
        self._wake = wake
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._submitted = 0
        self._done = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()

    def prepare(self, build: Callable[[], Worker]) -> None:
        """Build the worker, compile and measure: a Prepared or a Failed result."""

        def work() -> None:
            worker = build()
            with tensor.use_device(worker.device):
                prepared: Prepared = worker.prepare()
            self.worker = worker
            self._emit(prepared)

        self._submit(work)

    def submit(self, task: Task) -> None:
        """Do `task` after all before it. A gradient of another view that is under way is given up
        for a new one.
        """
        if isinstance(task, Gradient) and self.worker is not None:
            self.worker.view = task.view

        def work() -> None:
            worker = self.worker
            if worker is None or (isinstance(task, Gradient) and task.view != worker.view):
                return
            with tensor.use_device(worker.device):
                worker.execute(task, self._emit)

        self._submit(work)

    @property
    def idle(self) -> bool:
        """Whether all that was submitted is done."""
        return self._done == self._submitted

    def results(self) -> list[Result]:
        """What has been computed since the last call."""
        return [self._results.get_nowait() for _ in range(self._results.qsize())]

    def close(self, timeout_s: float) -> None:
        """End the thread after what it is doing, or in the middle of a gradient; does not wait longer.

        What is still waiting to be done is not. A thread that outlives the interpreter aborts the process.
        """
        self._closing = True
        if self.worker is not None:
            self.worker.view = None
        self._tasks.put(None)
        self._thread.join(timeout_s)

    def _submit(self, work: Callable[[], None]) -> None:
        self._submitted += 1
        self._tasks.put(work)

    def _emit(self, result: Result) -> None:
        self._results.put(result)
        self._wake()

    def _run(self) -> None:
        np.seterr(over="ignore", invalid="ignore")  # this thread's: what is not finite is found and said
        while (work := self._tasks.get()) is not None:
            try:
                if not self._closing:
                    work()
            except MeshError as error:
                self._emit(Failed(str(error), error.exit_code))
            except Exception as error:  # not in silence: whatever it is ends the job, with its name
                self._emit(Failed(f"the computation broke: {type(error).__name__}: {error}", 1))
                raise
            finally:
                self._done += 1
                self._wake()
