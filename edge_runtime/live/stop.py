"""The wish to end, seen by every stage."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

STEP_S = 0.05
"""Time between two looks at the wish, while something else is waited for."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@final
class Stop:
    """Set once; without a lock, so that a signal's handler may set it anywhere."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Wish for the end."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the end is wished for."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until the end is wished for; return whether it is."""
        until_s = time.monotonic() + seconds
        while not self._is_set and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, STEP_S))
        return self._is_set


@contextmanager
def ended_by_signals(stop: Stop) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP set `stop` inside the block; a second one ends it.

    A signal that the caller ignores, as nohup does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: handler
        for number in SIGNALS
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(number: int, _: FrameType | None) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
