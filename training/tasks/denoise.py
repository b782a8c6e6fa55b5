"""Denoising: photographs with noise in, cleaner photographs out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import PICTURE_PEAK, add_noise, psnr_db, to_8_bits, to_float
from training.data import data_folder
from training.denoiser import UNSHUFFLE_PX
from training.photos import read_photos, split_photos
from training.recipes.denoise import DenoiseRecipe
from training.rounding import round_to_int8
from training.task import Task

SILENCE = 4e-6
"""Added to the mean square error before its logarithm: half a grey level, squared."""


class DenoiseTask(Task):
    """Photographs in, cleaner photographs out; scored by PSNR at the deepest depth."""

    score = "psnr_db"
    gentle = ("body.bias",)
    """At the full rate, Adam drives the biases of later steps so far below zero that
    their ReLUs close before the shared kernels are of use to them."""
    kernels = ("body.first", "body.second")

    def __init__(self, recipe: DenoiseRecipe, data: Path | None) -> None:
        self.recipe = recipe
        if data is None:
            photos = data_folder() / "photos"
            self.train = read_photos(photos / "train_400.txt", recipe.patch_px)
            self.held_out = read_photos(photos / "dev_32.txt", recipe.patch_px)
        else:
            self.train, self.held_out = split_photos(data, recipe.patch_px)

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
        photo = self.train[rng.integers(len(self.train))]
        size = self.recipe.patch_px
        y = rng.integers(photo.shape[0] - size + 1)
        x = rng.integers(photo.shape[1] - size + 1)
        patch = np.rot90(photo[y : y + size, x : x + size], int(rng.integers(4)))
        if rng.integers(2):
            patch = patch[:, ::-1]
        sigma = np.float32(rng.uniform(0.0, self.recipe.sigma_max) / PICTURE_PEAK)
        clean = to_float(patch).transpose(2, 0, 1)  # (3, Y, X)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        return clean + noise * sigma, clean, np.full((1, 1, 1), sigma)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the log of the mean square error, weighted over depths.

        Its mean over examples is PSNR but for a constant, so weak noise counts as
        much as strong noise.
        """
        exits = network(batch["noisy"], batch["sigma"])
        weights = self.recipe.depth_weights
        total = torch.zeros(())
        for weight, restored in zip(weights, exits, strict=True):
            error = (restored.float() - batch["clean"]).square().mean(dim=(1, 2, 3))
            total = total + weight * torch.log(error + SILENCE).mean()
        return total / sum(weights)

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
        means = np.mean(rows, axis=0)
        named = {
            f"psnr_db_depth_{depth}": float(mean)
            for depth, mean in zip(self.recipe.depths, means, strict=True)
        }
        return {"psnr_db": float(means[-1]), **named}


def crop_even(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photograph without the last row or column where that is odd."""
    y, x = (size // UNSHUFFLE_PX * UNSHUFFLE_PX for size in photo.shape[:2])
    return photo[:y, :x]
