"""Timing two programs in turn: on a shared machine only the ratio of their best times means anything."""

import time
from collections.abc import Callable

SETTLE_S = 0.05  # the threads of OpenBLAS and of PyTorch go on spinning for a moment after their work


def best_s(action: Callable[[], object], repetitions: int) -> float:
    """The shortest of several runs; the first one, which warms up, does not count."""
    action()
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def in_turn_s(
    ours: Callable[[], object], theirs: Callable[[], object], repetitions: int, rounds: int = 4
) -> tuple[float, float]:
    """The best time of each, taken in `rounds` turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, action in enumerate((theirs, ours)):
            best[i] = min(best[i], best_s(action, repetitions))
            time.sleep(SETTLE_S)
    return best[1], best[0]
