"""Super-resolution: small photographs in, photographs of twice the size out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import DataError
from edge_runtime.pictures import to_8_bits, to_float
from training.luma import luma_psnr_db
from training.recipes.superres import SuperresRecipe
from training.rounding import round_to_int8
from training.scaling import crop_to_scale, halved, resized
from training.task import Task
from training.tasks.photos import (
    BODY_KERNELS,
    log_error,
    mean_per_depth,
    random_square,
    train_and_held_out,
)
from training.upscaler import LUMA


class SuperresTask(Task):
    """Doubles photographs; scored by PSNR of the brightness at the deepest depth."""

    score = "psnr_db"
    gentle = ("body.bias",)
    kernels = BODY_KERNELS

    def __init__(self, recipe: SuperresRecipe, data: Path | None) -> None:
        self.recipe = recipe
        train, self.held_out = train_and_held_out(data, recipe.patch_px)
        self.train = [
            small
            for photo in train
            for part in recipe.shrink
            if min((small := resized(photo, part)).shape[:2]) >= recipe.patch_px
        ]
        if not self.train:
            raise DataError(
                f"no picture shrunk by {recipe.shrink} has patch_px={recipe.patch_px}"
                " pixels on each side; lower patch_px or put 1 into shrink"
            )

    def contents(self) -> str:
        return f"{len(self.train)} pictures to train on, {len(self.held_out)} held out"

    def network(self) -> nn.Module:
        network = self.recipe.network()
        round_to_int8(network)
        return network

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        examples = [self._example(step, index) for index in indices]
        small, large = (np.stack(parts) for parts in zip(*examples, strict=True))
        return {
            "small": torch.from_numpy(small),  # (B, 3, Y, X)
            "large": torch.from_numpy(large),  # (B, 3, 2Y, 2X)
        }

    def _example(
        self, step: int, index: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng((self.recipe.seed, step, index))
        patch = np.ascontiguousarray(
            random_square(self.train, self.recipe.patch_px, rng)
        )
        pair = (halved(patch), patch)
        small, large = (to_float(part).transpose(2, 0, 1) for part in pair)
        return small, large

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the error of the brightness, which is all that is learned."""
        exits = [_luma(large) for large in network(batch["small"])]
        return log_error(exits, _luma(batch["large"]), self.recipe.depth_weights)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return PSNR at every depth, over the held-out photographs."""
        rows = []
        for photo in self.held_out:
            large = crop_to_scale(photo)
            small = to_float(halved(large)).transpose(2, 0, 1)
            exits = network(torch.from_numpy(small)[None])
            rows.append(
                [
                    luma_psnr_db(large, to_8_bits(out[0].numpy().transpose(1, 2, 0)))
                    for out in exits
                ]
            )
        return mean_per_depth(rows, self.recipe.depths)


def _luma(picture: Tensor) -> Tensor:
    """Return the brightness, (B, Y, X), of (B, 3, Y, X)."""
    weights = torch.tensor(LUMA, dtype=picture.dtype)
    return torch.einsum("bcyx,c->byx", picture, weights)
