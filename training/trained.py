"""A checkpoint as a network that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from edge_runtime.errors import CheckpointError
from training.checkpoint import load_into, read_weights
from training.recipe import restore
from training.recipes import RECIPES
from training.recipes.digits import DigitsRecipe
from training.recipes.repeated import RepeatedRecipe
from training.record import read_record
from training.repeated import RepeatedNetwork
from training.transcriber import TranscriberNetwork


@dataclass(frozen=True)
class TrainedRepeated:
    """A checkpoint of a network whose one block is repeated on a picture."""

    recipe: RepeatedRecipe
    network: RepeatedNetwork


@dataclass(frozen=True)
class TrainedTranscriber:
    """A `digits` checkpoint."""

    recipe: DigitsRecipe
    network: TranscriberNetwork


Trained = TrainedRepeated | TrainedTranscriber


def open_checkpoint(folder: Path) -> Trained:
    """Return what a checkpoint folder holds, with its weights, out of training.

    Raises CheckpointError where it cannot be read, names a recipe that there is not,
    or has weights that do not fit it.
    """
    record = read_record(folder)
    if record["recipe"] not in RECIPES:
        raise CheckpointError(
            f"{folder}: recipe {record['recipe']!r}, expected one of"
            f" {' '.join(RECIPES)}"
        )
    recipe = restore(RECIPES[record["recipe"]].settings, record["settings"], folder)
    trained: Trained
    if isinstance(recipe, RepeatedRecipe):
        trained = TrainedRepeated(recipe, recipe.network())
    else:
        assert isinstance(recipe, DigitsRecipe)  # there are these two kinds
        trained = TrainedTranscriber(recipe, recipe.network())
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
