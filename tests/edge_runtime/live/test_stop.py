import os
import signal
import time

import pytest

from edge_runtime.live.stop import Stop, ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_the_end_and_the_second_is_as_before(number: int) -> None:
    """The first sets the wish; what the caller had installed holds again then."""
    before = signal.signal(number, signal.SIG_DFL)  # whatever the tests were given
    stop = Stop()
    try:
        with ended_by_signals(stop):
            os.kill(os.getpid(), number)
            is_asked = stop.wait(5.0)
            handler = signal.getsignal(number)
    finally:
        signal.signal(number, before)

    assert is_asked
    assert signal.SIG_DFL == handler


def test_an_ignored_signal_stays_ignored() -> None:
    """As after nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    try:
        with ended_by_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert not stop.is_set()


def test_waiting_sleeps_as_long_as_told() -> None:
    """Nobody wishes for the end: the time is over."""
    began_s = time.monotonic()

    assert not Stop().wait(0.12)
    assert time.monotonic() - began_s >= 0.12
