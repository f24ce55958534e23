"""`mesh bench`: what this machine's devices reach, each time with NumPy as the measure in the same run.

On a machine that does other work too, only ratios of two programs that ran in turn mean anything.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import click
import numpy

import tensor
from mesh.reports import JSON_VERSION

_ROUNDS = 8
_ROUND_S = 0.05  # of each program in each round, at least once


@dataclass(frozen=True)
class MatrixTask:
    """One of the four tasks of the system of 2016, with what it took there (FirePro S9170, node.js)."""

    name: str
    operation: str
    shapes: tuple[tuple[int, int], ...]
    ms_2016: float
    precision: tensor.Precision = "float32"


MATRIX_TASKS = (
    MatrixTask("1000×1000 + 1000×1000", "add", ((1000, 1000), (1000, 1000)), 4.0),
    MatrixTask("log of 1000×1000", "log", ((1000, 1000),), 14.0),
    MatrixTask("1000×100 · 100×10", "matmul", ((1000, 100), (100, 10)), 3.8),
    MatrixTask("1000×1000 · 1000×1000", "matmul", ((1000, 1000), (1000, 1000)), 5.2),
    MatrixTask("1000×1000 · 1000×1000, tf32", "matmul", ((1000, 1000), (1000, 1000)), 5.2, "tf32"),
)


@dataclass(frozen=True)
class MatrixTime:
    """The best times of a task; `ratio` above 1 says that we took less time than NumPy."""

    task: str
    device: str
    ms: float
    numpy_ms: float
    ratio: float
    ms_2016: float


def matrix(device: tensor.Device) -> Iterator[MatrixTime]:
    """Time the four tasks in float32, without transfers: from the call until the device has the result.

    The last one in tf32 too, where there are tensor cores.
    """
    random = numpy.random.default_rng(0)
    for task in MATRIX_TASKS:
        if task.precision not in tensor.precisions(device):
            continue
        values = [random.random(shape, dtype=numpy.float32) + numpy.float32(0.5) for shape in task.shapes]
        arrays = [tensor.asarray(each, device=device) for each in values]
        options = {} if task.precision == "float32" else {"precision": task.precision}
        seconds, numpy_s = _best_in_turn_s(
            partial(_computed, device, partial(getattr(tensor, task.operation), **options), arrays),
            partial(getattr(numpy, task.operation), *values),
        )
        ratio = round(numpy_s / seconds, 2)
        yield MatrixTime(task.name, device.spec, 1e3 * seconds, 1e3 * numpy_s, ratio, task.ms_2016)


def _computed(device: tensor.Device, operation: Callable[..., object], arrays: list[tensor.Array]) -> None:
    operation(*arrays)
    device.synchronize()


def _best_in_turn_s(*programs: Callable[[], object]) -> list[float]:
    """The shortest run of each program, in turns; the first run, which warms up, does not count."""
    best = [float("inf")] * len(programs)
    for _ in range(_ROUNDS):
        for i, program in enumerate(programs):
            program()
            until = time.perf_counter() + _ROUND_S
            while (begin := time.perf_counter()) < until:
                program()
                best[i] = min(best[i], time.perf_counter() - begin)
            time.sleep(_ROUND_S)  # the threads of OpenBLAS go on spinning for a moment after their work
    return best


def show_matrix(spec: str | None, as_json: bool) -> None:
    """Time the matrix tasks on a device (the default one) and write a line for each to stdout."""
    device = tensor.default_device() if spec is None else tensor.device(spec)
    click.echo(f"Four matrix tasks on {device.name}, and with NumPy {numpy.__version__}, in turn …", err=True)
    for each in matrix(device):
        if as_json:
            click.echo(json.dumps({"v": JSON_VERSION, **asdict(each)}))
        else:
            click.echo(
                f"{each.task:27} {each.ms:8.3f} ms   NumPy {each.numpy_ms:8.3f} ms   ratio {each.ratio:6.2f}"
                f"   2016 {each.ms_2016:5.1f} ms"
            )
