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
    began_s = time.monotonic()
    paced = Paced(Frames(4), 50.0, Stop())

    shots = [shot for _ in range(4) if (shot := paced.read()) is not None]

    assert [0, 1, 2, 3] == [number_of(shot.pixels) for shot in shots]
    steps = [later.came_s - shot.came_s for shot, later in pairwise(shots)]
    assert all(step >= 0.02 - 1e-9 for step in steps)
    assert time.monotonic() - began_s >= 0.06
    assert paced.read() is None


def test_a_slow_reader_does_not_catch_up() -> None:
    """After a pause the pace goes on from then, as a camera's would."""
    now_s = [0.0]
    stop = Stop()
    stop.set()  # so that nothing is waited for
    paced = Paced(Frames(4), 10.0, stop, clock=lambda: now_s[0])
    came_s = []

    for now in (0.0, 0.1, 5.0, 5.0):
        now_s[0] = now
        shot = paced.read()
        assert shot is not None
        came_s.append(shot.came_s)

    assert pytest.approx([0.0, 0.1, 5.0, 5.1]) == came_s


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
