"""Checkpoints: weights as safetensors, beside the recipe that made them.

A checkpoint is a folder with

  weights.safetensors   the averaged weights of the best validation
  recipe.json           recipe name, settings, version, revision, step, metrics
  log.csv, curves.png   how the training went

A run that goes on also has `state.safetensors`: weights, average, optimizer, step.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edge_runtime import __version__
from edge_runtime.errors import CheckpointError
from edge_runtime.files import replacing, write_text
from training.recipe import Recipe

WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int
    """Optimizer steps done."""
    best_score: float
    best_step: int


def save_weights(
    folder: Path,
    name: str,
    recipe: Recipe,
    weights: dict[str, Tensor],
    step: int,
    metrics: dict[str, float],
    origin: dict[str, Any] | None = None,
) -> None:
    """Write the weights and the record of how they came about, each atomically.

    `origin` says which checkpoint the run started from; None for fresh weights.
    """
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file({k: v.contiguous() for k, v in weights.items()}, temporary)
    record = {
        "recipe": name,
        "settings": asdict(recipe),
        "tiedge": __version__,
        "torch": torch.__version__,
        "revision": source_revision(),
        "step": step,
        "metrics": metrics,
        "origin": origin,
    }
    write_text(folder / RECIPE_FILE, json.dumps(record, indent=2) + "\n")


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
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: no checkpoint can be read here: {error}; expected a folder"
            f" with {RECIPE_FILE} and {WEIGHTS_FILE}"
        ) from error
    if not isinstance(record, dict) or not {"recipe", "settings"} <= record.keys():
        raise CheckpointError(f'{path}: lacks "recipe" or "settings"')
    return record


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the checkpoint's weights; raises CheckpointError if they are damaged."""
    return _read(folder / WEIGHTS_FILE)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: weights cannot be read: {error}") from error


def load_into(network: nn.Module, weights: dict[str, Tensor], where: Path) -> None:
    """Copy weights into the network; raises CheckpointError where they do not fit."""
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise CheckpointError(f"{where}: lacks weight {name!r}")
        if weights[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where}: weight {name!r} is {tuple(weights[name].shape)},"
                f" the network's is {tuple(tensor.shape)}"
            )
    unknown = sorted(weights.keys() - own.keys())
    if unknown:
        raise CheckpointError(f"{where}: the network has no weight {unknown[0]!r}")
    network.load_state_dict(weights)


def initialize(network: nn.Module, weights: dict[str, Tensor]) -> tuple[int, int]:
    """Copy the weights whose name and shape fit; return (copied, all)."""
    own = network.state_dict()
    fitting = {
        name: tensor
        for name, tensor in weights.items()
        if name in own and own[name].shape == tensor.shape
    }
    network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def save_state(
    folder: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write all that a resumed run needs, atomically."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
    with replacing(folder / STATE_FILE) as temporary:
        save_file(
            {k: v.detach().clone().contiguous() for k, v in tensors.items()},
            temporary,
            metadata={k: repr(v) for k, v in asdict(progress).items()},
        )


def load_state(
    folder: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Fill network, average and optimizer from a run's state; return its progress."""
    path = folder / STATE_FILE
    tensors = _read(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    load_into(network, part("network."), path)
    average.update(part("average."))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part("optimizer.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    _check_slots(slots, optimizer, path)
    state = optimizer.state_dict()
    optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
    return Progress(
        step=int(metadata["step"]),
        best_score=float(metadata["best_score"]),
        best_step=int(metadata["best_step"]),
    )


def _check_slots(
    slots: dict[int, dict[str, Tensor]], optimizer: torch.optim.Optimizer, path: Path
) -> None:
    """Raise CheckpointError if the optimizer moves other weights than the run's did.

    A weight that no loss has reached yet has no slot.
    """
    trained = [p.shape for group in optimizer.param_groups for p in group["params"]]
    for index, slot in slots.items():
        if index >= len(trained) or slot["exp_avg"].shape != trained[index]:
            raise CheckpointError(
                f"{path}: the run trains other weights than this command; resume with"
                " the same freeze="
            )


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
