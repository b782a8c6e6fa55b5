"""Ogg files: whether the end of one is there (RFC 3533)."""

from __future__ import annotations

import os
from pathlib import Path

MAGIC = b"OggS"
LONGEST_PAGE_BYTES = 27 + 255 + 255 * 255
FLAGS_PLACE, N_PARTS_PLACE, PARTS_PLACE = 5, 26, 27
END_OF_STREAM = 0x04


def ends_early(path: Path) -> bool:
    """Return whether a file is Ogg and its last page is cut, or not marked as last.

    Decoders take what is left for all of it. Raises OSError as reading does.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return False
        n_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, n_bytes - LONGEST_PAGE_BYTES))
        data = file.read(LONGEST_PAGE_BYTES)
    page = data[max(0, data.rfind(MAGIC)) :]
    return not (_is_whole(page) and page[FLAGS_PLACE] & END_OF_STREAM)


def _is_whole(page: bytes) -> bool:
    """Return whether a page has all the bytes that its header names."""
    if len(page) < PARTS_PLACE:
        return False
    n_parts = page[N_PARTS_PLACE]
    parts = page[PARTS_PLACE : PARTS_PLACE + n_parts]
    return len(parts) == n_parts and len(page) >= PARTS_PLACE + n_parts + sum(parts)
