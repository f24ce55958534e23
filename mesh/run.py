"""The folder of a run: all events in `events.jsonl`, final steps and test measurements in `metrics.csv`.

The worker saves the network beside them, as CHECKPOINT.
"""

import csv
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mesh.errors import RunFolderError
from mesh.events import Evaluated, Event, StepFinal

CHECKPOINT = "checkpoint.safetensors"
COLUMNS = (
    "time",
    "step",
    "view",
    "loss",
    "samples",
    "peers",
    "served",
    "bytes_sent",
    "seconds",
    "digest",
    "test_accuracy",
    "test_loss",
)
_ROOT = Path("runs")


def default_folder(job: str, now_s: float | None = None) -> Path:
    """`runs/<job>-<date>-<time>`, in local time; a second run within that second gets a number."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now_s))
    path, _, attribute = job.rpartition(".py:")
    words = f"{Path(path).name}-{attribute}" if path else Path(job).stem
    name = "".join(character if character.isalnum() else "-" for character in words)
    folder = _ROOT / f"{name or 'job'}-{stamp}"
    number = 2
    while folder.exists():
        folder = _ROOT / f"{name or 'job'}-{stamp}-{number}"
        number += 1
    return folder


class RunFolder:
    """Writes the events of one peer as they come; each line is on disk at once. A context manager.

    What is there already is kept: a second run in the folder goes on in the same files. A new folder in
    which nothing happened is removed. Raises RunFolderError if the folder cannot be made or written. If it
    fails later, on a full disk say, `warn` is called once with a sentence, and training goes on without it.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn
        self._writes = True
        self._is_unused = not path.exists()
        self._files: list[TextIO] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._events = self._opened("events.jsonl")
            self._metrics = self._opened("metrics.csv")
            self._rows = csv.DictWriter(
                self._metrics, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n"
            )
            if self._metrics.tell() == 0:
                self._rows.writeheader()
                self._metrics.flush()
        except OSError as error:
            self.close()
            raise RunFolderError(
                f"The run's folder {path} cannot be written: {error.strerror or error}. "
                "Give another one with --run."
            ) from error

    def event(self, event: Event, time_s: float) -> None:
        """Write one event, which happened at `time_s` seconds since the epoch."""
        if not self._writes:
            return
        self._is_unused = False
        try:
            facts = event.to_json(time_s)
            self._events.write(json.dumps(facts) + "\n")
            self._events.flush()
            row = _row(event, facts)
            if row is not None:
                self._rows.writerow(row)
                self._metrics.flush()
        except OSError as error:
            self._writes = False
            self._warn(
                f"{self.path} is no longer written: {error.strerror or error}. Training goes on; "
                "its events are lost from here on."
            )

    def tick(self) -> None:
        """Nothing to do between events."""

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what could not be written is given up."""
        for file in self._files:
            with suppress(OSError):
                file.close()
        if self._is_unused:
            with suppress(OSError):
                for file in self._files:
                    Path(file.name).unlink()
                self.path.rmdir()

    def _opened(self, name: str) -> TextIO:
        file = (self.path / name).open("a", encoding="utf-8", newline="")
        self._files.append(file)
        return file


def _row(event: Event, facts: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(event, StepFinal):
        return facts
    if isinstance(event, Evaluated):
        return {
            "time": facts["time"],
            "step": event.step,
            "test_accuracy": event.accuracy,
            "test_loss": event.loss,
        }
    return None
