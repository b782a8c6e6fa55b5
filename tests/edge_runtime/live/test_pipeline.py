"""The stages together, on frames that are plain pictures of their own number."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import TiedgeError, VideoError
from edge_runtime.image_filter import ImageFilter, open_filter
from edge_runtime.live.meter import Meter
from edge_runtime.live.pipeline import Pipeline
from edge_runtime.live.restorer import Restorer
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source
from edge_runtime.live.stop import Stop
from tests.demo_app.hand_made_bundles import blur_bundle
from tests.edge_runtime.live.frames import PATIENCE_S, Collected, Frames


@pytest.fixture(scope="module")
def blur(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageFilter]:
    """A filter that leaves plain pictures as they are."""
    folder = blur_bundle(tmp_path_factory.mktemp("bundles"))
    with open_filter(str(folder), precision="fp32") as image_filter:
        yield image_filter


class Trial:
    """A pipeline, and what came of it."""

    def __init__(
        self, blur: ImageFilter, source: Source, sink: Sink, *, keep_all: bool = False
    ) -> None:
        self.meter, self.stop = Meter(), Stop()
        self.restorer = Restorer(blur, 30.0, depth=1, sigma=25.0)
        self.pipeline = Pipeline(
            source, self.restorer, sink, self.meter, self.stop, keep_all=keep_all
        )
        self.source = source

    def run(self, seconds: float | None = None) -> TiedgeError | None:
        first = self.source.read()
        assert first is not None
        return self.pipeline.run(first, seconds)


def test_every_frame_goes_through_in_order(blur: ImageFilter) -> None:
    """With `keep_all`, none is dropped, however slow the end is."""
    sink = Collected(wait=lambda: time.sleep(0.005))
    trial = Trial(blur, Frames(40), sink, keep_all=True)

    failure = trial.run()

    assert failure is None
    assert list(range(40)) == sink.numbers == sink.levels
    assert 0 == trial.pipeline.n_dropped
    assert (40, 40) == (trial.meter.whole().n_captured, trial.meter.whole().n_shown)


def test_a_late_stage_drops_frames_and_never_queues_them(blur: ImageFilter) -> None:
    """Each frame shown is newer than the last; all others are counted as dropped."""
    sink = Collected(wait=lambda: time.sleep(0.05))
    trial = Trial(blur, Frames(200, wait=lambda: time.sleep(0.002)), sink)

    trial.run()

    whole = trial.meter.whole()
    assert sorted(set(sink.numbers)) == sink.numbers == sink.levels
    assert 199 == sink.numbers[-1]
    assert 200 == whole.n_captured == whole.n_shown + trial.pipeline.n_dropped
    assert trial.pipeline.n_dropped > 0


def test_the_stages_overlap(blur: ImageFilter) -> None:
    """Reading and writing for half a second each take less than their sum."""
    pause_s, n_frames = 0.05, 10
    sink = Collected(wait=lambda: time.sleep(pause_s))
    source = Frames(n_frames + 1, wait=lambda: time.sleep(pause_s))
    trial = Trial(blur, source, sink, keep_all=True)
    trial.restorer.prepare(Frames(1).read().pixels)  # type: ignore[union-attr]
    first = source.read()
    assert first is not None
    began_s = time.monotonic()

    trial.pipeline.run(first)

    together_s = time.monotonic() - began_s
    one_by_one_s = 2 * n_frames * pause_s + sum(
        trial.meter.whole().filter.longest_s for _ in range(n_frames)
    )
    assert together_s < one_by_one_s


def test_it_ends_after_its_time(blur: ImageFilter) -> None:
    """A source without an end is left, and frames on their way go nowhere."""
    trial = Trial(blur, Frames(10**9, wait=lambda: time.sleep(0.01)), Collected())
    began_s = time.monotonic()

    failure = trial.run(seconds=0.3)

    assert failure is None
    assert 0.3 <= time.monotonic() - began_s < 10


def test_it_ends_when_it_is_told(blur: ImageFilter) -> None:
    """Though the source hangs: a camera's driver may."""
    released = threading.Event()
    source = Frames(3, wait=lambda: source.n_read and released.wait(PATIENCE_S))
    trial = Trial(blur, source, Collected())
    threading.Timer(0.3, trial.stop.set).start()
    began_s = time.monotonic()

    failure = trial.run()

    assert failure is None
    assert time.monotonic() - began_s < 10
    released.set()


def test_a_sink_that_has_enough_ends_it(blur: ImageFilter) -> None:
    """As a window does that is closed."""
    sink = Collected()
    sink._wait = sink.end
    trial = Trial(blur, Frames(10**9, wait=lambda: time.sleep(0.01)), sink)

    failure = trial.run()

    assert failure is None
    assert 1 == len(sink.numbers)


class Failing(Source):
    """Two frames, then an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("failing", None)
        self._frames, self._error = Frames(2), error

    def read(self) -> Shot | None:
        shot = self._frames.read()
        if shot is None:
            raise self._error
        return shot

    def close(self) -> None: ...


def test_a_failing_source_ends_it_after_what_was_good(blur: ImageFilter) -> None:
    """An expected failure is handed over once the frames before are out."""
    sink = Collected()
    trial = Trial(blur, Failing(VideoError("stdin: garbage")), sink, keep_all=True)

    failure = trial.run()

    assert isinstance(failure, VideoError)
    assert "stdin: garbage" == str(failure)
    assert [0, 1] == sink.numbers


def test_a_bug_in_a_stage_is_not_swallowed(blur: ImageFilter) -> None:
    """It is raised where the run was started."""
    trial = Trial(blur, Failing(ZeroDivisionError("bug")), Collected(), keep_all=True)

    with pytest.raises(ZeroDivisionError, match="bug"):
        trial.run()


def test_the_bundles_may_lie_anywhere(tmp_path: Path) -> None:
    """A depth that is not offered is refused before anything runs."""
    with open_filter(str(blur_bundle(tmp_path)), precision="fp32") as image_filter:
        with pytest.raises(TiedgeError, match="depth is 3, expected one of 1 2"):
            Restorer(image_filter, 30.0, depth=3, sigma=None)
        with pytest.raises(TiedgeError, match="sigma is 99, expected 0 to 55"):
            Restorer(image_filter, 30.0, depth=1, sigma=99.0)
