"""Speech in, letters out: commands beside other speech."""

from __future__ import annotations

import hashlib
from pathlib import Path

from training.recipes.commands import CommandsRecipe
from training.sentences import Sentences, read_source
from training.speech import Utterance
from training.synthetic_corpus import cached_corpus
from training.tasks.transcribe import TranscribeTask


class CommandsTask(TranscribeTask):
    """As `transcribe`, with sentences of a grammar spoken by synthesized voices."""

    def __init__(self, recipe: CommandsRecipe, data: Path | None) -> None:
        self._sentences: Sentences = read_source(recipe.sentences)
        self._n_spoken = recipe.spoken
        super().__init__(recipe, data)

    def more_corpora(self) -> dict[str, list[Utterance]]:
        key = hashlib.sha256(self._sentences.text.encode()).hexdigest()[:16]
        draw = self._sentences.draw
        return {"commands": cached_corpus(f"commands-{key}", self._n_spoken, draw)}
