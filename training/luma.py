"""Quality of the brightness alone, as super-resolution papers measure it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.pictures import PICTURE_PEAK

LUMA = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601)."""
STUDIO_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Y of 8-bit red, green and blue in studio range (ITU-R BT.601), but for its offset."""
BORDER_PX = 2
"""Rows and columns on each side that are not measured: the scale, by convention."""


def luma_psnr_db(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> float:
    """Return the PSNR of Y, of two (Y, X, 3) pictures without their borders.

    Bicubic enlargement of Set5 has 33.66 dB by it (published) and 33.67 dB (measured
    with Pillow's). Infinite where the brightness is equal.
    """
    weights = np.array(STUDIO_LUMA)
    difference = (expected.astype(np.float64) - actual) @ weights  # (Y, X)
    inner = difference[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    mean_square = float(np.mean(inner**2))
    if mean_square == 0.0:
        return float("inf")
    return float(10.0 * np.log10(PICTURE_PEAK**2 / mean_square))
