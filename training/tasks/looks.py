"""Looks: photographs in, what OpenCV's operators make of them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import to_float
from training.looker import FOLD_PX
from training.looks import LOOKS, told_look
from training.opencv import require
from training.recipes.looks import LooksRecipe
from training.tasks.photos import (
    PhotoTask,
    channels_first,
    cut_alike,
    log_error,
    mean_per_depth,
)

GOOD_ENOUGH = 2.5e-4
"""A mean square error, 36 dB: better than that, an easy look leaves room for others."""
BEYOND = 0.1
"""Part of an error that counts where both pictures are clipped alike: enough to lead
back into 0–1, and no capacity is spent on what nobody sees."""
SHARES = {"smooth": 0.2, "detail": 0.15, "stylize": 0.35, "sketch": 0.2, "glow": 0.1}
"""Of the examples: the hardest look gets most."""


class LooksTask(PhotoTask):
    """Photographs in, one of the looks out; scored by the mean PSNR of all looks."""

    recipe: LooksRecipe

    def __init__(self, recipe: LooksRecipe, data: Path | None) -> None:
        require()
        super().__init__(recipe, data)
        self._made: dict[tuple[int, str], NDArray[np.uint8]] = {}

    def example(self, rng: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
        place = int(rng.integers(len(self.train)))
        look = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        key = place, look
        if key not in self._made:  # an operator is slower than a training step
            self._made[key] = LOOKS[look](self.train[place])
        pair = (self.train[place], self._made[key])
        picture, wanted = cut_alike(pair, self.recipe.patch_px, rng)
        return {
            "picture": channels_first(to_float(picture)),
            "look": told_look(look),
            "strength": np.ones((1, 1, 1), np.float32),
            "wanted": channels_first(to_float(wanted)),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        exits = network(batch["picture"], batch["look"], batch["strength"])
        seen = [
            out.clamp(0.0, 1.0) + BEYOND * (out - out.clamp(0.0, 1.0)) for out in exits
        ]
        weights = self.recipe.depth_weights
        return log_error(seen, batch["wanted"], weights, GOOD_ENOUGH)

    def posed(
        self, photo: NDArray[np.uint8], index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.uint8]]:
        """Return a photograph that is to get the look at `index`, and what has it."""
        look = list(LOOKS)[index]
        whole = crop_to_fold(photo)
        picture = channels_first(to_float(whole))
        strength = np.ones((1, 1, 1), np.float32)
        return (picture, told_look(look), strength), LOOKS[look](whole)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return PSNR at every depth over all looks, and of each at the deepest."""
        found = np.array(
            [
                [self.scores(network, photo, index) for index in range(len(LOOKS))]
                for photo in self.held_out
            ]
        )  # (photographs, looks, depths)
        of_looks = dict(zip(LOOKS, found.mean(axis=0)[:, -1], strict=True))
        means = mean_per_depth(found.mean(axis=1), self.recipe.depths)
        return means | {f"psnr_db_{look}": float(db) for look, db in of_looks.items()}


def crop_to_fold(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photograph without the last rows and columns that fill no phase."""
    y, x = (size // FOLD_PX * FOLD_PX for size in photo.shape[:2])
    return photo[:y, :x]
