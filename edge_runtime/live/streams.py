"""Frames as bytes: from stdin, to stdout, raw or as one JPEG after another."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import VideoError
from edge_runtime.live import jpeg
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source
from edge_runtime.live.stop import STEP_S, Stop

FORMATS = ("raw", "mjpeg")
N_CHANNELS = 3
READ_BYTES = 1 << 16
MOST_DAMAGED = 10
"""Damaged pictures in a row after which a stream is taken for something else."""


@final
class RawStream(Source):
    """Frames of one size, (Y, X, 3) 8-bit RGB, without anything between them."""

    def __init__(
        self, descriptor: int, name: str, size: tuple[int, int], stop: Stop
    ) -> None:
        """`size` is width and height, in pixels."""
        super().__init__(name, None)
        self._descriptor, self._stop = descriptor, stop
        self._shape = (size[1], size[0], N_CHANNELS)

    def read(self) -> Shot | None:
        pixels = np.empty(self._shape, np.uint8)
        left = pixels.data.cast("B")
        n_bytes = len(left)
        while left:
            with _reading(self.name):
                if not _is_ready(self._descriptor, self._stop):
                    return None
                n_read = os.readv(self._descriptor, [left])
            if n_read == 0:
                self._check_end(n_bytes - len(left), n_bytes)
                return None
            left = left[n_read:]
        return Shot(pixels, time.monotonic(), 0.0)

    def close(self) -> None:
        """Leave the descriptor to whoever opened it."""

    def _check_end(self, n_read: int, n_bytes: int) -> None:
        if n_read:
            height, width, _ = self._shape
            raise VideoError(
                f"{self.name}: ends after {n_read} bytes of a frame, expected {n_bytes}"
                f" for {width}×{height} in RGB; is --size right?"
            )


@final
class JpegStream(Source):
    """JPEG pictures one after another; single damaged ones are passed over."""

    def __init__(self, descriptor: int, name: str, stop: Stop) -> None:
        super().__init__(name, None)
        self._descriptor, self._stop = descriptor, stop
        self._splitter = jpeg.JpegSplitter(name)
        self._ready: deque[bytes] = deque()
        self._came_s = 0.0
        """When the last bytes did."""
        self._n_damaged = 0
        """In a row."""

    def read(self) -> Shot | None:
        while (picture := self._next()) is not None:
            started_s = time.monotonic()
            try:
                pixels = jpeg.decode(picture, self.name)
            except VideoError:
                self._n_damaged += 1
                if self._n_damaged == MOST_DAMAGED:
                    raise
                continue
            self._n_damaged = 0
            return Shot(pixels, self._came_s, time.monotonic() - started_s)
        return None

    def close(self) -> None:
        """Leave the descriptor to whoever opened it."""

    def _next(self) -> bytes | None:
        while not self._ready:
            with _reading(self.name):
                if not _is_ready(self._descriptor, self._stop):
                    return None
                data = os.read(self._descriptor, READ_BYTES)
            self._came_s = time.monotonic()
            if not data and self._splitter.is_inside:
                raise VideoError(f"{self.name}: ends within a JPEG picture")
            if not data:
                return None
            self._ready.extend(self._splitter.feed(data))
        return self._ready.popleft()


@final
class StreamSink(Sink):
    """Frames to a pipe or file that is open for writing."""

    def __init__(self, descriptor: int, name: str, form: str, stop: Stop) -> None:
        """`form` is one of FORMATS."""
        super().__init__(name)
        self._descriptor, self._stop, self._form = descriptor, stop, form
        self._shape: tuple[int, ...] = ()

    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        if self._form == "raw":
            self._check_size(picture)
            data = np.ascontiguousarray(picture).data.cast("B")
        else:
            data = memoryview(jpeg.encode(picture))
        while data and _has_room(self._descriptor, self._stop):
            # So much a pipe that has room takes without a wait.
            try:
                n_written = os.write(self._descriptor, data[: select.PIPE_BUF])
            except BrokenPipeError as error:
                raise VideoError(f"{self.name}: its reader has gone") from error
            data = data[n_written:]

    def idle(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        """Leave the descriptor to whoever opened it."""

    def _check_size(self, picture: NDArray[np.uint8]) -> None:
        shape = self._shape = self._shape or picture.shape
        if picture.shape != shape:
            raise VideoError(
                f"{self.name}: frame is {picture.shape[1]}×{picture.shape[0]}, the"
                f" stream began with {shape[1]}×{shape[0]}; a raw stream has one size,"
                " mjpeg any"
            )


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what the system says of a stream into VideoError."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"{name}: cannot be read: {error.strerror}") from error


def _is_ready(descriptor: int, stop: Stop) -> bool:
    """Wait until there is something to read, or the end; False to stop."""
    while not stop.is_set():
        if select.select([descriptor], [], [], STEP_S)[0]:
            return True
    return False


def _has_room(descriptor: int, stop: Stop) -> bool:
    """Wait until something can be written; False to stop."""
    while not stop.is_set():
        if select.select([], [descriptor], [], STEP_S)[1]:
            return True
    return False
