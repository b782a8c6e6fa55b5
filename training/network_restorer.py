"""A denoiser in torch, run on whole pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.pictures import PICTURE_PEAK
from training.denoiser import UNSHUFFLE_PX, Denoiser
from training.evaluation_pictures import Restorer


def network_restorer(network: Denoiser) -> Restorer:
    """Return the restorer that runs a network untiled, as its bundle does tiled.

    Odd sides are mirrored to even ones; the result is clipped to 0–1.
    """

    def restore(
        picture: NDArray[np.float32], sigma: float, depth: int
    ) -> NDArray[np.float32]:
        n_rows, n_columns, _ = picture.shape
        missing = ((0, -n_rows % UNSHUFFLE_PX), (0, -n_columns % UNSHUFFLE_PX), (0, 0))
        whole = np.pad(picture, missing, "symmetric").transpose(2, 0, 1)  # (3, Y, X)
        level = torch.full((1, 1, 1, 1), sigma / PICTURE_PEAK)
        with torch.no_grad():
            (restored,) = network.at_depth(torch.from_numpy(whole)[None], level, depth)
        clipped = restored.clamp(0.0, 1.0).numpy().transpose(1, 2, 0)  # (Y, X, 3)
        return clipped[:n_rows, :n_columns]

    return restore
