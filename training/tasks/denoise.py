"""Denoising: photographs with noise in, cleaner photographs out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import PICTURE_PEAK, add_noise, psnr_db, to_8_bits, to_float
from training.denoiser import UNSHUFFLE_PX
from training.recipes.denoise import DenoiseRecipe
from training.rounding import round_to_int8
from training.task import Task
from training.tasks.photos import (
    BODY_KERNELS,
    log_error,
    mean_per_depth,
    random_square,
    train_and_held_out,
)


class DenoiseTask(Task):
    """Photographs in, cleaner photographs out; scored by PSNR at the deepest depth."""

    score = "psnr_db"
    gentle = ("body.bias",)
    """At the full rate, Adam drives the biases of later steps so far below zero that
    their ReLUs close before the shared kernels are of use to them."""
    kernels = BODY_KERNELS

    def __init__(self, recipe: DenoiseRecipe, data: Path | None) -> None:
        self.recipe = recipe
        self.train, self.held_out = train_and_held_out(data, recipe.patch_px)

    def contents(self) -> str:
        return f"{len(self.train)} pictures to train on, {len(self.held_out)} held out"

    def network(self) -> nn.Module:
        network = self.recipe.network()
        round_to_int8(network)
        return network

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        examples = [self._example(step, index) for index in indices]
        noisy, clean, sigma = (np.stack(parts) for parts in zip(*examples, strict=True))
        return {
            "noisy": torch.from_numpy(noisy),  # (B, 3, Y, X)
            "clean": torch.from_numpy(clean),  # (B, 3, Y, X)
            "sigma": torch.from_numpy(sigma),  # (B, 1, 1, 1)
        }

    def _example(
        self, step: int, index: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng((self.recipe.seed, step, index))
        patch = random_square(self.train, self.recipe.patch_px, rng)
        sigma = np.float32(rng.uniform(0.0, self.recipe.sigma_max) / PICTURE_PEAK)
        clean = to_float(patch).transpose(2, 0, 1)  # (3, Y, X)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        return clean + noise * sigma, clean, np.full((1, 1, 1), sigma)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        exits = network(batch["noisy"], batch["sigma"])
        return log_error(exits, batch["clean"], self.recipe.depth_weights)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return PSNR at every depth, over the held-out photographs."""
        sigma = self.recipe.validate_sigma
        level = torch.full((1, 1, 1, 1), sigma / PICTURE_PEAK)
        rows = []
        for index, photo in enumerate(self.held_out):
            clean = crop_even(photo)
            noisy = add_noise(clean, sigma, (self.recipe.seed, index), clip=False)
            exits = network(torch.from_numpy(noisy.transpose(2, 0, 1))[None], level)
            rows.append(
                [
                    psnr_db(clean, to_8_bits(restored[0].numpy().transpose(1, 2, 0)))
                    for restored in exits
                ]
            )
        return mean_per_depth(rows, self.recipe.depths)


def crop_even(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photograph without the last row or column where that is odd."""
    y, x = (size // UNSHUFFLE_PX * UNSHUFFLE_PX for size in photo.shape[:2])
    return photo[:y, :x]
