"""Super-resolution: small photographs in, photographs of twice the size out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import DataError
from edge_runtime.pictures import to_float
from training.luma import LUMA, luma_psnr_db
from training.recipes.superres import SuperresRecipe
from training.scaling import crop_to_scale, halved, resized
from training.tasks.photos import (
    PhotoTask,
    channels_first,
    log_error,
    random_square,
)


class SuperresTask(PhotoTask):
    """Doubles photographs; scored by PSNR of the brightness."""

    recipe: SuperresRecipe

    def __init__(self, recipe: SuperresRecipe, data: Path | None) -> None:
        super().__init__(recipe, data)
        self.train = [
            small
            for photo in self.train
            for part in recipe.shrink
            if min((small := resized(photo, part)).shape[:2]) >= recipe.patch_px
        ]
        if not self.train:
            raise DataError(
                f"no picture shrunk by {recipe.shrink} has patch_px={recipe.patch_px}"
                " pixels on each side; lower patch_px or put 1 into shrink"
            )

    def example(self, rng: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
        patch = np.ascontiguousarray(
            random_square(self.train, self.recipe.patch_px, rng)
        )
        return {
            "small": channels_first(to_float(halved(patch))),
            "large": channels_first(to_float(patch)),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the error of the brightness, which is all that is learned."""
        exits = [_luma(large) for large in network(batch["small"])]
        return log_error(exits, _luma(batch["large"]), self.recipe.depth_weights)

    def posed(
        self, photo: NDArray[np.uint8], index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.uint8]]:
        large = crop_to_scale(photo)
        return (channels_first(to_float(halved(large))),), large

    def psnr_db(self, wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
        return luma_psnr_db(wanted, found)


def _luma(picture: Tensor) -> Tensor:
    """Return the brightness, (B, Y, X), of (B, 3, Y, X)."""
    weights = torch.tensor(LUMA, dtype=picture.dtype)
    return torch.einsum("bcyx,c->byx", picture, weights)
