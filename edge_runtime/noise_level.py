"""How noisy a picture is, judged from the picture alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import PictureError
from edge_runtime.pictures import PICTURE_PEAK, to_float

BLOCK_PX = 32
"""Side of the blocks whose noise is measured one by one."""
FLAT_SHARE = 0.05
"""The share of blocks, the flattest first, at whose end the estimate is read."""
FLATTEST_OF_NOISE = 0.949
"""What is read there of noise alone, of strength 1: chance, too, makes blocks flat."""
CLIPPED_SHARE = 0.02
"""Blocks with more samples at the ends of the scale are left out: noise ends there."""
LEAST_JUDGED = 0.125
"""The share of blocks, the least clipped first, that is judged in any case."""
MEDIAN_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian by the median of its magnitude."""
KERNEL_NORM = 6.0
"""Root of the sum of squares of the Laplacian difference: noise passes it as it is."""
MINIMUM_PX = 3
"""Smallest side that the Laplacian difference fits into."""


def estimate_sigma(picture: NDArray[np.float32]) -> float:
    """Return the standard deviation of a picture's noise, in units of 255.

    `picture` is (Y, X, 3) in 0–1 before noise; the noise is taken for Gaussian and
    independent from sample to sample. Structure is filtered out by a difference of
    two Laplacians (Immerkær, 1996, "Fast noise variance estimation"), what is left of
    it by reading the flattest blocks, each through its median; blocks that were
    clipped are left out.

    Measured on 34 photographs of CBSD68 (mean, lowest and highest estimate): no noise:
    1.1, 0.3–5.6 (fine texture everywhere); sigma 5: 5.4, 5.1–8.1; 15: 15.4, 15.0–17.1;
    25: 25.4, 24.9–26.5; 50: 50.3, 49.4–51.3; clipped to 8 bits 25: 25.2, 24.5–26.9;
    50: 48.7, 45.3–50.2.

    Raises PictureError for a side below MINIMUM_PX.
    """
    n_rows, n_columns, _ = picture.shape
    return estimate_by_rows(lambda start, stop: picture[start:stop], n_rows, n_columns)


def estimate_by_rows(
    read: Callable[[int, int], NDArray[Any]], n_rows: int, n_columns: int
) -> float:
    """Return what `estimate_sigma` does, of a picture that is never held whole.

    `read(start, stop)` gives its rows, (y, X, 3): uint8, uint16, or float32 in 0–1.
    """
    if min(n_rows, n_columns) < MINIMUM_PX:
        raise PictureError(
            f"picture: {n_columns}×{n_rows} pixels are too few to judge the noise,"
            f" expected at least {MINIMUM_PX}×{MINIMUM_PX}"
        )
    bands = (to_float(read(*rows)) for rows in _bands(n_rows))
    judged = [(_medians(band), _clipped(band)) for band in bands]
    medians, clipped = (np.concatenate(blocks) for blocks in zip(*judged, strict=True))
    most = max(CLIPPED_SHARE, float(np.quantile(clipped, LEAST_JUDGED)))
    flat = float(np.quantile(medians[clipped <= most], FLAT_SHARE))
    return flat * MEDIAN_TO_SIGMA * PICTURE_PEAK / FLATTEST_OF_NOISE


def _bands(n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield from which row to which each row of blocks is judged by."""
    n_inner = n_rows - 2  # the rows that have a second difference
    side = min(BLOCK_PX, n_inner)
    for top in range(0, n_inner - side + 1, side):
        yield top, top + side + 2


def _medians(band: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the median magnitude, (n,), of the noise in each block of a band."""
    rows = _second_difference(band)
    noise = np.abs(_second_difference(rows.swapaxes(0, 1))) / KERNEL_NORM
    medians: NDArray[np.floating] = np.median(_blocks(noise), axis=1)
    return medians


def _clipped(band: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the share, (n,), of each block's samples that are 0 or 1."""
    inner = band[1:-1, 1:-1].swapaxes(0, 1)  # (X, y, 3), as `_medians` has them
    ends = (inner == 0) | (inner == 1)
    share: NDArray[np.floating] = np.mean(_blocks(ends), axis=1)
    return share


def _second_difference(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return picture[:-2] - 2 * picture[1:-1] + picture[2:]


def _blocks(noise: NDArray[Any]) -> NDArray[Any]:
    """Return the whole blocks along a band's noise, (X, y, 3), each flat."""
    side = min(BLOCK_PX, len(noise))
    n_blocks = len(noise) // side
    return noise[: n_blocks * side].reshape(n_blocks, -1)  # (n, x · y · 3)
