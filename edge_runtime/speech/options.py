"""Options of the commands that transcribe: how sound becomes words."""

from __future__ import annotations

import argparse
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
from edge_runtime.options import name_or_path, path
from edge_runtime.speech.beam import BeamSettings
from edge_runtime.speech.grammar import read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.speech.words import fold

GRAMMARS = Path(__file__).parents[1] / "grammars"
"""The ready-made grammars."""
BUNDLE = "transcribe"
"""The ready-made bundle that hears speech where no other is named."""
LANGUAGE_MODEL = "lm"
NONE = "none"


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """Add --bundle."""
    parser.add_argument(
        "--bundle",
        type=name_or_path,
        default=BUNDLE,
        metavar="NAME",
        help=f"a ready-made bundle, or the path of one; default {BUNDLE}; digits hears"
        " zero to nine alone",
    )


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Add --language-model, --beam, --hot-words, --words, --grammar and --lexicon."""
    parser.add_argument(
        "--language-model",
        metavar="NAME",
        help="a ready-made language model, or the path of one, that chooses among"
        f" words; {NONE} writes letters as they are heard; default {LANGUAGE_MODEL} for"
        " a bundle that writes the letters a to z, and has no words of its own",
    )
    parser.add_argument(
        "--beam",
        type=int,
        metavar="N",
        help=f"hypotheses that are kept; default {BeamSettings().width}",
    )
    parser.add_argument(
        "--hot-words",
        type=_words,
        default=(),
        metavar="A,B",
        help="words that are expected, names for instance",
    )
    parser.add_argument(
        "--words",
        type=_words,
        default=(),
        metavar="A,B",
        help="the only words that are written, in any order",
    )
    parser.add_argument(
        "--grammar",
        type=_grammar,
        metavar="NAME",
        help="sentences that are expected: a file in JSGF, or a ready-made one"
        f" ({' '.join(sorted(p.stem for p in GRAMMARS.glob('*.gram')))}); what does not"
        " fit has no text and no intent",
    )
    parser.add_argument(
        "--lexicon",
        type=path,
        metavar="FILE",
        help="how words are said, for names above all: a word and its phones in IPA in"
        " a line; words that neither it nor the bundle knows are asked of espeak-ng",
    )


@dataclass(frozen=True)
class DecodingChoice:
    """How sound is to become words; None and nothing leave it to the bundle."""

    language_model: str | None = None
    beam: int | None = None
    hot_words: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    grammar: Path | None = None
    lexicon: Path | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> DecodingChoice:
        """Return what the options say.

        Raises SettingError for options that exclude each other.
        """
        choice = cls(
            options.language_model,
            options.beam,
            options.hot_words,
            options.words,
            options.grammar,
            options.lexicon,
        )
        searches = choice.language_model or choice.beam or choice.hot_words
        if choice.grammar is not None and choice.words:
            raise SettingError("--grammar: has words of its own; leave out --words")
        if (choice.grammar is not None or choice.words) and searches:
            raise SettingError(
                "--grammar and --words: need no language model; leave out"
                " --language-model, --beam and --hot-words"
            )
        if choice.beam is not None and choice.beam < 1:
            raise SettingError(f"--beam {choice.beam}: expected at least 1")
        return choice

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


def _grammar(text: str) -> Path:
    """Return the path of a ready-made grammar, or of the one in a file."""
    ready_made = GRAMMARS / f"{text}.gram"
    return ready_made if NAME.fullmatch(text) and ready_made.is_file() else path(text)


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas between, each once."""
    words = [word for part in fold(text).split(",") if (word := part.strip())]
    if not words:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected words with commas between"
        )
    return tuple(dict.fromkeys(words))
