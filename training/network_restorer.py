"""A picture network in torch, run on whole pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.pictures import PICTURE_PEAK
from edge_runtime.tones import tones_of
from training.denoiser import Denoiser
from training.enhancer import TONE_LEVELS, Enhancer
from training.evaluation_pictures import Restorer
from training.looker import Looker
from training.looks import LOOKS, told_look
from training.repeated import RepeatedNetwork


def network_restorer(network: RepeatedNetwork) -> Restorer:
    """Return the restorer that runs a network untiled, as its bundle does tiled.

    Odd sides are mirrored to even ones; the result is clipped to 0–1.
    """

    def restore(
        picture: NDArray[np.float32], *, depth: int, **told: Any
    ) -> NDArray[np.float32]:
        n_rows, n_columns, _ = picture.shape
        n = network.multiple_px
        missing = ((0, -n_rows % n), (0, -n_columns % n), (0, 0))
        whole = np.pad(picture, missing, "symmetric").transpose(2, 0, 1)
        given = [torch.from_numpy(whole)[None], *_told(network, picture, **told)]
        with torch.no_grad():
            made = network.at_depth(*given, depth=depth)
        restored = made[0].clamp(0.0, 1.0).numpy().transpose(1, 2, 0)
        scale = network.scale
        return np.asarray(restored[: n_rows * scale, : n_columns * scale])

    return restore


def _told(
    network: RepeatedNetwork,
    picture: NDArray[np.float32],
    *,
    sigma: float = 0.0,
    strength: float = 1.0,
    look: str = next(iter(LOOKS)),
) -> tuple[torch.Tensor, ...]:
    """Return what a network is told beside a picture, (1, n, 1, 1) each."""
    if isinstance(network, Denoiser):
        return (_number(sigma / PICTURE_PEAK),)
    if isinstance(network, Enhancer):
        tones = torch.from_numpy(tones_of(picture, TONE_LEVELS))
        return tones[None, :, None, None], _number(strength)
    if isinstance(network, Looker):
        return torch.from_numpy(told_look(look))[None], _number(strength)
    return ()


def _number(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)
