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
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LUMA_TO_SIGMA = 1.0 / float(np.linalg.norm(LUMA))
"""Noise of each colour by that of their luma, where the colours' noises differ."""
SMOOTHED = (7.0, 12.0)
"""Between these estimates, a coloured picture is taken more and more for one whose
colours were stored at half size, and noise with them; below, it may be texture."""
COLOURED = 2.5 / PICTURE_PEAK
"""Distance between the colours of a pixel that is not gray."""
MINIMUM_PX = 3
"""Smallest side that the Laplacian difference fits into."""


def estimate_sigma(picture: NDArray[np.float32]) -> float:
    """Return the standard deviation of a picture's noise, in units of 255.

    `picture` is (Y, X, 3) in 0–1 before noise; the noise is taken for Gaussian and
    independent from sample to sample. Structure is filtered out by a difference of
    two Laplacians (Immerkær, 1996, "Fast noise variance estimation"), what is left of
    it by reading the flattest blocks, each through its median; blocks that were
    clipped are left out. Most JPEGs, and videos, store colours at half size: their
    noise is all in luma, and is measured there.

    Measured on 34 photographs of CBSD68 (mean, lowest and highest estimate): no noise:
    1.1, 0.3–5.6 (fine texture everywhere); sigma 5: 5.4, 5.1–8.1; 15: 15.4, 15.0–17.1;
    25: 25.4, 24.9–26.5; 50: 50.3, 49.4–51.3; clipped to 8 bits 25: 25.2, 24.5–26.9;
    50: 48.7, 45.3–50.2. On 12 of them stored as JPEG with colours at half size, quality
    95: 10: 8.6, 7.1–12.2; 25: 25.4, 24.0–27.9; 50: 46.7, 44.4–49.1; quality 75, which
    smooths more: 10: 2.0; 25: 23.5, 21.4–28.0; 50: 50.5.

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
    judged = [
        (_medians(band), _medians(_luma(band)), _clipped(band), _coloured(band))
        for band in bands
    ]
    colours, luma, clipped, coloured = (
        np.concatenate(blocks) for blocks in zip(*judged, strict=True)
    )
    unclipped = clipped <= max(CLIPPED_SHARE, float(np.quantile(clipped, LEAST_JUDGED)))
    sigma = _sigma(colours[unclipped])
    if not np.median(coloured):
        return sigma
    smoothed = np.interp(sigma, SMOOTHED, (0.0, 1.0))
    more = _sigma(luma[unclipped]) * LUMA_TO_SIGMA - sigma
    return sigma + float(smoothed) * max(0.0, more)


def _sigma(medians: NDArray[np.floating]) -> float:
    flat = float(np.quantile(medians, FLAT_SHARE))
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


def _luma(band: NDArray[np.float32]) -> NDArray[np.float32]:
    luma: NDArray[np.float32] = (band @ LUMA)[..., None]
    return luma


def _coloured(band: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether most pixels of each block, (n,), are not gray."""
    inner = band[1:-1, 1:-1].swapaxes(0, 1)  # (X, y, 3), as `_medians` has them
    distance = inner.max(axis=2) - inner.min(axis=2)
    share = np.mean(_blocks(distance[..., None] > COLOURED), axis=1)
    return np.asarray(share > 0.5)


def _clipped(band: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the share, (n,), of each block's samples that are 0 or 1."""
    inner = band[1:-1, 1:-1].swapaxes(0, 1)  # (X, y, 3), as `_medians` has them
    ends = (inner == 0) | (inner == 1)
    share: NDArray[np.floating] = np.mean(_blocks(ends), axis=1)
    return share


def _second_difference(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return picture[:-2] - 2 * picture[1:-1] + picture[2:]


def _blocks(noise: NDArray[Any]) -> NDArray[Any]:
    """Return the whole blocks along a band's noise, (X, y, C), each flat."""
    side = min(BLOCK_PX, len(noise))
    n_blocks = len(noise) // side
    return noise[: n_blocks * side].reshape(n_blocks, -1)  # (n, x · y · C)
