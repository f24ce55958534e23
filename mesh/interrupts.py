"""Ctrl-C: the first one leaves the mesh in order, the second ends the process at once."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

EXIT_CODE = 130
_SHOW_CURSOR = b"\x1b[?25h\r\n"


class Interrupts:
    """While inside, SIGINT and SIGTERM call `leave` once; one more ends the process with exit code 130."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self.seen = False
        self._leave = leave
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(EXIT_CODE)  # threads and sockets may hang: nothing of theirs is waited for
        self.seen = True
        self._leave()
