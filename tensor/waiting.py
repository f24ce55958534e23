"""Waiting awake for PoCL: to put a thread to sleep and wake it takes longer than many kernels on a CPU do.

Only for a launch of one group, which one thread does: one that needs all cores must not find one taken. The
wait gives way to whoever has work. Other drivers wait so themselves.
"""

import os
import time
from typing import Any

_AWAKE_S = 100e-6


def stay_awake_for(event: Any) -> None:
    """Return when pyopencl's event has ended, well or not, or after a moment; its queue has to be flushed."""
    give_way = getattr(os, "sched_yield", None) or (lambda: time.sleep(0))
    until = time.perf_counter() + _AWAKE_S
    while event.command_execution_status > 0 and time.perf_counter() < until:
        give_way()
