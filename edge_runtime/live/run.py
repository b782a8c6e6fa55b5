"""One live run: what it counts, what it says, how it ends."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import TiedgeError
from edge_runtime.live.meter import Meter, Tally
from edge_runtime.live.pipeline import Pipeline
from edge_runtime.live.restorer import Restorer
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source
from edge_runtime.live.stop import Stop, ended_by_signals
from edge_runtime.live.teller import Teller


class Run:
    """A run's figures and its end; source, filter and sink are the caller's."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.meter = Meter()
        self._pipeline: Pipeline | None = None
        since_told = self.meter.watch()
        self._teller = Teller(lambda: self._line(since_told()))
        self._since_page = self.meter.watch()

    @property
    def n_dropped(self) -> int:
        """Frames that a newer one has replaced."""
        return 0 if self._pipeline is None else self._pipeline.n_dropped

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        self._teller.say(text)

    def go(
        self,
        source: Source,
        restorer: Restorer,
        sink: Sink,
        first: Shot,
        seconds: float | None = None,
        *,
        keep_all: bool = False,
    ) -> TiedgeError | None:
        """Run until it ends, as `Pipeline.run`, and tell of it on stderr.

        SIGINT, SIGTERM and SIGHUP end it in order; a second one ends it at once.
        """
        self.meter.begin()
        self._pipeline = Pipeline(
            source, restorer, sink, self.meter, self.stop, keep_all=keep_all
        )
        with self._teller, ended_by_signals(self.stop):
            return self._pipeline.run(first, seconds)

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run so far."""
        return {
            **self.meter.whole().figures(),
            "n_dropped": self.n_dropped,
            "n_over_bound": self.meter.n_over_bound,
            "sigma": self.meter.sigma,
        }

    def page_figures(self) -> dict[str, Any]:
        """Return the same, those of the time since the last call, and a line of it."""
        part = self._since_page()
        return {
            **self.figures(),
            "part": part.figures(),
            "text": self._line(part),
        }

    def _line(self, part: Tally) -> str:
        """Return totals, then what was in a part of the run, in one line."""
        whole, figures = self.meter.whole(), part.figures()
        stages = ", ".join(
            f"{stage} {_ms(figures[f'{stage}_ms']['p50'])}"
            for stage in ("decode", "filter", "output")
        )
        sigma, age = self.meter.sigma, figures["age_ms"]
        noise = "" if sigma is None else f", sigma {sigma:.1f}"
        return (
            f"{whole.seconds:.0f} s: {whole.n_captured} in, {whole.n_shown} shown,"
            f" {self.n_dropped} dropped | {part.fps:.1f} fps, depth"
            f" {'/'.join(figures['frames_by_depth']) or '–'}{noise} | {stages} ms"
            f" | age p50 {_ms(age['p50'])}, p99 {_ms(age['p99'])} ms"
        )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
