"""What all tasks on photographs share: where they come from, and the squares cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data import data_folder
from training.photos import read_photos, split_photos

SILENCE = 4e-6
"""Added to the mean square error before its logarithm: half a grey level, squared."""
BODY_KERNELS = ("body.first", "body.second")
"""Names of a repeated block's shared kernels, which Muon moves."""


def train_and_held_out(
    data: Path | None, smallest_px: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return photographs, each (Y, X, 3), to train on and to validate on.

    They are those of the data folder, or a user's own. Raises DataError as
    `read_photos` does.
    """
    if data is not None:
        return split_photos(data, smallest_px)
    photos = data_folder() / "photos"
    return (
        read_photos(photos / "train_400.txt", smallest_px),
        read_photos(photos / "dev_32.txt", smallest_px),
    )


def random_square(
    photos: Sequence[NDArray[np.uint8]],
    size_px: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return a square of some photograph, (Y, X, 3), turned and mirrored at random."""
    photo = photos[int(rng.integers(len(photos)))]
    y = rng.integers(photo.shape[0] - size_px + 1)
    x = rng.integers(photo.shape[1] - size_px + 1)
    square = np.rot90(photo[y : y + size_px, x : x + size_px], int(rng.integers(4)))
    return square[:, ::-1] if rng.integers(2) else square


def log_error(
    exits: Sequence[Tensor], expected: Tensor, weights: Sequence[float]
) -> Tensor:
    """Return the log of the mean square error, weighted over depths.

    Pictures are (B, …). Its mean over examples is PSNR but for a constant, so an easy
    example counts as much as a hard one.
    """
    total = torch.zeros(())
    for weight, found in zip(weights, exits, strict=True):
        error = (found.float() - expected).square().flatten(1).mean(dim=1)
        total = total + weight * torch.log(error + SILENCE).mean()
    return total / sum(weights)


def mean_per_depth(
    rows: Sequence[Sequence[float]], depths: Sequence[int]
) -> dict[str, float]:
    """Return PSNR as a validation reports it, of one row of depths per photograph."""
    means = np.mean(rows, axis=0)
    named = {
        f"psnr_db_depth_{depth}": float(mean)
        for depth, mean in zip(depths, means, strict=True)
    }
    return {"psnr_db": float(means[-1]), **named}
