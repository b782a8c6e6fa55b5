"""How each ready-made recipe is exported."""

from __future__ import annotations

from pathlib import Path

from export.plan import Plan
from export.plans.denoise import denoise_plan
from export.plans.digits import digits_plan
from export.plans.superres import superres_plan
from training.record import read_record
from training.trained import TrainedDenoiser, TrainedUpscaler, open_checkpoint

__all__ = ["plan_of"]


def plan_of(checkpoint: Path) -> Plan:
    """Return the plan of a checkpoint folder, by the recipe that trained it.

    Raises CheckpointError as `open_checkpoint` does.
    """
    record = read_record(checkpoint)
    trained = open_checkpoint(checkpoint)
    if isinstance(trained, TrainedDenoiser):
        return denoise_plan(trained, record)
    if isinstance(trained, TrainedUpscaler):
        return superres_plan(trained, record)
    return digits_plan(trained, record)
