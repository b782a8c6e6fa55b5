"""A camera's pace, held by depth, while another program takes a core and gives it back.

The frames come at their times whether the filter is done or not; one that a newer frame
overtakes while it waits is lost.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edge_runtime.frame_budget import FrameBudget, calm_seconds
from edge_runtime.image_filter import ImageFilter

MILLISECONDS_PER_SECOND = 1000
SIGMA = 25.0

Row = dict[str, Any]


def paced_run(
    image_filter: ImageFilter, fps: float, seconds: float, busy: tuple[float, float]
) -> Iterator[Row]:
    """Yield a row per frame of one tile: when, depth, time, what else was running.

    From `busy[0]` to `busy[1]` seconds another process computes without a pause.
    """
    rows, columns = image_filter.spec.tile_px
    frame = np.random.default_rng(0).random((rows, columns, 3), np.float32)
    calm = calm_seconds(
        lambda depth: image_filter.apply(frame, SIGMA, depth),
        image_filter.bundle.depths,
    )
    budget = FrameBudget(1 / fps, calm)
    with _other_program() as other:
        began = time.perf_counter()
        number = 0
        while number < fps * seconds:
            wait = number / fps - (time.perf_counter() - began)
            time.sleep(max(0.0, wait))
            started = time.perf_counter() - began
            is_busy = busy[0] <= started < busy[1]
            if is_busy:
                other.set()
            else:
                other.clear()
            depth = budget.depth
            image_filter.apply(frame, SIGMA, depth)
            took = time.perf_counter() - began - started
            budget.took(took)
            # The newest frame that has come by now is the next one.
            following = max(number + 1, int((started + took) * fps))
            yield {
                "at_s": round(started, 4),
                "depth": depth,
                "ms": round(took * MILLISECONDS_PER_SECOND, 3),
                "other_program": is_busy,
                "lost": following - number - 1,
            }
            number = following


@contextmanager
def _other_program() -> Iterator[Any]:
    """Run a process that computes while an event is set; gives the event.

    The process is there, and idle, before the block begins: its start takes a core.
    """
    context = multiprocessing.get_context("spawn")
    event, ready = context.Event(), context.Event()
    process = context.Process(target=_compute_while, args=(event, ready), daemon=True)
    process.start()
    try:
        ready.wait()
        yield event
    finally:
        process.terminate()
        process.join()


def _compute_while(event: Any, ready: Any) -> None:
    ready.set()
    while event.wait():
        sum(range(10_000))
