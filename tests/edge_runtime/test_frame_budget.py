"""Depth that follows the clock, on a machine that is made up: it is as slow as told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from edge_runtime.errors import SettingError
from edge_runtime.frame_budget import FrameBudget, calm_seconds

BUDGET_S = 1 / 30
CALM_S = {1: 0.005, 2: 0.009, 4: 0.016, 8: 0.030}


@dataclass(frozen=True)
class Frame:
    at_s: float
    depth: int
    seconds: float

    @property
    def is_late(self) -> bool:
        return self.seconds > BUDGET_S


def play(slowness: Callable[[float], float], seconds: float = 6.0) -> tuple[Frame, ...]:
    """Return the frames of a machine that is `slowness` times as slow at a time."""
    budget = FrameBudget(BUDGET_S, CALM_S)
    frames = []
    now = 0.0
    while now < seconds:
        took = CALM_S[budget.depth] * slowness(now)
        frames.append(Frame(now, budget.depth, took))
        budget.took(took)
        now += max(took, BUDGET_S)
    return tuple(frames)


def test_a_calm_machine_runs_as_deep_as_fits() -> None:
    """From the first frame on, and without a change."""
    assert {8} == {frame.depth for frame in play(lambda now: 1.0)}


@pytest.mark.parametrize(("slowness", "depth"), [(1.5, 4), (3.0, 2), (6.0, 1)])
def test_a_machine_that_slows_down_is_followed_at_once(
    slowness: float, depth: int
) -> None:
    """Two frames are late, then the depth is what fits now."""
    frames = play(lambda now: slowness if now > 2.0 else 1.0)

    assert 2 == sum(frame.is_late for frame in frames)
    assert {depth} == {frame.depth for frame in frames if frame.at_s > 2.3}


def test_a_machine_that_recovers_is_deep_again_within_a_second() -> None:
    """As soon as half a second of frames left room, and no frame is late for it."""
    frames = play(lambda now: 3.0 if 1.0 < now < 3.0 else 1.0)

    after = [frame for frame in frames if frame.at_s > 3.0]
    assert {8} == {frame.depth for frame in after if frame.at_s > 4.0}
    assert not any(frame.is_late for frame in after)


def test_one_slow_frame_is_no_reason() -> None:
    """A hiccup of a single frame leaves the depth as it was."""
    frames = play(lambda now: 9.0 if 2.0 < now < 2.0 + BUDGET_S else 1.0)

    assert 1 == sum(frame.is_late for frame in frames)
    assert {8} == {frame.depth for frame in frames}


@pytest.mark.parametrize("slowness", np.linspace(0.9, 2.2, 14))
def test_the_depth_does_not_flutter(slowness: float) -> None:
    """With times that spread by 5 %, at any pace, it changes next to never."""
    random = np.random.default_rng(0)
    frames = play(lambda now: slowness * random.normal(1.0, 0.05), seconds=30.0)

    depths = [frame.depth for frame in frames]
    changes = sum(one != following for one, following in pairwise(depths))
    assert changes <= 4
    assert sum(frame.is_late for frame in frames) < 0.05 * len(frames)


def test_a_machine_that_is_too_slow_runs_the_shallowest() -> None:
    """There is nothing below; frames are late and none is left out."""
    assert 1 == play(lambda now: 20.0)[-1].depth


def test_a_budget_of_nothing_is_refused() -> None:
    """One line says what was found."""
    with pytest.raises(SettingError) as caught:
        FrameBudget(0.0, CALM_S)

    assert "frame budget: found 0 s, expected over 0" == str(caught.value)


def test_calm_times_are_the_shortest() -> None:
    """What else the machine did meanwhile is left out, as is the first run."""
    now = 0.0
    lasting = iter([9.0, 3.0, 2.0, 4.0, 9.0, 6.0, 5.0, 7.0])

    def run(depth: int) -> None:
        nonlocal now
        now += next(lasting)

    found = calm_seconds(run, (1, 2), n_runs=3, clock=lambda: now)

    assert {1: 2.0, 2: 5.0} == found
