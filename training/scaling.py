"""Pictures made smaller and larger as super-resolution papers do: bicubic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALE = 2
"""Between the small and the large picture, along either axis."""


def halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture, (Y, X, 3), at half its size, with antialiasing."""
    return resized(picture, 1 / SCALE)


def doubled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture, (Y, X, 3), at twice its size."""
    return resized(picture, SCALE)


def resized(picture: NDArray[np.uint8], part: float) -> NDArray[np.uint8]:
    """Return the picture, (Y, X, 3), at `part` of its size."""
    if part == 1.0:
        return picture
    n_rows, n_columns = (round(size * part) for size in picture.shape[:2])
    image = Image.fromarray(picture)
    return np.asarray(image.resize((n_columns, n_rows), Image.Resampling.BICUBIC))


def crop_to_scale(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture without the row and column that cannot be halved."""
    y, x = (size // SCALE * SCALE for size in picture.shape[:2])
    return np.ascontiguousarray(picture[:y, :x])
