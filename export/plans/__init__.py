"""How each ready-made recipe is exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.errors import CheckpointError
from export.plan import Plan
from export.plans.denoise import denoise_plan

# from export.plans.digits import digits_plan
from training.checkpoint import read_record

PLANS: dict[str, Callable[[Path, dict[str, Any]], Plan]] = {
    "denoise": denoise_plan,
    #    "digits": digits_plan,
}
"""Recipe name to the function that makes its plan from a checkpoint."""


def plan_of(checkpoint: Path) -> Plan:
    """Return the plan of a checkpoint folder, by the recipe that trained it."""
    record = read_record(checkpoint)
    if record["recipe"] not in PLANS:
        raise CheckpointError(
            f"{checkpoint}: recipe {record['recipe']!r}, expected one of"
            f" {' '.join(PLANS)}"
        )
    return PLANS[record["recipe"]](checkpoint, record)


__all__ = ["PLANS", "plan_of"]
