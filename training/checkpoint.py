"""The tensors of a checkpoint, and of a run that goes on, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from edge_runtime import __version__
from edge_runtime.errors import CheckpointError
from edge_runtime.files import replacing, write_text
from training.recipe import Recipe
from training.record import RECIPE_FILE, STATE_FILE, WEIGHTS_FILE, source_revision


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
    files: Mapping[str, str] | None = None,
    data: Sequence[str] = (),
) -> None:
    """Write the weights and the record of how they came about, each atomically.

    `origin` says which checkpoint the run started from; None for fresh weights.
    `files` are texts that belong to the weights, by file name. `data` names what was
    trained on in place of a recipe's own data.
    """
    for file_name, text in (files or {}).items():
        write_text(folder / file_name, text)
    with replacing(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save({k: v.contiguous() for k, v in weights.items()}))
    record = {
        "recipe": name,
        "settings": asdict(recipe),
        "tiedge": __version__,
        "torch": torch.__version__,
        "revision": source_revision(),
        "step": step,
        "metrics": metrics,
        "origin": origin,
        "data": list(data),
    }
    write_text(folder / RECIPE_FILE, json.dumps(record, indent=2) + "\n")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the checkpoint's weights; raises CheckpointError if they are damaged."""
    return _read(folder / WEIGHTS_FILE)


def saved_step(run: Path) -> int:
    """Return the step that a run would go on from, if it were resumed."""
    return _progress(run / STATE_FILE).step


def _read(path: Path) -> dict[str, Tensor]:
    with _readable(path):
        return load_file(path)


def _progress(path: Path) -> Progress:
    """Return where the run stands whose state a file holds."""
    with _readable(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    try:
        return Progress(
            step=int(metadata["step"]),
            best_score=float(metadata["best_score"]),
            best_step=int(metadata["best_step"]),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: does not say where the run stands; start a new run"
        ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise CheckpointError(f"{path}: weights cannot be read: {reason}") from error


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


def initialize(network: nn.Module, weights: Mapping[str, Tensor]) -> tuple[int, int]:
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
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Write all that a resumed run needs, atomically."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for first, optimizer in _numbered(optimizers):
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{first + index}.{k}": v for k, v in slots.items()}
    with replacing(folder / STATE_FILE) as temporary:
        data = save(
            {k: v.detach().clone().contiguous() for k, v in tensors.items()},
            metadata={k: repr(v) for k, v in asdict(progress).items()},
        )
        temporary.write_bytes(data)


def load_state(
    folder: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
) -> Progress:
    """Fill network, average and optimizers from a run's state; return its progress."""
    path = folder / STATE_FILE
    tensors = _read(path)
    progress = _progress(path)

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    try:
        load_into(network, part("network."), path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; resume with the run's own settings") from error
    average.update(part("average."))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part("optimizer.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    _check_slots(slots, optimizers, path)
    for first, optimizer in _numbered(optimizers):
        state = optimizer.state_dict()
        own = [index for group in state["param_groups"] for index in group["params"]]
        state["state"] = {i: slots[first + i] for i in own if first + i in slots}
        optimizer.load_state_dict(state)
    return progress


def _numbered(
    optimizers: Sequence[torch.optim.Optimizer],
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Yield each with the number of its first weight, counted over all of them."""
    first = 0
    for optimizer in optimizers:
        yield first, optimizer
        first += sum(len(group["params"]) for group in optimizer.param_groups)


def _check_slots(
    slots: dict[int, dict[str, Tensor]],
    optimizers: Sequence[torch.optim.Optimizer],
    path: Path,
) -> None:
    """Raise CheckpointError if the optimizers move other weights than the run's did.

    A weight that no loss has reached yet has no slot.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    trained = [weight.shape for group in groups for weight in group["params"]]
    for index, slot in slots.items():
        mean = slot["exp_avg"] if "exp_avg" in slot else slot["momentum_buffer"]
        if index >= len(trained) or mean.shape != trained[index]:
            raise CheckpointError(
                f"{path}: the run trains other weights than this command; resume with"
                " the same freeze= and muon_rate="
            )
