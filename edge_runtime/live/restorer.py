"""Live frames through the filter: the depth follows the clock, the noise is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_runtime.frame_budget import FrameBudget, calm_seconds
from edge_runtime.image_filter import ImageFilter
from edge_runtime.live.source import Clock
from edge_runtime.pictures import to_float

Picture = NDArray[np.float32]

N_CALM_RUNS = 2
"""Of each depth on the first frame, after one more; the shortest counts."""
HOPELESS = 2.0
"""Frame budgets that a depth takes, from which on deeper ones are not measured but
reckoned: the machine may be calmer later."""

N_FIRST = 5
"""Frames from the first on that are all judged, and whose mean counts."""
JUDGE_S = 1.0
"""Time between two looks at the noise after that."""
NEW_SHARE = 0.2
"""What a new estimate counts beside the level so far: a change of the light is
followed within some seconds, one odd frame does not flicker."""
JUDGED_PX = 256
"""Side of the middle of a frame by which it is judged."""


@dataclass(frozen=True)
class Restored:
    """What became of a frame."""

    picture: Picture
    """(Y, X, 3) in 0–1."""
    depth: int
    sigma: float | None
    """Units of 255; None of a filter that takes no noise level."""


class NoiseFollower:
    """The noise level of frames, from the first ones, then followed slowly."""

    def __init__(
        self, estimate: Callable[[Picture], float], clock: Clock = time.monotonic
    ) -> None:
        self._estimate, self._clock = estimate, clock
        self._n_judged = 0
        self._level = 0.0
        self._judged_s = 0.0

    def level(self, picture: Picture) -> float:
        """Return the level to restore this frame, (Y, X, 3) in 0–1, with."""
        now_s = self._clock()
        if self._n_judged < N_FIRST or now_s - self._judged_s >= JUDGE_S:
            self._n_judged += 1
            self._judged_s = now_s
            share = max(1 / self._n_judged, NEW_SHARE)
            found = self._estimate(_middle(picture))
            self._level += share * (found - self._level)
        return self._level


class Restorer:
    """Restores frames of any size, one after another."""

    def __init__(
        self,
        image_filter: ImageFilter,
        fps: float,
        depth: int | None,
        sigma: float | None,
        clock: Clock = time.monotonic,
        *,
        strength: float | None = None,
        look: str | None = None,
    ) -> None:
        """Hold `fps` frames a second by the depth, unless `depth` is given.

        `sigma` in units of 255; None judges the frames. Raises SettingError for a
        setting that the bundle does not offer.
        """
        self._filter, self._fps, self._clock = image_filter, fps, clock
        self._depth = None if depth is None else image_filter.checked_depth(depth)
        image_filter.check_sigma(sigma)
        image_filter.check_strength(strength)
        image_filter.check_look(look)
        self._apply = partial(image_filter.apply, strength=strength, look=look)
        self._is_judged = sigma is None and image_filter.spec.sigma is not None
        self._sigma = sigma
        self._noise = NoiseFollower(image_filter.estimate_sigma, clock)
        self._shape: tuple[int, ...] = ()
        self._budget: FrameBudget | None = None

    def prepare(self, pixels: NDArray[np.uint8]) -> None:
        """Be ready for frames of this one's size: some seconds, where depth follows.

        Raises PictureError for frames whose noise cannot be judged.
        """
        picture = to_float(pixels)
        self._shape = picture.shape
        sigma = self._level(picture)
        if self._depth is None:
            self._budget = FrameBudget(
                1 / self._fps, self._calm_seconds(picture, sigma)
            )

    def restore(self, pixels: NDArray[np.uint8]) -> Restored:
        """Return a frame, (Y, X, 3) 8-bit RGB, restored."""
        if pixels.shape != self._shape:
            self.prepare(pixels)
        started_s = self._clock()
        picture = to_float(pixels)
        sigma = self._level(picture)
        budget = self._budget
        depth = self._depth if budget is None else budget.depth
        assert depth is not None  # one is given, or there is a budget
        restored = self._apply(picture, sigma, depth)
        if budget is not None:
            budget.took(self._clock() - started_s)
        return Restored(restored, depth, sigma)

    def _level(self, picture: Picture) -> float | None:
        return self._noise.level(picture) if self._is_judged else self._sigma

    def _calm_seconds(self, picture: Picture, sigma: float | None) -> dict[int, float]:
        """Return each depth's time, of frames as large as this one."""
        times: dict[int, float] = {}
        for depth in sorted(self._filter.bundle.depths):
            last = max(times, default=depth)
            if times.get(last, 0.0) * self._fps > HOPELESS:
                work = self._work(picture, depth) / self._work(picture, last)
                times[depth] = times[last] * work
            else:
                times |= calm_seconds(
                    lambda depth: self._apply(picture, sigma, depth),
                    (depth,),
                    N_CALM_RUNS,
                    self._clock,
                )
        return times

    def _work(self, picture: Picture, depth: int) -> int:
        """Return how often the block runs for a frame, which grows faster than time."""
        n_rows, n_columns, _ = picture.shape
        return depth * self._filter.n_tiles(n_rows, n_columns, depth)


def _middle(picture: Picture) -> Picture:
    """Return the part in the middle, at most JUDGED_PX a side."""
    top, left = (max(0, length - JUDGED_PX) // 2 for length in picture.shape[:2])
    return picture[top : top + JUDGED_PX, left : left + JUDGED_PX]
