"""A Raspberry Pi's own camera, through Debian's python3-picamera2."""

from __future__ import annotations

import time
from typing import Any, final

import numpy as np

from edge_runtime.errors import SettingError, VideoError
from edge_runtime.live.source import Shot, Source, SourceGoneError

FPS = 30.0


@final
class PiCamera(Source):
    """The camera at a Raspberry Pi's own port."""

    def __init__(self, number: int, size: tuple[int, int], fps: float | None) -> None:
        """Ask for a width, height and rate.

        Raises SettingError where picamera2 is missing, VideoError where the camera is
        not there or busy.
        """
        super().__init__(f"pi camera {number}", fps or FPS)
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise SettingError(
                "picamera2 is not installed; on a Raspberry Pi run: sudo apt install"
                " python3-picamera2, and make the environment by python3 -m venv"
                " --system-site-packages"
            ) from error
        try:
            self._camera: Any = Picamera2(number)
            # libcamera names the order of a pixel's bytes backwards: this is RGB.
            main = {"size": size, "format": "BGR888"}
            controls = {"FrameRate": self.fps}
            self._camera.configure(
                self._camera.create_video_configuration(main=main, controls=controls)
            )
            self._camera.start()
        except (IndexError, RuntimeError) as error:
            raise VideoError(f"{self.name}: cannot be opened: {error}") from error

    def read(self) -> Shot | None:
        try:
            request = self._camera.capture_request()
        except RuntimeError as error:
            raise SourceGoneError(f"{self.name}: gives no more frames") from error
        came_s = time.monotonic()
        try:
            pixels = np.array(request.make_array("main"), np.uint8)  # (Y, X, 3)
        finally:
            request.release()
        return Shot(pixels, came_s, time.monotonic() - came_s)

    def close(self) -> None:
        self._camera.close()
