"""Ready-made recipes: what is trained, on which data, for how long."""

from __future__ import annotations

from typing import NamedTuple

from training.recipe import Recipe
from training.recipes.commands import CommandsRecipe
from training.recipes.denoise import DenoiseLiveRecipe, DenoiseRecipe
from training.recipes.digits import DigitsRecipe
from training.recipes.enhance import EnhanceRecipe
from training.recipes.lm import LmRecipe
from training.recipes.looks import LooksRecipe
from training.recipes.superres import SuperresRecipe
from training.recipes.transcribe import TranscribeRecipe


class Offer(NamedTuple):
    """One ready-made recipe."""

    settings: type[Recipe]
    """Needs no torch; the first line of its docstring is what help says of it."""
    task: str
    """`package.module:Class` of the Task that the settings describe."""


RECIPES = {
    "commands": Offer(CommandsRecipe, "training.tasks.commands:CommandsTask"),
    "denoise": Offer(DenoiseRecipe, "training.tasks.denoise:DenoiseTask"),
    "denoise-live": Offer(DenoiseLiveRecipe, "training.tasks.denoise:DenoiseTask"),
    "digits": Offer(DigitsRecipe, "training.tasks.digits:DigitsTask"),
    "enhance": Offer(EnhanceRecipe, "training.tasks.enhance:EnhanceTask"),
    "lm": Offer(LmRecipe, "training.tasks.lm:LmTask"),
    "looks": Offer(LooksRecipe, "training.tasks.looks:LooksTask"),
    "superres": Offer(SuperresRecipe, "training.tasks.superres:SuperresTask"),
    "transcribe": Offer(TranscribeRecipe, "training.tasks.transcribe:TranscribeTask"),
}

__all__ = ["RECIPES", "Offer"]
