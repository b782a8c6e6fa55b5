"""How sound is to become words, as commands and programs ask for it."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.bundle import BUNDLES
from edge_runtime.bundle_reader import NAME
from edge_runtime.decoder import Decoding
from edge_runtime.errors import SettingError
from edge_runtime.speech.beam import BeamSettings
from edge_runtime.speech.grammar import read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model

LANGUAGE_MODEL = "lm"
"""The ready-made language model, for networks that write English."""
GRAMMARS = Path(__file__).parents[1] / "grammars"
"""The ready-made grammars."""
NONE = "none"
"""Says that there is to be no language model."""


@dataclass(frozen=True)
class DecodingChoice:
    """How sound is to become words; None and nothing leave it to the bundle.

    Raises SettingError for what excludes each other.
    """

    language_model: str | None = None
    """Name or path of a bundle that chooses among words; "none" writes letters."""
    beam: int | None = None
    """Hypotheses that are kept: with fewer it is faster, and wrong more often."""
    hot_words: tuple[str, ...] = ()
    """Words that are expected, beside all others."""
    words: tuple[str, ...] = ()
    """The only words that are written; there is nothing else that could be said."""
    grammar: Path | None = None
    """Sentences that are expected, in JSGF (`find_grammar`)."""
    lexicon: Path | None = None
    """How words are said: a word and its phones in a line."""

    def __post_init__(self) -> None:
        searches = self.language_model or self.beam or self.hot_words
        if self.grammar is not None and self.words:
            raise SettingError("--grammar: has words of its own; leave out --words")
        if (self.grammar is not None or self.words) and searches:
            raise SettingError(
                "--grammar and --words: need no language model; leave out"
                " --language-model, --beam and --hot-words"
            )
        if self.beam is not None and self.beam < 1:
            raise SettingError(f"--beam {self.beam}: expected at least 1")

    def told(self) -> dict[str, Any]:
        """Return what was asked for, as a result tells it."""
        asked = {
            "language_model": self.language_model,
            "beam": self.beam,
            "hot_words": list(self.hot_words),
            "words": list(self.words),
            "grammar": None if self.grammar is None else str(self.grammar),
            "lexicon": None if self.lexicon is None else str(self.lexicon),
        }
        return {name: value for name, value in asked.items() if value}

    @property
    def is_made(self) -> bool:
        """Whether anything was asked for."""
        return self != DecodingChoice()

    @contextmanager
    def open(
        self,
        alphabet: Sequence[str],
        vocabulary: Sequence[str],
        engine: str,
        threads: int,
    ) -> Iterator[Decoding]:
        """Yield the decoding for a network of such symbols and words of its own.

        Raises SettingError for a search without a language model, and what
        `open_language_model` and `read_grammar` do.
        """
        if self.grammar is not None or self.words:
            yield Decoding(
                word_loop(self.words, "--words")
                if self.grammar is None
                else read_grammar(self.grammar),
                lexicon=self.lexicon,
            )
            return
        name = self.language_model
        if name is None:
            is_there = (BUNDLES / LANGUAGE_MODEL).is_dir()
            suits = is_there and fits_english(alphabet, vocabulary)
            name = LANGUAGE_MODEL if suits else NONE
        if name == NONE:
            if self.beam or self.hot_words:
                raise SettingError(
                    "--beam and --hot-words: are for a search with a language model;"
                    " name one with --language-model"
                )
            yield Decoding(lexicon=self.lexicon)
            return
        beam = replace(BeamSettings(), hot_words=self.hot_words)
        if self.beam is not None:
            beam = replace(beam, width=self.beam)
        model = open_language_model(name, engine, "int8", threads)
        with model.engine:
            yield Decoding(None, model, beam, self.lexicon)


def find_grammar(name: str) -> Path:
    """Return the path of a ready-made grammar, or of the one in a file.

    >>> find_grammar("coffee").name
    'coffee.gram'
    """
    ready_made = GRAMMARS / f"{name}.gram"
    return ready_made if NAME.fullmatch(name) and ready_made.is_file() else Path(name)


def fits_english(alphabet: Sequence[str], vocabulary: Sequence[str]) -> bool:
    """Return whether the ready-made language model suits a network."""
    return not vocabulary and {*string.ascii_lowercase, " "} <= {*alphabet}


def decisive(choice: DecodingChoice, decoding: Decoding) -> dict[str, Any]:
    """Return all of a decoding that texts depend on."""
    model = decoding.language_model
    files = {"grammar": choice.grammar, "lexicon": choice.lexicon}
    return {
        "language_model": None
        if model is None
        else [m.sha256 for m in model.bundle.models],
        "beam": decoding.beam.width,
        "hot_words": list(choice.hot_words),
        "words": list(choice.words),
        **{
            name: None if file is None else file.read_text(encoding="utf-8")
            for name, file in files.items()
        },
    }
