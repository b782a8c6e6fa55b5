"""What a live run tells while it runs: one line that changes, or plain ones."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from edge_runtime.errors import one_line

TERMINAL_S, PLAIN_S = 1.0, 10.0
"""Time between two lines of figures."""
CLEAR = "\r\x1b[K"


class Teller:
    """Tells of a run on a stream, from a thread of its own inside a `with`."""

    def __init__(
        self, figures: Callable[[], str], stream: TextIO | None = None
    ) -> None:
        """`figures` gives the line, each time it is due."""
        self._figures = figures
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._interval_s = TERMINAL_S if self._is_terminal else PLAIN_S
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            clear = CLEAR if self._is_terminal else ""
            self._stream.write(f"{clear}{one_line(text)}\n")
            self._stream.flush()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._is_terminal:
            self._stream.write(CLEAR)
            self._stream.flush()

    def _tell(self) -> None:
        while not self._ended.wait(self._interval_s):
            line = self._figures()
            if not self._is_terminal:
                self.say(line)
                continue
            n_columns = shutil.get_terminal_size().columns
            with self._lock:
                self._stream.write(f"{CLEAR}{line[: n_columns - 1]}")
                self._stream.flush()
