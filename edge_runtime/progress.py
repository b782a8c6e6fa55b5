"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import Self, TextIO

BAR_WIDTH = 24
MOST_LINES = 100
"""Plain lines for one piece of work; longer work tells of every so many steps."""


class Progress:
    """Tells of each step on a stream; use it in a `with`."""

    def __init__(self, n_steps: int, stream: TextIO | None = None) -> None:
        self._n_steps = n_steps
        self._n_done = 0
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()

    def step(self, text: str) -> None:
        """Count one more step, and say what came of it."""
        before, self._n_done = self._n_done, self._n_done + 1
        if self._is_terminal:
            self._draw(text)
        elif _lines(self._n_done, self._n_steps) > _lines(before, self._n_steps):
            print(f"{self._n_done}/{self._n_steps} {text}", file=self._stream)
            self._stream.flush()

    def fail(self, text: str) -> None:
        """Count one more step that failed; its line is always told, and stays."""
        self._n_done += 1
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
        print(f"{self._n_done}/{self._n_steps} {text}", file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_terminal and self._n_done:
            self._stream.write("\n")

    def _draw(self, text: str) -> None:
        n_full = BAR_WIDTH * self._n_done // max(1, self._n_steps)
        bar = "█" * n_full + "░" * (BAR_WIDTH - n_full)
        line = f"{bar} {self._n_done}/{self._n_steps} {text}"
        n_columns = shutil.get_terminal_size().columns
        self._stream.write(f"\r\x1b[K{line[: n_columns - 1]}")
        self._stream.flush()


def _lines(n_done: int, n_steps: int) -> int:
    """Return how many lines are due after so many steps."""
    return n_done * min(n_steps, MOST_LINES) // max(1, n_steps)
