"""Ready-made recipes: what is trained, on which data, for how long."""

from __future__ import annotations

from training.recipe import Recipe, Task
from training.recipes.denoise import DenoiseRecipe, DenoiseTask
from training.recipes.digits import DigitsRecipe, DigitsTask

RECIPES: dict[str, tuple[type[Recipe], type[Task]]] = {
    "denoise": (DenoiseRecipe, DenoiseTask),
    "digits": (DigitsRecipe, DigitsTask),
}
"""Each recipe's settings and the task that they describe."""

__all__ = ["RECIPES"]
