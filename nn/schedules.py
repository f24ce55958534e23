"""How the learning rate changes with the steps: factors of the optimizer's own rate, from plain data.

    nn.AdamW(lr=1e-3, schedule=nn.Schedule("cosine", steps=1000, warmup=100))

Only + − · / are used, so that every peer has the same bits.
"""

from collections.abc import Mapping
from typing import Any

from nn.errors import NetworkError


class Schedule:
    """The factor of the learning rate at a step, counted from 1.

    "constant" 1 · "step" `factor` (0.1) to the power of the number of times that `every` steps are over ·
    "linear" and "cosine" from 1 down to `end` (0) at `steps` · "one_cycle" up from 0.04 to 1 at 30 % of
    `steps` and down to 0.0001 at the last one, both by a cosine, as PyTorch counts (L. Smith:
    "Super-Convergence", 2017). In the first `warmup` steps the factor also rises from 0 in a straight line.
    """

    def __init__(
        self,
        kind: str = "constant",
        steps: int = 0,
        warmup: int = 0,
        end: float = 0.0,
        every: int = 0,
        factor: float = 0.1,
    ) -> None:
        if kind not in _KINDS:
            raise NetworkError(f"There is no schedule {kind!r}. Known are: {', '.join(_KINDS)}.")
        needed = {"step": every, "constant": 1}.get(kind, steps)
        if needed < 1 or warmup < 0:
            raise NetworkError(
                f"The schedule {kind!r} expected {'every' if kind == 'step' else 'steps'} ≥ 1 "
                f"and warmup ≥ 0, got {needed} and {warmup}."
            )
        self.kind, self.steps, self.warmup, self.end = kind, steps, warmup, end
        self.every, self.factor = every, factor

    def __call__(self, step: int) -> float:
        rising = min(1.0, step / self.warmup) if self.warmup else 1.0
        return float(rising * _KINDS[self.kind](self, step - 1))

    def _fraction(self, done: int) -> float:
        """How much of what comes after the warm-up is over, within [0, 1]."""
        return min(1.0, max(0.0, (done - self.warmup) / max(self.steps - self.warmup, 1)))

    def definition(self) -> dict[str, Any]:
        """What `load_schedule` makes an equal one of; plain data."""
        facts = {"steps": self.steps, "warmup": self.warmup, "end": self.end, "every": self.every}
        chosen = {name: value for name, value in facts.items() if value}
        return {"kind": self.kind, **chosen, **({"factor": self.factor} if self.kind == "step" else {})}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.definition() == other.definition()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Schedule({', '.join(f'{name}={value!r}' for name, value in self.definition().items())})"


def load_schedule(definition: Mapping[str, Any]) -> Schedule:
    """The schedule that `definition()` describes; raises `NetworkError` for what describes none."""
    try:
        return Schedule(**definition)
    except TypeError as error:
        raise NetworkError(f"The schedule {dict(definition)!r} cannot be made: {error}.") from error


def _cosine(fraction: float) -> float:
    """cos(π · fraction) for 0 ≤ fraction ≤ 1 by its series, within 1e-13: libraries differ in the last
    bit."""
    turned = fraction > 0.5
    x = 3.141592653589793 * (1.0 - fraction if turned else fraction)
    square, term, total = x * x, 1.0, 1.0
    for k in range(1, 12):
        term = -term * square / ((2 * k - 1) * (2 * k))
        total = total + term
    return -total if turned else total


def _between(start: float, end: float, fraction: float) -> float:
    """From start to end by half a turn of the cosine."""
    return end + (start - end) * (1.0 + _cosine(fraction)) / 2.0


def _one_cycle(schedule: Schedule, done: int) -> float:
    top, last = 0.3 * schedule.steps - 1.0, schedule.steps - 1.0
    if done < top:
        return _between(0.04, 1.0, done / top)
    return _between(1.0, 0.0001, min(1.0, (done - top) / (last - top)))


def _stairs(schedule: Schedule, done: int) -> float:
    factor = 1.0
    for _ in range(done // schedule.every):
        factor = factor * schedule.factor
    return factor


_KINDS: dict[str, Any] = {
    "constant": lambda schedule, done: 1.0,
    "step": _stairs,
    "linear": lambda schedule, done: 1.0 + (schedule.end - 1.0) * schedule._fraction(done),
    "cosine": lambda schedule, done: _between(1.0, schedule.end, schedule._fraction(done)),
    "one_cycle": _one_cycle,
}
