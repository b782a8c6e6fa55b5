"""A checkpoint as a network that is ready to run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.errors import CheckpointError
from training.checkpoint import load_into, read_weights
from training.language import LanguageNetwork, nats_per_word, windows
from training.phones import PHONES, read_lexicon
from training.recipe import restore
from training.recipes import RECIPES
from training.recipes.digits import DigitsRecipe
from training.recipes.lm import LmRecipe
from training.recipes.repeated import RepeatedRecipe
from training.recipes.transcribe import TranscribeRecipe
from training.record import read_record
from training.repeated import RepeatedNetwork
from training.texts import read_words
from training.transcriber import TranscriberNetwork


@dataclass(frozen=True)
class TrainedRepeated:
    """A checkpoint of a network whose one block is repeated on a picture."""

    recipe: RepeatedRecipe
    network: RepeatedNetwork


@dataclass(frozen=True)
class TrainedTranscriber:
    """A `digits` or `transcribe` checkpoint."""

    recipe: DigitsRecipe | TranscribeRecipe
    network: TranscriberNetwork
    phones: PhonesSpec | None = None
    """What it hears beside letters, where it does."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The only words that are written; none for free text."""
        recipe = self.recipe
        return recipe.vocabulary if isinstance(recipe, DigitsRecipe) else ()


@dataclass(frozen=True)
class TrainedLanguage:
    """An `lm` checkpoint."""

    recipe: LmRecipe
    network: LanguageNetwork
    words: tuple[str, ...]

    def perplexity(self, sentences: Sequence[Sequence[int]]) -> float:
        """Return the perplexity of sentences, counted as `tiedge train lm` does."""
        read, wanted = windows(sentences, max(map(len, sentences)) + 1)
        with torch.no_grad():
            return math.exp(float(nats_per_word(self.network(read), wanted)))


Trained = TrainedRepeated | TrainedTranscriber | TrainedLanguage


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
    elif isinstance(recipe, LmRecipe):
        words = read_words(folder)
        trained = TrainedLanguage(recipe, recipe.network(len(words)), words)
    else:
        assert isinstance(recipe, (DigitsRecipe, TranscribeRecipe))
        trained = TrainedTranscriber(
            recipe, recipe.network(), _read_phones(recipe, folder)
        )
    load_into(trained.network, read_weights(folder), folder)
    trained.network.eval()
    return trained


def _read_phones(
    recipe: DigitsRecipe | TranscribeRecipe, checkpoint: Path
) -> PhonesSpec | None:
    if isinstance(recipe, DigitsRecipe) or not recipe.phones:
        return None
    return PhonesSpec(PHONES, read_lexicon(checkpoint))


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Let torch compute on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
