"""Photographs for training: read once, held in memory as 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import DataError
from edge_runtime.pictures import list_pictures, read_picture

HELD_OUT_ONE_IN = 10
"""Of a user's own folder, every tenth picture is held out for validation."""


def read_photos(source: Path) -> list[NDArray[np.uint8]]:
    """Return every picture of a folder or list, each (Y, X, 3)."""
    return [read_picture(path) for path in list_pictures(source)]


def split_photos(
    source: Path,
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return a user's pictures as (training, held out).

    Raises DataError for a single picture, which cannot be split.
    """
    photos = read_photos(source)
    if len(photos) < 2:
        raise DataError(f"{source}: holds 1 picture, expected at least 2 to train on")
    held_out = photos[::HELD_OUT_ONE_IN]
    train = [p for i, p in enumerate(photos) if i % HELD_OUT_ONE_IN]
    return train, held_out
