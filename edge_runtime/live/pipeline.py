"""Capture, filter and output at the same time, each one frame ahead of the next.

    source ─► mailbox ─► filter ─► mailbox ─► sink
    thread               thread               main thread

A mailbox holds one frame. Where the next stage is late, a newer frame replaces the one
that waits, so a frame waits for at most one other in the filter and one other on its
way out: its age at the end is at most twice the slowest filter and twice the slowest
output, and what handing it over takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import TiedgeError
from edge_runtime.live.mailbox import Mailbox
from edge_runtime.live.meter import Meter
from edge_runtime.live.restorer import Restored, Restorer
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source
from edge_runtime.live.stop import STEP_S, Stop
from edge_runtime.pictures import to_8_bits

JOIN_S = 1.5
"""Most time for a stage to end: a camera that hangs takes a second. What takes longer
is left behind."""


@dataclass(frozen=True)
class _Frame:
    """One frame on its way."""

    number: int
    came_s: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class _Filtered:
    number: int
    came_s: float
    restored: Restored


class Pipeline:
    """One live run; the threads are its own."""

    def __init__(
        self,
        source: Source,
        restorer: Restorer,
        sink: Sink,
        meter: Meter,
        stop: Stop,
        *,
        keep_all: bool = False,
    ) -> None:
        """Nothing runs yet. `stop` ends it from outside, within JOIN_S.

        With `keep_all` no frame is dropped: a stage waits for the next.
        """
        self._source, self._restorer, self._sink = source, restorer, sink
        self._meter, self._stop = meter, stop
        self._incoming: Mailbox[_Frame] = Mailbox(keep_all=keep_all)
        self._outgoing: Mailbox[_Filtered] = Mailbox(keep_all=keep_all)
        self._n_missed = 0

    @property
    def n_dropped(self) -> int:
        """Frames that were missed, or that a newer one has replaced, so far."""
        return self._n_missed + self._incoming.n_dropped + self._outgoing.n_dropped

    def run(self, first: Shot, seconds: float | None = None) -> TiedgeError | None:
        """Run until the source or sink ends, `stop` is set or so many seconds are over.

        `first` is the source's first frame, already read. Returns the failure that
        ended it, if one did: what went out before is good.
        """
        until_s = None if seconds is None else time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._guarded, args=stage, daemon=True)
            for stage in (
                (lambda: self._capture(first), self._incoming),
                (self._filter, self._outgoing),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            self._put_out(until_s)
        except TiedgeError as error:
            return error
        finally:
            self._stop.set()
            self._incoming.close()
            self._outgoing.close()
            for thread in threads:
                thread.join(JOIN_S)
        return None

    @staticmethod
    def _guarded(stage: Callable[[], None], into: Mailbox[_Frame | _Filtered]) -> None:
        """Run a stage, and close what it fills: with its error, if it has one."""
        try:
            stage()
        except BaseException as error:
            into.close(error)
        else:
            into.close()

    def _capture(self, first: Shot) -> None:
        shot: Shot | None = Shot(first.pixels, time.monotonic(), first.decode_s)
        number = -1
        while shot is not None and not self._stop.is_set():
            self._meter.captured(shot.decode_s, 1 + shot.n_missed)
            self._n_missed += shot.n_missed
            number += 1 + shot.n_missed
            if not self._incoming.put(_Frame(number, shot.came_s, shot.pixels)):
                return
            shot = self._source.read()

    def _filter(self) -> None:
        while (frame := self._incoming.take()) is not None:
            started_s = time.monotonic()
            restored = self._restorer.restore(frame.pixels)
            self._meter.filtered(
                time.monotonic() - started_s, restored.depth, restored.sigma
            )
            filtered = _Filtered(frame.number, frame.came_s, restored)
            if not self._outgoing.put(filtered):
                return

    def _put_out(self, until_s: float | None) -> None:
        sink, outgoing = self._sink, self._outgoing
        while not (self._stop.is_set() or sink.has_ended or outgoing.is_over):
            if until_s is not None and time.monotonic() >= until_s:
                return
            filtered = outgoing.take(STEP_S)
            if filtered is None:
                sink.idle()
                continue
            started_s = time.monotonic()
            sink.write(to_8_bits(filtered.restored.picture), filtered.number)
            if sink.complaint is None:
                now_s = time.monotonic()
                self._meter.shown(now_s - filtered.came_s, now_s - started_s)
