"""A picture network in torch, run on whole pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.pictures import PICTURE_PEAK
from training.denoiser import UNSHUFFLE_PX, Denoiser
from training.evaluation_pictures import Restorer
from training.upscaler import Upscaler


def denoiser_restorer(network: Denoiser) -> Restorer:
    """Return the restorer that runs a network untiled, as its bundle does tiled.

    Odd sides are mirrored to even ones; the result is clipped to 0–1.
    """

    def restore(
        picture: NDArray[np.float32], *, sigma: float, depth: int
    ) -> NDArray[np.float32]:
        n_rows, n_columns, _ = picture.shape
        missing = ((0, -n_rows % UNSHUFFLE_PX), (0, -n_columns % UNSHUFFLE_PX), (0, 0))
        level = torch.full((1, 1, 1, 1), sigma / PICTURE_PEAK)
        whole = _channels_first(np.pad(picture, missing, "symmetric"))
        with torch.no_grad():
            restored = network.at_depth(whole, level, depth)
        return _channels_last(restored)[:n_rows, :n_columns]

    return restore


def upscaler_restorer(network: Upscaler) -> Restorer:
    """Return the restorer that doubles a picture untiled, clipped to 0–1."""

    def restore(picture: NDArray[np.float32], *, depth: int) -> NDArray[np.float32]:
        with torch.no_grad():
            return _channels_last(network.at_depth(_channels_first(picture), depth))

    return restore


def _channels_first(picture: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1))[None]  # (1, 3, Y, X)


def _channels_last(restored: torch.Tensor) -> NDArray[np.float32]:
    """Return (Y, X, 3) of (1, 3, Y, X), clipped."""
    return np.asarray(restored[0].clamp(0.0, 1.0).numpy().transpose(1, 2, 0))
