"""Denoising: photographs with noise in, cleaner photographs out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import PICTURE_PEAK, add_noise, to_float
from training.denoiser import Denoiser
from training.luma import LUMA
from training.recipes.denoise import DenoiseRecipe
from training.rescaling import rescale
from training.rounding import knows_ranges
from training.tasks.photos import (
    PhotoTask,
    channels_first,
    crop_even,
    log_error,
    random_square,
)

N_FOR_RANGES = 32
"""Examples that ranges are equalized on, before a stage that rounds."""


class DenoiseTask(PhotoTask):
    """Photographs in, cleaner photographs out."""

    recipe: DenoiseRecipe

    def prepared(self, network: nn.Module) -> nn.Module:
        if self.recipe.quantize_aware and not knows_ranges(network):
            assert isinstance(network, Denoiser)
            batch = self.batch(0, range(N_FOR_RANGES))
            rescale(network, batch["noisy"], batch["sigma"])
        return network

    def example(self, rng: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
        patch = random_square(self.train, self.recipe.patch_px, rng)
        sigma = np.float32(rng.uniform(0.0, self.recipe.sigma_max) / PICTURE_PEAK)
        clean = channels_first(to_float(patch))
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        if rng.random() < self.recipe.gray:
            clean, noise = grayed(clean), noise[:1]
        return {"noisy": clean + noise * sigma, "sigma": _level(sigma), "clean": clean}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        exits = network(batch["noisy"], batch["sigma"])
        return log_error(exits, batch["clean"], self.recipe.depth_weights)

    def posed(
        self, photo: NDArray[np.uint8], index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.uint8]]:
        sigma = self.recipe.validate_sigma
        clean = crop_even(photo)
        noisy = add_noise(clean, sigma, (self.recipe.seed, index), clip=False)
        return (channels_first(noisy), _level(sigma / PICTURE_PEAK)), clean


def grayed(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightness of a picture in all of its colours, both (3, Y, X)."""
    brightness = np.tensordot(np.array(LUMA, np.float32), picture, axes=1)
    return np.repeat(brightness[np.newaxis], len(picture), axis=0)


def _level(sigma: float | np.floating[Any]) -> NDArray[np.float32]:
    return np.full((1, 1, 1), sigma, np.float32)
