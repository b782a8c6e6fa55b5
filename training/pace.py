"""How far a run is between validations, and how long it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

PLAIN_S = 10.0
TERMINAL_S = 0.5
"""Least time between two lines, and between two states of a terminal's one line."""


class Pace:
    """Tells of a run's steps, at most every few seconds."""

    def __init__(
        self,
        first: int,
        n_steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._n_steps = first, n_steps
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._interval_s = TERMINAL_S if self._is_terminal else PLAIN_S
        self._clock = clock
        self._started_s = self._told_s = clock()

    def step(self, done: int, loss: Callable[[], float]) -> None:
        """Tell that `done` steps are done, if it is time to; `loss` is asked then."""
        now = self._clock()
        if now - self._told_s < self._interval_s:
            return
        self._told_s = now
        step_s = (now - self._started_s) / (done - self._first)
        left = duration(step_s * (self._n_steps - done))
        line = (
            f"step {done}/{self._n_steps}  loss {loss():.4g}  {step_s:.3g} s each,"
            f" {left} left"
        )
        self._stream.write(f"\r\x1b[K{line}" if self._is_terminal else f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Make room on a terminal for a line that stays."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(7), duration(200), duration(5400)
    ('7 s', '3 min', '1 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
