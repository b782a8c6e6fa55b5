import io
import re

from edge_runtime.live.run import Run
from edge_runtime.live.teller import Teller
from tests.edge_runtime.live.frames import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_stay() -> None:
    """Each in a line of its own, nothing else between; names cannot break it."""
    stream = io.StringIO()
    with Teller(lambda: "figures", stream) as teller:
        teller._interval_s = 0.01
        teller.say("camera\n0: is back")

    assert "camera\\n0: is back\n" == stream.getvalue()


def test_figures_come_at_their_interval() -> None:
    """In a line each where there is no terminal."""
    stream = io.StringIO()
    teller = Teller(lambda: "figures", stream)
    teller._interval_s = 0.01

    with teller:
        until(lambda: stream.getvalue().count("\n") >= 2)

    assert {"figures"} == set(stream.getvalue().splitlines())


def test_a_terminal_has_one_line_that_changes() -> None:
    """What stays is printed above it, and nothing is left of it at the end."""
    stream = Terminal()
    teller = Teller(lambda: "figures", stream)
    teller._interval_s = 0.01

    with teller:
        until(lambda: "figures" in stream.getvalue())
        teller.say("camera 0: is back")

    said = stream.getvalue()
    assert "\r\x1b[Kcamera 0: is back\n" in said
    assert said.endswith("\r\x1b[K")
    assert 1 == said.count("\n")


def test_the_line_tells_all_that_counts() -> None:
    """Totals first, then what was since the last line, frames that were dropped too."""
    run = Run()
    run.meter.begin()
    for _ in range(3):
        run.meter.captured(0.001)
    run.meter.filtered(0.020, 8, 24.96)
    run.meter.shown(0.030, 0.002)

    line = run.page_figures()["text"]

    assert re.fullmatch(
        r"0 s: 3 in, 1 shown, 0 dropped \| \d+\.\d fps, depth 8, sigma 25\.0"
        r" \| decode 1, filter 20, output 2 ms \| age p50 30, p99 30 ms",
        line,
    ), line
    assert "depth –" in run.page_figures()["text"]
    run.meter.filtered(0.020, 8, None)
    assert "fps, depth 8 | decode" in run.page_figures()["text"]
