"""OpenCV: USB cameras, video files and windows. Imported where one is asked for."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.child import answer, run_apart
from edge_runtime.errors import EngineError, VideoError
from edge_runtime.live.cameras import check_camera
from edge_runtime.live.recording import Encoder
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source, SourceGoneError

# Before the import: what these libraries say about files and fonts is none of the
# user's business, as our own messages say what failed. A camera that hangs does so
# for a second, not for ten.
for _name, _value in {
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "1",
    "QT_LOGGING_RULES": "*.warning=false",
}.items():
    os.environ.setdefault(_name, _value)

import cv2  # noqa: E402

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MOST_FPS = 240.0
"""A file that tells more does not know."""
CODECS = {".avi": "MJPG", ".mkv": "mp4v", ".mp4": "mp4v"}
"""By the file's ending."""
COUNTED = frozenset({".avi", ".m4v", ".mov", ".mp4"})
"""Endings of files that tell how many frames they have; of others it is a guess."""
LEAST_PART = 0.98
"""Of the frames that a file tells of; the first and last few are not always given."""
PLAIN_PX = 640 * 480
"""More than this a USB 2 camera sends at full rate as JPEG alone."""
CLOSING_KEYS = {27, ord("q")}
"""Escape and q."""
MILLISECONDS_PER_SECOND = 1000
MOST_DELAY_S = 1.0
"""A driver's time that lies further back counts on another clock."""

TITLE = "tiedge"


@final
class Camera(Source):
    """A camera behind V4L2."""

    def __init__(self, device: Path, size: tuple[int, int], fps: float | None) -> None:
        """Ask for a width, height and rate; the camera gives what it has nearest.

        Raises VideoError for one that is not there, closed to this user, or busy.
        """
        check_camera(device)
        self._capture = cv2.VideoCapture(_as_text(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise VideoError(
                f"{device}: gives no pictures: another program uses it, or it is no"
                " camera (a Raspberry Pi's own is --camera pi)"
            )
        if size[0] * size[1] > PLAIN_PX:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        super().__init__(str(device), _fps(self._capture))

    def read(self) -> Shot | None:
        if not self._capture.grab():
            raise SourceGoneError(f"{self.name}: gives no more frames")
        grabbed_s = time.monotonic()
        has_picture, picture = self._capture.retrieve()
        if not has_picture:
            raise SourceGoneError(f"{self.name}: gives frames that cannot be decoded")
        pixels = _to_rgb(picture)
        return Shot(pixels, self._came_s(grabbed_s), time.monotonic() - grabbed_s)

    def close(self) -> None:
        self._capture.release()

    def _came_s(self, grabbed_s: float) -> float:
        """Return when the driver had the frame; it may have waited for this thread."""
        came_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / MILLISECONDS_PER_SECOND
        return came_s if 0 <= grabbed_s - came_s <= MOST_DELAY_S else grabbed_s


@final
class VideoFile(Source):
    """A video file, as fast as it can be read."""

    def __init__(self, path: Path, *, is_loop: bool = False) -> None:
        """With `is_loop`, begin anew at the end; VideoError for what is no video."""
        self._path, self._is_loop = path, is_loop
        self._capture = self._open()
        self._n_read = 0
        super().__init__(str(path), _fps(self._capture))

    def read(self) -> Shot | None:
        started_s = time.monotonic()
        has_picture, picture = self._capture.read()
        if not has_picture and self._is_loop and self._n_read:
            self._capture.release()
            self._capture = self._open()
            has_picture, picture = self._capture.read()
        if not has_picture:
            self._check_end()
            return None
        self._n_read += 1
        pixels = _to_rgb(picture)
        now_s = time.monotonic()
        return Shot(pixels, now_s, now_s - started_s)

    def close(self) -> None:
        self._capture.release()

    def _check_end(self) -> None:
        if not self._n_read:
            raise VideoError(f"{self._path}: holds no frame that can be decoded")
        n_frames = _n_frames(self._capture)
        is_counted = self._path.suffix.lower() in COUNTED
        if is_counted and self._n_read < int(LEAST_PART * n_frames) - 1:
            raise VideoError(
                f"{self._path}: ends after {self._n_read} of {n_frames} frames: it is"
                " cut off or damaged there"
            )

    def _open(self) -> Any:
        # One backend: another takes the names of pictures for those of a sequence.
        capture = cv2.VideoCapture(_whole(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise VideoError(f"{self._path}: is no video that OpenCV can read")
        return capture


@final
class VideoEncoder(Encoder):
    """A video file in the codec of its ending; it cuts an odd last row or column."""

    keeps_time = True

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        _whole(path.parent)  # whose error does not tell a temporary file's name
        self._path, self._n_written = path, 0
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        self._writer = cv2.VideoWriter(_whole(path), cv2.CAP_FFMPEG, codec, fps, size)
        if not self._writer.isOpened():
            raise VideoError(
                f"{path.suffix}: OpenCV cannot write {size[0]}×{size[1]} at {fps:g} fps"
                " so; name a .mjpeg"
            )

    def write(self, picture: NDArray[np.uint8]) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._n_written += 1

    def close(self) -> None:
        if not self._writer.isOpened():
            return
        self._writer.release()  # which tells of no error, nor did any write
        written = cv2.VideoCapture(_whole(self._path), cv2.CAP_FFMPEG)
        n_frames = _n_frames(written)
        written.release()
        if n_frames < self._n_written - 1:
            raise VideoError(
                f"its {self._n_written} frames were not all written: a quota or the"
                " limit of a file's size was met"
            )


@final
class Window(Sink):
    """A window; closing it, q or Escape end the run."""

    def __init__(self) -> None:
        """Open it; VideoError where there is no display for it."""
        super().__init__("window")
        try:
            run_apart("edge_runtime.live.opencv", (), "a window")
        except EngineError as error:  # Qt ends a process that has no display
            raise VideoError(
                "window: cannot be opened: there is no display, or OpenCV was built"
                " without windows; take --serve"
            ) from error
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)

    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.idle()

    def idle(self) -> None:
        if cv2.waitKey(1) & 0xFF in CLOSING_KEYS or not _is_open():
            self.end()

    def close(self) -> None:
        cv2.destroyAllWindows()


def _whole(path: Path) -> str:
    """Return a file's path from the root on: FFmpeg takes `12:30.mp4` for an address.

    Raises VideoError as `_as_text` does.
    """
    return _as_text(path.absolute())


def _as_text(path: Path) -> str:
    """Return a path as OpenCV takes it; VideoError for one that would crash it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise VideoError(
            f"{path}: its path is not UTF-8, as OpenCV expects; rename it"
        ) from error
    return str(path)


def _fps(capture: Any) -> float | None:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= MOST_FPS else None  # NaN is neither


def _n_frames(capture: Any) -> int:
    """Return how many frames a file tells of, 0 where it does not."""
    n_frames = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return int(n_frames) if 0 < n_frames < float("inf") else 0


def _to_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # (Y, X, 3)
    return rgb


def _is_open() -> bool:
    try:
        return bool(cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:  # the last window is gone
        return False


def _open_window() -> None:
    cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)
    cv2.waitKey(1)


if __name__ == "__main__":
    answer(_open_window)
