import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edge_runtime.errors import VideoError
from edge_runtime.live.source import Paced, Reconnecting
from edge_runtime.live.stop import Stop
from tests.edge_runtime.live.frames import FifoCamera, Frames, number_of


def test_a_video_comes_at_its_pace() -> None:
    """Frames that are there at once come a period apart, and say when they were due."""
    paced = Paced(Frames(5), 2.0, Stop())
    paced.read()
    began_s = time.monotonic()

    shots = [shot for _ in range(4) if (shot := paced.read()) is not None]

    assert [1, 2, 3, 4] == [number_of(shot.pixels) for shot in shots]
    steps = [later.came_s - shot.came_s for shot, later in pairwise(shots)]
    assert all(step >= 0.5 - 1e-9 for step in steps)
    assert time.monotonic() - began_s >= 1.5
    assert paced.read() is None


def test_a_late_reader_misses_what_is_over() -> None:
    """As a camera's would; after a long pause the pace goes on from then."""
    now_s = [0.0]
    stop = Stop()
    stop.set()  # so that nothing is waited for
    paced = Paced(Frames(100), 10.0, stop, clock=lambda: now_s[0])
    found = []

    for now in (-9.0, 0.1, 0.55, 100.0, 100.0):
        now_s[0] = now
        shot = paced.read()
        assert shot is not None
        found.append((number_of(shot.pixels), shot.n_missed, round(shot.came_s, 6)))

    assert [(1, 0, 0.1), (5, 3, 0.5), (16, 10, 100.0), (17, 0, 100.1)] == found[1:]


def test_a_camera_that_is_unplugged_is_told_of_once_and_taken_up_again(
    tmp_path: Path,
) -> None:
    """A FIFO stands for the device: it ends, vanishes, and comes back."""
    device = tmp_path / "video0"
    said: list[str] = []
    stop = Stop()

    def plug_in(frames: bytes) -> None:
        os.mkfifo(device)
        with device.open("wb") as file:
            file.write(frames)
            # As its reader finds the end, there is no device to open any more.
            device.unlink()

    plugged = threading.Thread(target=plug_in, args=(b"\1\2",))
    plugged.start()
    while not device.exists():
        time.sleep(0.01)
    camera = Reconnecting(lambda: FifoCamera(device), said.append, stop, pause_s=0.05)
    before = [camera.read(), camera.read()]
    plugged.join()
    again = threading.Timer(0.3, plug_in, args=(b"\3",))
    again.start()
    after = camera.read()
    again.join()
    camera.close()

    assert [1, 2, 3] == [number_of(s.pixels) for s in (*before, after) if s is not None]
    assert [
        "video0: gives no more frames; looking for it every 0.05 s",
        said[1],
    ] == said
    assert said[1].startswith("video0: is back after ")
    assert 1 == camera.n_returns


def test_a_camera_that_never_was_there_is_not_waited_for(tmp_path: Path) -> None:
    """The first opening fails at once."""
    with pytest.raises(VideoError, match="video9: no such camera"):
        Reconnecting(lambda: FifoCamera(tmp_path / "video9"), print, Stop())


def test_waiting_for_a_camera_ends_with_the_run(tmp_path: Path) -> None:
    """Whoever ends the run while the camera is gone does not wait for it."""
    stop = Stop()
    device = tmp_path / "video0"
    device.touch()
    camera = Reconnecting(lambda: FifoCamera(device), lambda _: stop.set(), stop)

    assert camera.read() is None
