# ruff: noqa: E402 (what follows importorskip needs OpenCV)
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip(
    "cv2", reason="the live extra is not installed", exc_type=ImportError
)

from edge_runtime.errors import VideoError
from edge_runtime.live.opencv import Camera, VideoEncoder, VideoFile
from tests.edge_runtime.live.frames import PATIENCE_S, frame, number_of

XVFB = shutil.which("Xvfb")
ROOT = Path(__file__).parents[3]


def video(path: Path, *numbers: int, height: int = 48, width: int = 64) -> Path:
    """Write a video of plain frames with our own encoder."""
    encoder = VideoEncoder(path, 25.0, (width, height))
    for number in numbers:
        encoder.write(frame(number, height, width))
    encoder.close()
    return path


@pytest.mark.parametrize("ending", [".avi", ".mkv", ".mp4"])
@pytest.mark.parametrize("size", [(48, 64), (47, 65)])
def test_what_is_recorded_is_played(
    tmp_path: Path, ending: str, size: tuple[int, int]
) -> None:
    """Frame by frame, in RGB, with its rate; of an odd size the last line is cut."""
    height, width = size
    path = video(tmp_path / f"a{ending}", 10, 100, 200, height=height, width=width)

    source = VideoFile(path)
    shots = [source.read() for _ in range(4)]
    source.close()

    assert 25.0 == source.fps
    assert shots[3] is None
    pixels = [shot.pixels for shot in shots[:3] if shot is not None]
    even = (height // 2 * 2, width // 2 * 2, 3)
    assert [even] * 3 == [one.shape for one in pixels]
    assert pytest.approx([10, 100, 200], abs=5) == [number_of(one) for one in pixels]


def test_a_colon_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera names a video by the time, and the user stands in its folder."""
    monkeypatch.chdir(tmp_path)

    source = VideoFile(video(Path("12:30:00.mp4"), 100))
    shot = source.read()
    source.close()

    assert shot is not None
    assert pytest.approx(100, abs=5) == number_of(shot.pixels)


def test_a_path_that_is_no_text_is_told(tmp_path: Path) -> None:
    """It would end the process in OpenCV."""
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    device = folder / "camera"
    device.symlink_to("/dev/null")
    message = "its path is not UTF-8, as OpenCV expects; rename it"

    with pytest.raises(VideoError) as read:
        VideoFile(folder / "a.mp4")
    with pytest.raises(VideoError) as written:
        VideoEncoder(folder / "a.mp4", 25.0, (64, 48))
    with pytest.raises(VideoError) as opened:
        Camera(device, (64, 48), None)

    assert [f"{folder / 'a.mp4'}: {message}", f"{folder}: {message}"] == [
        str(read.value),
        str(written.value),
    ]
    assert f"{device}: {message}" == str(opened.value)


def test_colours_keep_their_places(tmp_path: Path) -> None:
    """Red stays red."""
    encoder = VideoEncoder(tmp_path / "a.avi", 25.0, (64, 48))
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    encoder.write(red)
    encoder.close()

    shot = VideoFile(tmp_path / "a.avi").read()

    assert shot is not None
    assert pytest.approx([200, 0, 0], abs=6) == shot.pixels.mean(axis=(0, 1)).tolist()


def test_a_video_may_be_played_again_and_again(tmp_path: Path) -> None:
    """It begins anew at its end."""
    source = VideoFile(video(tmp_path / "a.avi", 10, 100), is_loop=True)

    shots = [source.read() for _ in range(5)]

    levels = [number_of(shot.pixels) for shot in shots if shot is not None]
    assert pytest.approx([10, 100, 10, 100, 10], abs=3) == levels


@pytest.mark.parametrize("data", [b"", b"no video", bytes(5000)])
def test_what_is_no_video_is_told(
    tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """In our words alone: OpenCV's own do not reach the terminal."""
    path = tmp_path / "a.mp4"
    path.write_bytes(data)

    with pytest.raises(VideoError) as caught:
        VideoFile(path)

    assert f"{path}: is no video that OpenCV can read" == str(caught.value)
    assert ("", "") == capfd.readouterr()


def test_a_video_that_is_cut_off_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    """Its header is there, its end is not; that is told."""
    path = video(tmp_path / "a.avi", *range(0, 200, 2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = VideoFile(path)

    n_frames = 0
    with pytest.raises(VideoError) as caught:
        while source.read() is not None:
            n_frames += 1

    assert 10 < n_frames < 100
    assert (
        f"{path}: ends after {n_frames} of 100 frames: it is cut off or damaged there"
        == str(caught.value)
    )


@pytest.mark.parametrize("ending", [".avi", ".mkv", ".mp4"])
def test_a_recording_that_a_limit_cuts_off_is_told(tmp_path: Path, ending: str) -> None:
    """OpenCV's writer takes it for whole."""
    encoder = VideoEncoder(tmp_path / f"a{ending}", 25.0, (320, 240))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        for number in range(100):
            encoder.write(np.roll(noise, number, axis=1))
        with pytest.raises(VideoError, match="its 100 frames were not all written"):
            encoder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    encoder.close()


def test_a_camera_that_is_not_there_is_told() -> None:
    """Before OpenCV looks for it."""
    with pytest.raises(VideoError, match="/dev/video97: no such camera, found "):
        Camera(Path("/dev/video97"), (640, 480), None)


def test_a_device_that_is_no_camera_is_told() -> None:
    """It can be opened, and gives no pictures."""
    with pytest.raises(VideoError) as caught:
        Camera(Path("/dev/null"), (640, 480), None)

    assert (
        "/dev/null: gives no pictures: another program uses it, or it is no camera (a"
        " Raspberry Pi's own is --camera pi)" == str(caught.value)
    )


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display without a screen."""
    if XVFB is None:
        pytest.skip("Xvfb is not installed")
    reading = subprocess.Popen(
        [XVFB, "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert reading.stdout is not None
    yield f":{reading.stdout.readline().strip()}"
    reading.terminate()
    reading.wait(PATIENCE_S)
    reading.stdout.close()


WINDOW = """
import numpy as np
import cv2
from edge_runtime.live.opencv import TITLE, Window
window = Window()
shown = []
for number in range(3):
    window.write(np.full((48, 64, 3), number, np.uint8), number)
    shown.append(window.has_ended)
cv2.destroyWindow(TITLE)
window.idle()
print(*shown, window.has_ended)
window.close()
"""


def test_a_window_opens_shows_frames_and_ends_when_it_is_closed(display: str) -> None:
    """On a real display; nothing but its own words on the terminal."""
    done = subprocess.run(
        [sys.executable, "-c", WINDOW],
        cwd=ROOT,
        env={"DISPLAY": display, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ("False False False True\n", "") == (done.stdout, done.stderr)


def test_a_missing_display_is_one_line() -> None:
    """Where Qt would end the process."""
    done = subprocess.run(
        [sys.executable, "-c", "from edge_runtime.live.opencv import Window; Window()"],
        cwd=ROOT,
        env={"DISPLAY": ":97", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.stderr.splitlines()[-1].endswith(
        "VideoError: window: cannot be opened: there is no display, or OpenCV was built"
        " without windows; take --serve"
    )
