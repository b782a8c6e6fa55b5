"""Lines between validations: seldom, and with the time that is left."""

from __future__ import annotations

import io

import pytest

from training.pace import Pace


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, step_s: float) -> str:
    """Run 30 steps that take so long each, after 10 that were done before."""
    now = [100.0]
    pace = Pace(10, 40, stream, lambda: now[0])
    for done in range(11, 41):
        now[0] += step_s
        pace.step(done, lambda: 0.5)
    return stream.getvalue()


def test_a_line_comes_every_ten_seconds() -> None:
    """Step, loss, time per step and time left stand in plain lines."""
    lines = told(io.StringIO(), 1.0).splitlines()

    assert [
        "step 20/40  loss 0.5  1 s each, 20 s left",
        "step 30/40  loss 0.5  1 s each, 10 s left",
        "step 40/40  loss 0.5  1 s each, 0 s left",
    ] == lines


def test_a_terminal_has_one_line_that_changes() -> None:
    """On a terminal the line is written over itself."""
    shown = told(Terminal(), 0.5)

    assert "\n" not in shown
    assert 30 == shown.count("\r\x1b[K")


def test_a_terminal_makes_room_for_a_line_that_stays() -> None:
    """What is cleared on a terminal was never drawn elsewhere."""
    terminal, plain = Terminal(), io.StringIO()

    for stream in (terminal, plain):
        Pace(0, 1, stream).clear()

    assert ("\r\x1b[K", "") == (terminal.getvalue(), plain.getvalue())


def test_quick_steps_say_nothing() -> None:
    """The loss is not even asked for: on an accelerator that would make it wait."""
    pace = Pace(0, 3, io.StringIO(), lambda: 0.0)

    pace.step(1, lambda: pytest.fail("asked for"))
