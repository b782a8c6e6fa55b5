"""Photographs for training: read once, held in memory as 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import DataError
from edge_runtime.pictures import list_pictures, read_picture

HELD_OUT_ONE_IN = 10
"""Of a user's own folder, every tenth picture is held out for validation."""


def read_photos(source: Path, smallest_px: int) -> list[NDArray[np.uint8]]:
    """Return every picture of a folder or list, each (Y, X, 3).

    Raises DataError for one with a side below `smallest_px`, the setting patch_px.
    """
    return [_read_photo(path, smallest_px) for path in list_pictures(source)]


def split_photos(
    source: Path, smallest_px: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return a user's pictures as (training, held out).

    Raises DataError as `read_photos` does, and for a single picture, which cannot be
    split.
    """
    if len(list_pictures(source)) < 2:
        raise DataError(f"{source}: holds 1 picture, expected at least 2 to train on")
    photos = read_photos(source, smallest_px)
    held_out = photos[::HELD_OUT_ONE_IN]
    train = [p for i, p in enumerate(photos) if i % HELD_OUT_ONE_IN]
    return train, held_out


def _read_photo(path: Path, smallest_px: int) -> NDArray[np.uint8]:
    photo = read_picture(path)
    n_rows, n_columns, _ = photo.shape
    if min(n_rows, n_columns) < smallest_px:
        raise DataError(
            f"{path}: is {n_columns}×{n_rows} pixels, expected at least"
            f" patch_px={smallest_px} on each side; take it out or lower patch_px"
        )
    return photo
