import io

import pytest

from edge_runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_elsewhere() -> None:
    """Without a terminal each step is a line of its own."""
    stream = io.StringIO()

    with Progress(2, stream) as progress:
        progress.step("a.png")
        progress.step("b.png")

    assert "1/2 a.png\n2/2 b.png\n" == stream.getvalue()


def test_long_work_is_told_of_in_a_hundred_lines() -> None:
    """The last step is always among them."""
    stream = io.StringIO()

    with Progress(250, stream) as progress:
        for step in range(250):
            progress.step(str(step))

    lines = stream.getvalue().splitlines()
    assert (100, "250/250 249") == (len(lines), lines[-1])


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar redraws its line, keeps within the terminal's width and ends the line."""
    monkeypatch.setenv("COLUMNS", "36")
    stream = Terminal()

    with Progress(2, stream) as progress:
        progress.step("one that is longer than there is room for")
        progress.step("b")

    _, first, second = stream.getvalue().replace("\x1b[K", "").split("\r")
    assert "█" * 12 + "░" * 12 + " 1/2 one th" == first[:35]
    assert "█" * 24 + " 2/2 b\n" == second


def test_nothing_done_is_nothing_said() -> None:
    """Work that fails before its first step leaves the terminal alone."""
    stream = Terminal()

    with Progress(0, stream):
        pass

    assert "" == stream.getvalue()
