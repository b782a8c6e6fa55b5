"""Exposure: dark photographs in, photographs with the light they lack out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import to_float
from edge_runtime.tones import sample_step, tones_of
from training.enhancer import TONE_LEVELS
from training.exposure import KINDS, draw_exposure
from training.recipes.enhance import EnhanceRecipe
from training.tasks.photos import (
    PhotoTask,
    channels_first,
    crop_even,
    cut_square,
    log_error,
)


class EnhanceTask(PhotoTask):
    """Photographs with unknown exposure and noise in, the photographs out."""

    recipe: EnhanceRecipe

    def example(self, rng: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
        photo = self.train[int(rng.integers(len(self.train)))]
        recipe = self.recipe
        good_part = 1.0 - recipe.dark_part - recipe.bright_part
        parts = (recipe.dark_part, good_part, recipe.bright_part)
        exposure = draw_exposure(str(rng.choice(KINDS, p=parts)), rng)
        step = sample_step(*photo.shape[:2])
        whole = exposure.expose(photo[::step, ::step], rng)
        good = cut_square(photo, recipe.patch_px, rng)
        return {
            "picture": channels_first(exposure.expose(good, rng)),
            "tones": tones_of(whole, TONE_LEVELS)[:, None, None],
            "strength": np.ones((1, 1, 1), np.float32),
            "good": channels_first(to_float(good)),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        exits = network(batch["picture"], batch["tones"], batch["strength"])
        return log_error(exits, batch["good"], self.recipe.depth_weights)

    def posed(
        self, photo: NDArray[np.uint8], index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.uint8]]:
        good = crop_even(photo)
        rng = np.random.default_rng((self.recipe.seed, index))
        given = draw_exposure("dark", rng).expose(good, rng)
        tones = tones_of(given, TONE_LEVELS)[:, None, None]
        return (channels_first(given), tones, np.ones((1, 1, 1), np.float32)), good
