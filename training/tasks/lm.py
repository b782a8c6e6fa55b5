"""Words in, the next word's probabilities out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import DataError
from training.corpora import DEV, TRAIN, read_corpora
from training.data import data_folder
from training.language import nats_per_word, windows
from training.recipes.lm import LmRecipe
from training.task import Task
from training.texts import (
    TRAINING_TEXTS,
    WORDS_FILE,
    Sentence,
    known_words,
    numbered,
    read_sentences,
    read_words,
)

SPOKEN = ("speechocean762", "wuw-corpus-ii")
HELD_OUT = {
    "ljspeech": "ljspeech-sentences/dev.txt",
    "doyle": "doyle-adventures/valid.txt",
}
HELD_OUT_ONE_IN = 20
"""Of a user's own sentences, every so many is held out."""

ROWS_OF_WORDS = {"words.weight", "words.bias", "output.weight", "output.bias"}
"""Weights with a row for each word."""


class LmTask(Task):
    """Words in, the next word's probabilities out; scored by perplexity.

    Without `data`: the texts at hand, and the transcripts of speechocean762 and
    wuw-corpus-ii (training parts). With it, a text file with a sentence in every line,
    or a folder of them.
    """

    score = "minus_nats_per_word"

    def __init__(self, recipe: LmRecipe, data: Path | None) -> None:
        self.recipe = recipe
        heard: list[Sentence] = []
        held_out: dict[str, list[Sentence]] = {}
        if data is None:
            texts = data_folder() / "text"
            for name in TRAINING_TEXTS:
                heard += read_sentences(texts / name)
            for name, file in HELD_OUT.items():
                held_out[name] = read_sentences(texts / file)
            for name in SPOKEN:
                corpus = read_corpora(data_folder() / "speech" / name)
                said = {
                    split: [
                        tuple(u.text.split())
                        for u in corpus
                        if u.columns["split"] == split
                    ]
                    for split in (TRAIN, DEV)
                }
                heard += said[TRAIN] * recipe.transcripts
                held_out[name] = said[DEV]
        else:
            files = sorted(data.rglob("*.txt")) if data.is_dir() else [data]
            own = [sentence for file in files for sentence in read_sentences(file)]
            if len(own) < recipe.batch + 1:
                raise DataError(
                    f"{data}: {len(own)} sentences, expected more than a batch of"
                    f" {recipe.batch}, one in every line of a .txt file"
                )
            heard = [s for n, s in enumerate(own) if n % HELD_OUT_ONE_IN]
            held_out["own"] = own[::HELD_OUT_ONE_IN]
        self.words = known_words(heard, recipe.words)
        self._heard = numbered(heard, self.words)
        self._held_out = {
            name: numbered(sentences, self.words)
            for name, sentences in held_out.items()
        }
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def contents(self) -> str:
        n_words = sum(map(len, self._heard))
        held_out = ", ".join(
            f"{sum(map(len, sentences))} {name}"
            for name, sentences in self._held_out.items()
        )
        return (
            f"{n_words} words in {len(self._heard)} sentences to train on,"
            f" {len(self.words)} of them different; {held_out} held out"
        )

    def files(self) -> Mapping[str, str]:
        return {WORDS_FILE: "".join(f"{word}\n" for word in self.words)}

    def network(self) -> nn.Module:
        return self.recipe.network(len(self.words))

    def translated(
        self, weights: Mapping[str, Tensor], network: nn.Module, checkpoint: Path
    ) -> Mapping[str, Tensor]:
        """Return the weights with the rows of each word where this run has the word."""
        before = {word: place for place, word in enumerate(read_words(checkpoint))}
        known = [n for n, word in enumerate(self.words) if word in before]
        places = [before[self.words[n]] for n in known]
        own = network.state_dict()
        found = dict(weights)
        for name in ROWS_OF_WORDS & weights.keys() & own.keys():
            if weights[name].shape == (len(before), *own[name].shape[1:]):
                found[name] = own[name].clone()
                found[name][known] = weights[name][places]
        return found

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        n_steps = max(1, len(self._heard) // self.recipe.batch)
        numbers = self._order(step // n_steps)[step % n_steps]
        sentences = [self._heard[int(numbers[index])] for index in indices]
        length = min(max(map(len, sentences)) + 1, self.recipe.longest_words)
        read, wanted = windows(sentences, length)
        return {"read": read, "wanted": wanted}  # (B, T)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross entropy, in nats a word."""
        return nats_per_word(network(batch["read"]), batch["wanted"])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return minus the nats a word of held-out texts, and each one's perplexity.

        A sentence's end counts as a word; words that are not known do not count.
        """
        nats: dict[str, float] = {}
        n_words: dict[str, int] = {}
        for name, sentences in self._held_out.items():
            total, n = 0.0, 0
            for first in range(0, len(sentences), self.recipe.batch):
                some = sentences[first : first + self.recipe.batch]
                read, wanted = windows(some, max(map(len, some)) + 1)
                here = int((wanted >= 0).sum())
                total += float(nats_per_word(network(read), wanted)) * here
                n += here
            nats[name], n_words[name] = total, n
        mean = sum(nats.values()) / sum(n_words.values())
        return {"minus_nats_per_word": -mean} | {
            f"perplexity_{name}": math.exp(nats[name] / n)
            for name, n in n_words.items()
        }

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        """Return an epoch's batches, (steps, B): sentences of like length."""
        rng = np.random.default_rng((self.recipe.seed, epoch))
        batch = self.recipe.batch
        lengths = np.array([len(sentence) for sentence in self._heard])
        ordered = np.argsort(lengths + rng.uniform(0, 3, len(lengths)))
        n_steps = max(1, len(ordered) // batch)
        first = int(rng.integers(max(1, len(ordered) - n_steps * batch + 1)))
        rows = np.resize(ordered[first:], n_steps * batch).reshape(n_steps, batch)
        rng.shuffle(rows)
        return rows
