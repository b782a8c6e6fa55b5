"""JPEG pictures one by one, and out of a stream of them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from edge_runtime.errors import VideoError

QUALITY = 90
"""1 to 100."""
MAX_FRAME_PX = 20_000_000
"""Larger frames are refused before they are decoded."""
MAX_JPEG_BYTES = 1 << 25
"""Longest picture of a stream."""
MAX_GAP_BYTES = 1 << 20
"""Longest stretch of a stream without the beginning of a picture."""

START = b"\xff\xd8\xff"
START_OF_PICTURE, START_OF_SCAN, END = 0xD8, 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers that no length follows."""
IN_SCAN = {0x00, *range(0xD0, 0xD8)}
"""What follows 0xFF inside compressed data: a stuffed zero, a restart."""


def encode(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture, (Y, X, 3) RGB, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return a JPEG picture as (Y, X, 3) RGB; `where` begins the errors.

    Raises VideoError for a damaged one, or one of more than MAX_FRAME_PX pixels.
    """
    try:
        # Straight to the format: Image.open's error would name the bytes' address.
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_FRAME_PX:
                raise VideoError(
                    f"{where}: frame of {image.width}×{image.height} pixels, expected"
                    f" at most {MAX_FRAME_PX}"
                )
            return np.asarray(image.convert("RGB"), np.uint8)  # (Y, X, 3)
    except VideoError:
        raise
    except Exception as error:  # Pillow raises whatever damaged bytes lead to
        reason = str(error) or type(error).__name__
        raise VideoError(f"{where}: damaged JPEG picture: {reason}") from error


class JpegSplitter:
    """Cuts a stream into its JPEG pictures; what lies between them is passed over.

    So it takes plain MJPEG as well as the parts of an HTTP answer. A picture inside a
    picture, as a thumbnail is, belongs to it. One that is cut off, so that the next
    begins before it ends, is passed over, too.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._bytes = bytearray()
        self._place = 0
        """How far the picture that begins the buffer is understood; 0: none begins."""
        self._in_scan = False
        self._gap_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the pictures that these bytes complete.

        Raises VideoError for MAX_GAP_BYTES without a picture, or one of more than
        MAX_JPEG_BYTES.
        """
        self._bytes += data
        while (picture := self._next()) is not None:
            yield picture
        if len(self._bytes) > MAX_JPEG_BYTES:
            raise VideoError(
                f"{self._where}: no end of a JPEG picture within {MAX_JPEG_BYTES} bytes"
            )

    @property
    def is_inside(self) -> bool:
        """Whether a picture has begun and not ended."""
        return self._place > 0

    def _next(self) -> bytes | None:
        """Return the next picture, if all of it is there."""
        while True:
            if not self._place and not self._find_start():
                return None
            step = self._scan() if self._in_scan else self._segment()
            if step is None:
                return None
            if not step:
                continue
            picture = bytes(self._bytes[: self._place])
            self._forget(self._place)
            return picture

    def _find_start(self) -> bool:
        """Drop what lies before the next picture; False if none begins yet."""
        place = self._bytes.find(START)
        if place < 0:
            n_passed = max(0, len(self._bytes) - len(START) + 1)
            self._gap_bytes += n_passed
            del self._bytes[:n_passed]
            if self._gap_bytes > MAX_GAP_BYTES:
                raise VideoError(
                    f"{self._where}: no JPEG picture within {MAX_GAP_BYTES} bytes,"
                    " expected one after another"
                )
            return False
        del self._bytes[:place]
        self._gap_bytes = 0
        self._place = len(START) - 1
        return True

    def _segment(self) -> bool | None:
        """Pass one marker and what belongs to it; True at the end, None if cut off."""
        head = self._bytes[self._place : self._place + 4]
        if len(head) < 2:
            return None
        if head[0] != 0xFF:  # no picture after all
            self._forget(len(START))
            return False
        if head[1] == END:
            self._place += 2
            return True
        if head[1] == START_OF_PICTURE:
            self._forget(self._place)
            return False
        if head[1] in ALONE or head[1] == 0xFF:  # 0xFF may fill
            self._place += 1 if head[1] == 0xFF else 2
            return False
        if len(head) < 4:
            return None
        length = int.from_bytes(head[2:], "big")
        if len(self._bytes) < self._place + 2 + length:
            return None
        self._in_scan = head[1] == START_OF_SCAN
        self._place += 2 + length
        return False

    def _scan(self) -> bool | None:
        """Pass compressed data up to a marker; None if it goes on."""
        while True:
            found = self._bytes.find(b"\xff", self._place)
            if found < 0 or found + 1 == len(self._bytes):
                self._place = len(self._bytes) if found < 0 else found
                return None
            if self._bytes[found + 1] not in IN_SCAN:
                self._place, self._in_scan = found, False
                return False
            self._place = found + 2

    def _forget(self, n_bytes: int) -> None:
        del self._bytes[:n_bytes]
        self._place, self._in_scan = 0, False
