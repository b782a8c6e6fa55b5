"""Signals that arrive while converters run in the caller's own process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

Say = Callable[[str], None]
"""Takes a line of progress."""


@contextmanager
def heeding(say: Say) -> Iterator[Say]:
    """Yield `say`, which ends the block at its next line once a signal has come.

    A signal that raises inside a converter is swallowed there, or makes it crash. So
    SIGINT and SIGTERM are noted, and end the block between two steps of work, in order;
    a second one ends it at once. Handlers of the caller's own stay.
    """
    if current_thread() is not main_thread():
        yield say
        return
    arrived: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) > 1:
            _leave(number)

    def heed(line: str) -> None:
        if arrived:
            _leave(arrived[0])
        say(line)

    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) in usual
    }
    for number in before:
        signal.signal(number, note)
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        _leave(arrived[0])


def _leave(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)  # what shells report for a signal's end
