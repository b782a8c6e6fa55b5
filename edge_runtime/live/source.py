"""Where frames come from, and what may happen to that on the way."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import VideoError
from edge_runtime.live.stop import Stop

RETRY_S = 1.0
"""Pause between two looks for a camera that is gone."""

MOST_MISSED_S = 1.0
"""Most of a video that is passed over at a time."""

Clock = Callable[[], float]
"""Gives seconds as time.monotonic does."""


@dataclass(frozen=True)
class Shot:
    """One frame, as it came."""

    pixels: NDArray[np.uint8]
    """(Y, X, 3), RGB."""
    came_s: float
    """When it had come, by time.monotonic; its age counts from here."""
    decode_s: float
    """What it took to make pixels of it."""
    n_missed: int = 0
    """Frames before it that came too late to be told of."""


class Source(ABC):
    """Gives frames one by one; one thread at a time reads."""

    def __init__(self, name: str, fps: float | None) -> None:
        self.name = name
        """As messages call it."""
        self.fps = fps
        """Frames a second; None if it does not tell."""

    @abstractmethod
    def read(self) -> Shot | None:
        """Return the next frame as soon as it is there, None after the last.

        Raises SourceGoneError for a camera that was there and is no more, VideoError
        for what cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it; closing twice does nothing."""


class SourceGoneError(VideoError):
    """A source that gave frames gives none now, and may come back."""


@final
class Paced(Source):
    """A source's frames at a steady pace, as a camera would give them.

    The pace begins with the second frame. Where frames are fetched too late, those
    that are over are missed.
    """

    def __init__(
        self, source: Source, fps: float, stop: Stop, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(source.name, fps)
        self._source, self._stop, self._clock = source, stop, clock
        self._period_s = 1 / fps
        self._most_missed = math.ceil(fps * MOST_MISSED_S)
        self._due_s: float | None = None
        self._is_first = True

    def read(self) -> Shot | None:
        shot = self._source.read()
        if self._is_first or shot is None:
            self._is_first = False
            return shot
        now_s = self._clock()
        due_s = now_s if self._due_s is None else self._due_s + self._period_s
        n_missed = 0
        while now_s - due_s > self._period_s and n_missed < self._most_missed:
            if (newer := self._source.read()) is None:
                break
            shot, n_missed = newer, n_missed + 1
            now_s, due_s = self._clock(), due_s + self._period_s
        if now_s - due_s > self._period_s:  # nobody could keep up: go on from here
            due_s = now_s
        self._due_s = due_s
        self._stop.wait(max(0.0, due_s - now_s))
        return replace(shot, came_s=due_s, n_missed=n_missed)

    def close(self) -> None:
        self._source.close()


@final
class Reconnecting(Source):
    """A camera that may be unplugged: it is told of, and taken up again."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        say: Callable[[str], None],
        stop: Stop,
        pause_s: float = RETRY_S,
        clock: Clock = time.monotonic,
    ) -> None:
        """Open it; raises VideoError where it is not there to begin with."""
        source = open_source()
        super().__init__(source.name, source.fps)
        self._source: Source | None = source
        self._open, self._say, self._stop = open_source, say, stop
        self._pause_s, self._clock = pause_s, clock
        self._gone_since_s: float | None = None
        self.n_returns = 0
        """How often it was gone and came back."""

    def read(self) -> Shot | None:
        while not self._stop.is_set():
            try:
                if self._source is None:
                    self._source = self._open()
                shot = self._source.read()
            except VideoError as error:
                is_gone = self._gone_since_s is not None
                if not (is_gone or isinstance(error, SourceGoneError)):
                    raise
                self._lose(error)
                self._stop.wait(self._pause_s)
                continue
            self._find()
            return shot
        return None

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    def _lose(self, error: VideoError) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._gone_since_s is None:
            self._gone_since_s = self._clock()
            self._say(f"{error}; looking for it every {self._pause_s:g} s")

    def _find(self) -> None:
        if self._gone_since_s is not None:
            away_s = self._clock() - self._gone_since_s
            self._gone_since_s = None
            self.n_returns += 1
            self._say(f"{self.name}: is back after {away_s:.1f} s")
