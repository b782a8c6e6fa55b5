"""A photograph: its samples, turned upright, and what its file says beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.photo.metadata import Metadata, sized

N_COLOURS = 3
ROWS_AT_ONCE = 32
"""Rows that are rounded together: of a band of 12 megapixels, each step of that would
take 18 MB more."""


@dataclass(frozen=True)
class Photo:
    """A photograph in memory; only its samples change."""

    samples: NDArray[Any]
    """(Y, X, C), uint8 or uint16, C = 3 for red, green and blue or 1 for gray."""

    alpha: NDArray[Any] | None
    """(Y, X) of the same type, 0 where nothing is seen; None where all is."""

    metadata: Metadata

    note: str | None = None
    """What had to change for it to be filtered; None where nothing did."""

    @property
    def n_rows(self) -> int:
        """Rows of the photograph, upright."""
        return int(self.samples.shape[0])

    @property
    def n_columns(self) -> int:
        """Columns of the photograph, upright."""
        return int(self.samples.shape[1])

    @property
    def is_gray(self) -> bool:
        """Whether there is one sample a pixel."""
        return bool(self.samples.shape[2] != N_COLOURS)

    @property
    def n_bits(self) -> int:
        """Bits of a sample: 8 or 16."""
        return self.samples.dtype.itemsize * 8

    @property
    def exif(self) -> bytes | None:
        """The Exif structure, with the size that the photograph has now."""
        held = self.metadata.exif
        return held and sized(held, self.n_columns, self.n_rows)

    def enlarged(self, scale: int) -> Photo:
        """Return a photograph `scale` times as large, its samples still to be written.

        What is transparent is enlarged bilinearly.
        """
        n_rows, n_columns = self.n_rows * scale, self.n_columns * scale
        size = (n_rows, n_columns, self.samples.shape[2])
        alpha = self.alpha
        if alpha is not None:
            soft = Image.fromarray(alpha.astype(np.float32)).resize(
                (n_columns, n_rows), Image.Resampling.BILINEAR
            )
            alpha = np.rint(np.asarray(soft)).astype(alpha.dtype)
        return replace(self, samples=np.empty(size, self.samples.dtype), alpha=alpha)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows as red, green and blue, (y, X, 3); gray is all three."""
        rows = self.samples[start:stop]
        return np.broadcast_to(rows, (*rows.shape[:2], N_COLOURS))

    def write(self, start: int, band: NDArray[np.float32]) -> None:
        """Put (y, X, 3) in 0–1 over the rows from `start` on, rounded."""
        peak = np.float32(np.iinfo(self.samples.dtype).max)
        for top in range(0, len(band), ROWS_AT_ONCE):
            given = band[top : top + ROWS_AT_ONCE]
            if self.is_gray:
                given = given.mean(axis=2, keepdims=True)
            place = self.samples[start + top : start + top + len(given)]
            place[:] = np.rint(np.clip(given, 0.0, 1.0) * peak)
