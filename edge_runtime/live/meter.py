"""What a live run did, counted as it goes, in memory that does not grow."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.live.source import Clock

MILLISECONDS_PER_SECOND = 1000

SHORTEST_S = 1e-5
LONGEST_S = 1e3
"""Times are told apart between these."""
FINENESS = 1.02
"""Ratio of a bin's ends: percentiles are right to 2 %."""

HAND_OVER_S = 0.02
"""What Python and the system may take to hand a frame from thread to thread, in all."""


class Spread:
    """Times, sorted into bins: percentiles of any number of them."""

    def __init__(self) -> None:
        n_bins = 1 + math.ceil(math.log(LONGEST_S / SHORTEST_S, FINENESS))
        self._bins = np.zeros(n_bins, np.int64)
        self.n = 0
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        ratio = min(max(seconds, SHORTEST_S), LONGEST_S) / SHORTEST_S
        self._bins[round(math.log(ratio, FINENESS))] += 1
        self.n += 1
        self.longest_s = max(self.longest_s, seconds)

    def percentile_ms(self, share: float) -> float | None:
        """Return the time that this share of all is within; None without any."""
        if not self.n:
            return None
        within = np.searchsorted(np.cumsum(self._bins), share * self.n)
        seconds = min(SHORTEST_S * FINENESS ** int(within), self.longest_s)
        return round(seconds * MILLISECONDS_PER_SECOND, 3)


@dataclass(frozen=True)
class Tally:
    """What happened in a part of a run."""

    seconds: float
    n_captured: int
    n_shown: int
    depths: dict[int, int]
    """Depth to the frames filtered at it."""
    decode: Spread
    filter: Spread
    output: Spread
    age: Spread
    """From a frame's coming until it had gone out."""

    @property
    def fps(self) -> float:
        """Frames shown in a second."""
        return self.n_shown / self.seconds if self.seconds > 0 else 0.0

    @property
    def bound_s(self) -> float:
        """The age that no frame may exceed; see `pipeline`."""
        stages_s = self.filter.longest_s + self.output.longest_s
        return 2 * stages_s + HAND_OVER_S

    def figures(self) -> dict[str, Any]:
        """Return the figures for a JSON object, times in milliseconds."""
        stages = {"decode": self.decode, "filter": self.filter, "output": self.output}
        return {
            "seconds": round(self.seconds, 3),
            "n_captured": self.n_captured,
            "n_shown": self.n_shown,
            "fps_shown": round(self.fps, 2),
            "frames_by_depth": {
                str(depth): n for depth, n in sorted(self.depths.items())
            },
            **{f"{name}_ms": _figures(spread) for name, spread in stages.items()},
            "age_ms": _figures(self.age),
            "age_bound_ms": round(self.bound_s * MILLISECONDS_PER_SECOND, 3),
        }


class Meter:
    """Counts frames and times; any thread may tell it of one."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = [_Counts(clock())]
        """Of the whole run, then of the part that each watcher has not seen."""
        self.sigma: float | None = None
        """Of the latest frame, units of 255; None where none is asked for."""
        self.n_over_bound = 0
        """Frames older than the bound, as far as it was known when they went out."""

    def begin(self) -> None:
        """Count from now on."""
        with self._lock:
            self._counts = [_Counts(self._clock()) for _ in self._counts]

    def captured(self, decode_s: float, n_frames: int = 1) -> None:
        """Count a frame that has come, and those missed before it."""
        with self._lock:
            for counts in self._counts:
                counts.n_captured += n_frames
                counts.decode.add(decode_s)

    def filtered(self, seconds: float, depth: int, sigma: float | None) -> None:
        """Count a frame that the filter has done."""
        with self._lock:
            self.sigma = sigma
            for counts in self._counts:
                counts.depths[depth] += 1
                counts.filter.add(seconds)

    def shown(self, age_s: float, seconds: float) -> None:
        """Count a frame that has gone out."""
        with self._lock:
            for counts in self._counts:
                counts.output.add(seconds)
                counts.age.add(age_s)
            self.n_over_bound += age_s > self._counts[0].tally(0.0).bound_s

    def whole(self) -> Tally:
        """Return the tally from the beginning."""
        with self._lock:
            return self._counts[0].tally(self._clock())

    def watch(self) -> Callable[[], Tally]:
        """Return what gives the tally since its own last call."""
        with self._lock:
            place = len(self._counts)
            self._counts.append(_Counts(self._clock()))

        def part() -> Tally:
            with self._lock:
                now_s = self._clock()
                seen, self._counts[place] = self._counts[place], _Counts(now_s)
                return seen.tally(now_s)

        return part


class _Counts:
    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.n_captured = 0
        self.depths: Counter[int] = Counter()
        self.decode, self.filter = Spread(), Spread()
        self.output, self.age = Spread(), Spread()

    def tally(self, now_s: float) -> Tally:
        return Tally(
            now_s - self.began_s,
            self.n_captured,
            self.age.n,
            dict(self.depths),
            self.decode,
            self.filter,
            self.output,
            self.age,
        )


def _figures(spread: Spread) -> dict[str, float | None]:
    return {
        "p50": spread.percentile_ms(0.5),
        "p99": spread.percentile_ms(0.99),
        "longest": round(spread.longest_s * MILLISECONDS_PER_SECOND, 3)
        if spread.n
        else None,
    }
