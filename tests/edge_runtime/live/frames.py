"""Frames that tell their number, sources and sinks of the tests' own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.live import jpeg
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Shot, Source, SourceGoneError

HEIGHT_PX, WIDTH_PX = 48, 64
PATIENCE_S = 60.0


def frame(
    number: int, height: int = HEIGHT_PX, width: int = WIDTH_PX
) -> NDArray[np.uint8]:
    """Return a plain picture whose grey level is the number."""
    return np.full((height, width, 3), number, np.uint8)


def waves(height: int, width: int) -> NDArray[np.uint8]:
    """Return slow waves of colour, in which noise is easily told from structure."""
    rows, columns = np.mgrid[:height, :width]
    channels = [
        128 + 100 * np.sin(rows / 31 + phase) * np.cos(columns / 43)
        for phase in range(3)
    ]
    return np.stack(channels, axis=2).astype(np.uint8)  # (Y, X, 3)


def number_of(picture: NDArray[np.uint8]) -> int:
    return int(np.median(picture))


def mjpeg(*numbers: int) -> bytes:
    return b"".join(jpeg.encode(frame(number)) for number in numbers)


class Frames(Source):
    """So many frames, each after `wait()`."""

    def __init__(
        self, n_frames: int, wait: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__("frames", None)
        self._n_frames, self._wait = n_frames, wait
        self.n_read = 0
        self.is_closed = False

    def read(self) -> Shot | None:
        if self.n_read == self._n_frames:
            return None
        self._wait()
        self.n_read += 1
        return Shot(frame(self.n_read - 1), time.monotonic(), 0.0)

    def close(self) -> None:
        self.is_closed = True


class FifoCamera(Source):
    """A "camera" whose device is a FIFO that may vanish: a byte is a frame's number."""

    def __init__(self, device: Path) -> None:
        super().__init__(device.name, None)
        try:
            self._file = device.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise SourceGoneError(f"{device.name}: no such camera") from error

    def read(self) -> Shot | None:
        byte = self._file.read(1)
        if not byte:
            raise SourceGoneError(f"{self.name}: gives no more frames")
        return Shot(frame(byte[0]), time.monotonic(), 0.0)

    def close(self) -> None:
        self._file.close()


class Collected(Sink):
    """Keeps the numbers of what it is given, each after `wait()`."""

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        super().__init__("collected")
        self._wait = wait
        self.numbers: list[int] = []
        self.levels: list[int] = []

    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        self._wait()
        self.numbers.append(number)
        self.levels.append(number_of(picture))

    def idle(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def written(descriptor: int, data: bytes) -> Iterator[None]:
    """Write into a pipe from a thread, and close it."""

    def write() -> None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE_S)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, at most PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
