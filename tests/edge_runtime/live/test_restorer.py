from collections.abc import Iterator

import numpy as np
import pytest

from edge_runtime.image_filter import ImageFilter, open_filter
from edge_runtime.live.restorer import NoiseFollower, Restorer
from edge_runtime.noise_level import estimate_sigma
from edge_runtime.pictures import add_noise, to_8_bits
from tests.demo_app.hand_made_bundles import blur_bundle
from tests.edge_runtime.live.frames import waves


@pytest.fixture(scope="module")
def blur(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageFilter]:
    folder = blur_bundle(tmp_path_factory.mktemp("bundles"))
    with open_filter(str(folder), precision="fp32") as image_filter:
        yield image_filter


def test_noise_is_judged_from_the_first_frames_and_followed_slowly() -> None:
    """The first five frames' mean; then a fifth of the way each second."""
    now_s = [0.0]
    estimates = iter([10.0, 20.0, 10.0, 20.0, 15.0, 25.0, 25.0])
    follower = NoiseFollower(lambda _: next(estimates), clock=lambda: now_s[0])
    picture = np.zeros((8, 8, 3), np.float32)
    levels = [follower.level(picture) for _ in range(6)]
    for now in (1.0, 1.5, 2.0):
        now_s[0] = now
        levels.append(follower.level(picture))

    expected = [10.0, 15.0, 40 / 3, 15.0, 15.0, 15.0, 17.0, 17.0, 18.6]
    assert pytest.approx(expected) == levels


@pytest.mark.parametrize("sigma", [10.0, 25.0])
def test_noise_of_a_video_is_found(sigma: float) -> None:
    """Within a tenth of what was added, on 8-bit frames of any size."""
    frames = [add_noise(waves(300, 400), sigma, seed, clip=True) for seed in range(5)]
    follower = NoiseFollower(estimate_sigma)

    levels = [follower.level(picture) for picture in frames]

    assert pytest.approx(sigma, rel=0.1) == levels[-1]


def test_depth_is_the_deepest_that_a_frame_has_time_for(blur: ImageFilter) -> None:
    """On a clock of the test's own, in which a tile at depth N takes N ticks."""
    pixels = to_8_bits(np.zeros((48, 64, 3), np.float32))
    ticks = Ticking(blur)

    slow = Restorer(ticks.filter, 1 / 1.5, None, 25.0, ticks.clock)
    slow.prepare(pixels)
    fast = Restorer(ticks.filter, 1 / 2.5, None, 25.0, ticks.clock)
    fast.prepare(pixels)

    assert 1 == slow.restore(pixels).depth
    assert 2 == fast.restore(pixels).depth


def test_frames_of_another_size_are_measured_anew(blur: ImageFilter) -> None:
    """Four times the tiles leave no time for the deeper one."""
    ticks = Ticking(blur)
    restorer = Restorer(ticks.filter, 1 / 4.0, None, 25.0, ticks.clock)
    small, large = (
        to_8_bits(np.zeros((side, side, 3), np.float32)) for side in (64, 120)
    )
    restorer.prepare(small)

    depths = [restorer.restore(pixels).depth for pixels in (small, large, small)]

    n_large = blur.n_tiles(120, 120, 1)
    assert n_large >= 3
    assert [2, 1, 2] == depths


def test_a_machine_that_is_slow_at_first_goes_deep_when_it_is_calm(
    blur: ImageFilter,
) -> None:
    """The deeper depth is offered though there was no time to measure it."""
    pixels = to_8_bits(np.zeros((48, 64, 3), np.float32))
    ticks = Ticking(blur)
    restorer = Restorer(ticks.filter, 1 / 2.5, None, 25.0, ticks.clock)
    ticks.slowness = 10.0
    restorer.prepare(pixels)
    before = restorer.restore(pixels).depth

    ticks.slowness = 1.0
    after = [restorer.restore(pixels).depth for _ in range(8)]

    assert 1 == before
    assert 2 == after[-1]


class Ticking:
    """A filter whose work takes a second per tile and depth, on a clock of its own."""

    def __init__(self, blur: ImageFilter) -> None:
        self._now_s = 0.0
        self.slowness = 1.0
        engine = blur.engine
        ticking = self

        class Engine(type(engine)):  # type: ignore[misc]
            """The same engine, whose calls move the clock."""

            def __init__(self) -> None:
                self.__dict__ = engine.__dict__

            def _outputs(self, spec: object, arrays: object) -> object:
                ticking._now_s += spec.depth * ticking.slowness  # type: ignore[attr-defined]
                return super()._outputs(spec, arrays)

        self.filter = ImageFilter(blur.bundle, Engine())

    def clock(self) -> float:
        return self._now_s
