"""Depth that follows the clock: as deep as the time for a frame allows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median

from edge_runtime.errors import SettingError

Clock = Callable[[], float]
"""Gives seconds; only differences count."""

N_LATE = 3
"""Frames whose median tells that the depth is too much: one slow frame is no reason,
two in a row are."""
CALM_SECONDS = 0.5
"""Frames of this long must leave room for more before the depth rises."""
CALM_SHARE = 0.8
"""Of them, so many; a slow one now and then is no reason to stay below."""
ROOM = 0.92
"""Part of the budget that a depth may be expected to fill when it is chosen. With all
of it, every second frame would be late, and the depth would go up and down."""


class FrameBudget:
    """Chooses the depth of each frame so that frames keep to a time.

    It knows how long each depth took on a calm machine, and learns from every frame
    how much slower the machine is now, by heat, by its clock or by other programs. Too
    slow, and the depth falls at the second late frame; it rises only after
    CALM_SECONDS in which most frames left room, so it does not flutter between two.
    """

    def __init__(
        self,
        seconds: float,
        calm_seconds: Mapping[int, float],
        depth: int | None = None,
    ) -> None:
        """Begin at `depth`, or at the deepest that fits.

        `seconds` is the budget of one frame, `calm_seconds` each depth's time on a calm
        machine. Raises SettingError for a budget that is not over zero.
        """
        if not seconds > 0:
            raise SettingError(f"frame budget: found {seconds:g} s, expected over 0")
        self.seconds = seconds
        self._calm = dict(sorted(calm_seconds.items()))
        n_calm = max(N_LATE, round(CALM_SECONDS / seconds))
        self._slowness: deque[float] = deque(maxlen=n_calm)
        """Time of each latest frame, by that of its depth on a calm machine."""
        self.depth = self._deepest(1.0) if depth is None else depth
        """The next frame's."""

    def change(self, seconds: float) -> None:
        """Take another budget from the next frame on, whose depth is chosen anew."""
        self.seconds = seconds
        self.depth = self._deepest(max(self._slowness, default=1.0))

    def took(self, seconds: float) -> None:
        """Learn that a frame at `depth` took so long, and choose the next one's."""
        self._slowness.append(seconds / self._calm[self.depth])
        if len(self._slowness) < N_LATE:
            return
        latest = list(self._slowness)[-N_LATE:]
        now = median(latest)
        if now * self._calm[self.depth] > self.seconds:
            self.depth = min(self.depth, self._deepest(now))
            self._slowness.clear()  # what was before tells nothing of now
            self._slowness.extend(latest)
        elif len(self._slowness) == self._slowness.maxlen:
            calm = sorted(self._slowness)
            higher = self._deepest(calm[int(CALM_SHARE * (len(calm) - 1))])
            if higher > self.depth:
                self.depth = higher
                self._slowness.clear()

    def _deepest(self, slowness: float) -> int:
        """Return the deepest depth that leaves room, else the shallowest."""
        room = ROOM * self.seconds
        fitting = [d for d, calm in self._calm.items() if calm * slowness <= room]
        return max(fitting, default=min(self._calm))


def calm_seconds(
    run: Callable[[int], object],
    depths: tuple[int, ...],
    n_runs: int = 5,
    clock: Clock = time.perf_counter,
) -> dict[int, float]:
    """Return the shortest of `n_runs` times of `run` at each depth, after one more."""
    times = {}
    for depth in depths:
        run(depth)
        lasted = []
        for _ in range(n_runs):
            started = clock()
            run(depth)
            lasted.append(clock() - started)
        times[depth] = min(lasted)
    return times
