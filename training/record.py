"""What a run's folder holds beside tensors: how its weights came about.

A checkpoint is a folder with

  weights.safetensors   the averaged weights of the best validation
  recipe.json           recipe name, settings, version, revision, step, metrics, origin
  log.csv, curves.png   how the training went; tensorboard/ for a closer look

A run that goes on also has `state.safetensors`: weights, average, optimizer, step.
Nothing here needs torch: a mistake is answered at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import CheckpointError, SettingError

WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
RECIPE_FILE = "recipe.json"
FIELDS = {"recipe": str, "settings": dict}
"""What a record must hold, and of which type."""


def check_output(output: Path, *, resume: bool) -> None:
    """Raise if a run cannot be written to a folder, or, to resume, is not in it."""
    # os.path, for Path.exists raises where a name is too long to be one.
    holds_run = os.path.exists(output / STATE_FILE)  # noqa: PTH110
    if resume and not holds_run:
        raise CheckpointError(
            f"{output}: holds no run to go on with; leave out --resume, or name the"
            " run's folder with --output"
        )
    if holds_run and not resume:
        raise CheckpointError(
            f"{output}: holds a run already; go on with --resume or name another"
            " folder with --output"
        )
    there = next(p for p in (output, *output.parents) if os.path.exists(p))  # noqa: PTH110
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "is no folder" if not there.is_dir() else "is not writable"
        raise SettingError(
            f"{output}: cannot be written: {there} {reason}; name another folder with"
            " --output"
        )


def check_checkpoint(folder: Path) -> None:
    """Raise CheckpointError for a folder that is none, or holds no weights."""
    if not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"{folder}: no checkpoint, expected a folder with {WEIGHTS_FILE}"
        )


def origin_of(checkpoint: Path, freeze: Sequence[str]) -> dict[str, Any]:
    """Return what a run's record says of the checkpoint that it starts from."""
    weights = (checkpoint / WEIGHTS_FILE).read_bytes()
    return {
        "checkpoint": checkpoint.name,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "freeze": list(freeze),
    }


def read_record(folder: Path) -> dict[str, Any]:
    """Return what recipe.json says; raises CheckpointError if it cannot be read."""
    path = folder / RECIPE_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(
            f"{path}: no checkpoint can be read here: {reason}; expected a folder"
            f" with {RECIPE_FILE} and {WEIGHTS_FILE}"
        ) from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: is no JSON object, expected a run's record")
    for key, kind in FIELDS.items():
        if not isinstance(record.get(key), kind):
            raise CheckpointError(
                f"{path}: {key!r} is {record.get(key)!r}, expected {kind.__name__}"
            )
    return record


def source_revision() -> str | None:
    """Return the git revision of the checkout, `+` behind it if changed, or None."""
    here = Path(__file__).parent
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "*.py"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("+" if changed else "")
