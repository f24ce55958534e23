"""What is known of steps until they are final, and the reports made when they are: only final steps are
ever spoken of.
"""

import math
from collections import Counter

from mesh import events
from mesh.host import Host
from mesh.message import Update, Weights
from mesh.plan import Plan
from mesh.tasks import Evaluate, Measured, Save
from mesh.view import View

REMEMBERED_STEPS = 3


class Finals:
    """One peer's record of the last steps. `step` is the last final one, `loss` its mean loss."""

    def __init__(self, me: str, plan: Plan, host: Host, step: int, save_every: int, now: float) -> None:
        self.step = step
        self.loss = float("nan")
        self.digests: dict[int, int] = {}  # of this peer's weights, or as told by a full peer
        self._me = me
        self._plan = plan
        self._host = host
        self._save_every = save_every
        self._facts: dict[int, tuple[int, float]] = {}  # step: samples and mean loss
        self._served: Counter[int] = Counter()
        self._measured: dict[int, Measured] = {}
        self._at = now
        self._bytes = host.bytes_sent()

    def note(self, message: Update | Weights) -> None:
        """The samples and the loss of a step stand in every message about it, if its sender knew them."""
        if message.samples:
            self._facts[message.step] = (message.samples, message.loss)

    def facts(self, step: int) -> tuple[int, float]:
        """Samples and mean loss of a recent step."""
        return self._facts.get(step, (0, self.loss))

    def knows(self, step: int) -> bool:
        """Whether samples and loss are known of every step from the last final one to `step`."""
        return all(number in self._facts for number in range(self.step + 1, step + 1))

    def serves(self, step: int) -> None:
        """This peer merged one bucket of `step`."""
        self._served[step] += 1

    def measured(self, result: Measured) -> list[events.Evaluated]:
        """The weights after a step were measured here; what can be told of it already."""
        self._measured[result.step] = result
        return self._tellable()

    def advance(self, step: int, view: View, exact: bool, now: float) -> list[events.Evaluated]:
        """All steps up to `step` are final; what was measured of them."""
        for number in range(self.step + 1, step + 1):
            self.step = number
            self._report(number, view, now)
            if number == self._plan.steps:  # the last weights are measured by everybody, however they came
                self._host.submit(Evaluate(number))
            if exact and (
                number == self._plan.steps or (self._save_every and number % self._save_every == 0)
            ):
                self._host.submit(Save(number))
        return self._tellable()

    def _report(self, step: int, view: View, now: float) -> None:
        if step not in self._facts and math.isnan(self.loss):
            return  # it was merged before this peer came, which has heard nothing of it
        samples, self.loss = self.facts(step)
        sent = self._host.bytes_sent()
        self._host.emit(
            events.StepFinal(
                step=step,
                view=view.number,
                loss=self.loss,
                samples=samples,
                peers=len(view.members),
                served=self._served.pop(step, 0),
                bytes_sent=sent - self._bytes,
                digest=f"{self.digests.get(step, 0):016x}",
                seconds=round(now - self._at, 6),
            )
        )
        self._bytes, self._at = sent, now
        for remembered in (self._facts, self.digests):
            for old in [number for number in remembered if number <= step - REMEMBERED_STEPS]:
                del remembered[old]

    def _tellable(self) -> list[events.Evaluated]:
        results = [self._measured.pop(step) for step in sorted(self._measured) if step <= self.step]
        return [events.Evaluated(result.step, result.accuracy, result.loss, self._me) for result in results]
