"""A video file that is written while frames come, and keeps their time."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import VideoError
from edge_runtime.files import replacing
from edge_runtime.live import jpeg
from edge_runtime.live.sink import Sink

RESERVE_BYTES = 1 << 26
"""A recording ends while the disk has so much room left: it can be finished then."""
VIDEO_ENDINGS = (".avi", ".mkv", ".mp4", ".mjpeg")


class Encoder(ABC):
    """Makes a file of pictures that have all one size."""

    keeps_time: bool
    """Whether each picture lasts as long as the other in this file."""

    @abstractmethod
    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture, (Y, X, 3) RGB."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file; VideoError if it then lacks some of its pictures."""


@final
class JpegFile(Encoder):
    """One JPEG after another, without times."""

    keeps_time = False

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, picture: NDArray[np.uint8]) -> None:
        self._file.write(jpeg.encode(picture))

    def close(self) -> None:
        self._file.close()


@final
class Recording(Sink):
    """Frames to a file; where some were dropped, the next one stands in for them."""

    def __init__(
        self,
        path: Path,
        temporary: Path,
        make: Callable[[tuple[int, int]], Encoder],
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        """`make` gives the encoder of frames of a width and height, in pixels.

        `path` is what messages call it; it lies in `temporary` until it is done.
        """
        super().__init__(str(path))
        self._folder, self._make = temporary.parent, make
        self._free_bytes = free_bytes or (lambda folder: shutil.disk_usage(folder).free)
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self.is_empty = True
        """Whether it took no frame."""
        self._number = -1
        """Of the latest frame."""

    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        size = picture.shape[1], picture.shape[0]
        if self._encoder is None:
            self._encoder, self._size = self._make(size), size
            self.is_empty = False
        if size != self._size:
            self.end(
                f"{self.name}: ends with frame {number}, which is {size[0]}×{size[1]}:"
                f" it began with {self._size[0]}×{self._size[1]}, and has one size"
            )
            return
        if self._free_bytes(self._folder) < RESERVE_BYTES:
            self.end(
                f"{self.name}: ends with frame {number}: the disk has less than"
                f" {RESERVE_BYTES >> 20} MB left"
            )
            return
        n_due = number - self._number if self._encoder.keeps_time else 1
        for _ in range(n_due):
            self._encoder.write(picture)
        self._number = number

    def idle(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            encoder.close()
        except VideoError as error:  # what is there is kept
            self.end(f"{self.name}: {error}")


@contextmanager
def recording(
    path: Path, make: Callable[[Path, tuple[int, int]], Encoder]
) -> Iterator[Recording]:
    """Yield a recording that becomes `path` when the block ends well.

    `make` gives the encoder of a file and a width and height. Raises SettingError
    where the folder cannot be written, VideoError if no frame came.
    """
    with replacing(path) as temporary:
        sink = Recording(path, temporary, lambda size: make(temporary, size))
        try:
            yield sink
        finally:
            sink.close()
        if sink.is_empty:
            raise VideoError(f"{path}: not written, as no frame came")
