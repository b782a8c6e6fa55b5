"""How each ready-made recipe is exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.plan import Plan
from export.plans.denoise import denoise_live_plan, denoise_plan
from export.plans.digits import digits_plan
from export.plans.enhance import enhance_plan
from export.plans.lm import lm_plan
from export.plans.looks import looks_plan
from export.plans.own_data import with_own_data
from export.plans.superres import superres_plan
from export.plans.transcribe import transcribe_plan
from training.recipes.digits import DigitsRecipe
from training.record import read_record
from training.trained import TrainedLanguage, TrainedTranscriber, open_checkpoint

PICTURE_PLANS = {
    "denoise": denoise_plan,
    "denoise-live": denoise_live_plan,
    "enhance": enhance_plan,
    "looks": looks_plan,
    "superres": superres_plan,
}

__all__ = ["plan_of"]


def plan_of(checkpoint: Path) -> Plan:
    """Return the plan of a checkpoint folder, by the recipe that trained it.

    Raises CheckpointError as `open_checkpoint` does.
    """
    record = read_record(checkpoint)
    return with_own_data(_recipe_plan(checkpoint, record), record)


def _recipe_plan(checkpoint: Path, record: Mapping[str, Any]) -> Plan:
    trained = open_checkpoint(checkpoint)
    if isinstance(trained, TrainedLanguage):
        return lm_plan(trained, record)
    if isinstance(trained, TrainedTranscriber):
        recipe = trained.recipe
        if isinstance(recipe, DigitsRecipe):
            return digits_plan(trained, recipe, record)
        return transcribe_plan(trained, recipe, record)
    return PICTURE_PLANS[record["recipe"]](trained, record)
