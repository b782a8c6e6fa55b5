"""Options of the commands that transcribe: how sound becomes words."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.options import name_or_path, path
from edge_runtime.speech.beam import BeamSettings
from edge_runtime.speech.choice import (
    GRAMMARS,
    LANGUAGE_MODEL,
    NONE,
    DecodingChoice,
    find_grammar,
)
from edge_runtime.speech.words import fold

BUNDLE = "transcribe"
"""The ready-made bundle that hears speech where no other is named."""


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


def decoding_choice(options: argparse.Namespace) -> DecodingChoice:
    """Return what the options say; raises as `DecodingChoice` does."""
    return DecodingChoice(
        options.language_model,
        options.beam,
        options.hot_words,
        options.words,
        options.grammar,
        options.lexicon,
    )


def _grammar(text: str) -> Path:
    return path(str(find_grammar(text)))


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas between, each once."""
    words = [word for part in fold(text).split(",") if (word := part.strip())]
    if not words:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected words with commas between"
        )
    return tuple(dict.fromkeys(words))
