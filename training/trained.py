"""A checkpoint as a network that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from edge_runtime.errors import CheckpointError
from training.checkpoint import load_into, read_weights
from training.denoiser import Denoiser
from training.recipe import restore
from training.recipes import RECIPES
from training.recipes.denoise import DenoiseRecipe
from training.recipes.digits import DigitsRecipe
from training.recipes.superres import SuperresRecipe
from training.record import read_record
from training.transcriber import TranscriberNetwork
from training.upscaler import Upscaler


@dataclass(frozen=True)
class TrainedDenoiser:
    """A `denoise` checkpoint."""

    recipe: DenoiseRecipe
    network: Denoiser


@dataclass(frozen=True)
class TrainedTranscriber:
    """A `digits` checkpoint."""

    recipe: DigitsRecipe
    network: TranscriberNetwork


@dataclass(frozen=True)
class TrainedUpscaler:
    """A `superres` checkpoint."""

    recipe: SuperresRecipe
    network: Upscaler


Trained = TrainedDenoiser | TrainedTranscriber | TrainedUpscaler


def open_checkpoint(folder: Path) -> Trained:
    """Return what a checkpoint folder holds, with its weights, out of training.

    Raises CheckpointError where it cannot be read, names a recipe that there is not,
    or has weights that do not fit it.
    """
    record = read_record(folder)
    trained: Trained
    if record["recipe"] == "denoise":
        denoise = restore(DenoiseRecipe, record["settings"], folder)
        trained = TrainedDenoiser(denoise, denoise.network())
    elif record["recipe"] == "digits":
        digits = restore(DigitsRecipe, record["settings"], folder)
        trained = TrainedTranscriber(digits, digits.network())
    elif record["recipe"] == "superres":
        superres = restore(SuperresRecipe, record["settings"], folder)
        trained = TrainedUpscaler(superres, superres.network())
    else:
        raise CheckpointError(
            f"{folder}: recipe {record['recipe']!r}, expected one of"
            f" {' '.join(RECIPES)}"
        )
    load_into(trained.network, read_weights(folder), folder)
    trained.network.eval()
    return trained


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Let torch compute on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
