"""PNG files of 16-bit samples, which Pillow does not write for colour."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels to PNG's number: gray, gray with alpha, RGB, RGBA."""
FILTER_UP = 2
"""Each byte less the one above it, which photographs gain from at little cost."""
BAND_ROWS = 64
LEVEL = 6

Chunk = tuple[bytes, bytes]
"""Name and content."""


def write_png_16(
    file: BinaryIO, samples: NDArray[np.uint16], chunks: Sequence[Chunk]
) -> None:
    """Write (Y, X, C) as a PNG file, with `chunks` in front of the samples."""
    n_rows, n_columns, n_channels = samples.shape
    header = struct.pack(
        ">IIBBBBB", n_columns, n_rows, 16, COLOUR_TYPES[n_channels], 0, 0, 0
    )
    file.write(SIGNATURE)
    for name, content in ((b"IHDR", header), *chunks):
        _write_chunk(file, name, content)
    for packed in _packed(samples):
        _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IEND", b"")


def _packed(samples: NDArray[np.uint16]) -> Iterator[bytes]:
    packer = zlib.compressobj(LEVEL)
    above = np.zeros(samples[0].size * samples.itemsize, np.uint8)
    for top in range(0, len(samples), BAND_ROWS):
        # Bytes and samples in the order that the format has.
        band = samples[top : top + BAND_ROWS].astype(">u2", order="C")
        rows = band.reshape(len(band), -1).view(np.uint8)
        lines = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        lines[:, 0] = FILTER_UP
        lines[:, 1:] = rows - np.concatenate([above[np.newaxis], rows[:-1]])
        above = rows[-1]
        yield packer.compress(lines.tobytes())
    yield packer.flush()


def _write_chunk(file: BinaryIO, name: bytes, content: Any) -> None:
    if content or name == b"IEND":
        file.write(struct.pack(">I", len(content)) + name + content)
        file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
