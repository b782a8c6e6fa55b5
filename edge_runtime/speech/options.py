"""Options of the commands that transcribe: how sound becomes words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_runtime.bundle import BUNDLES, Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.errors import SettingError
from edge_runtime.options import path
from edge_runtime.speech.beam import BeamSettings
from edge_runtime.speech.grammar import read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.transcriber import require_speech

NONE = "none"
LANGUAGE_MODEL = "lm"


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Add --language-model, --beam, --hot-words, --words and --grammar."""
    parser.add_argument(
        "--language-model",
        metavar="NAME",
        help="a ready-made language model, or the path of one, that chooses among"
        f" words; {NONE} writes letters as they are heard; default {LANGUAGE_MODEL} for"
        " a bundle without words of its own",
    )
    parser.add_argument(
        "--beam",
        type=int,
        metavar="N",
        help=f"hypotheses that are kept; default {BeamSettings().width}",
    )
    parser.add_argument(
        "--hot-words",
        default="",
        metavar="A,B",
        help="words that are expected, names for instance",
    )
    parser.add_argument(
        "--words",
        default="",
        metavar="A,B",
        help="the only words that are written, in any order",
    )
    parser.add_argument(
        "--grammar",
        type=path,
        metavar="FILE",
        help="sentences that are expected, in JSGF; what does not fit has no intent",
    )


@contextmanager
def open_decoding(options: argparse.Namespace, bundle: Bundle) -> Iterator[Decoding]:
    """Yield the decoding that the options ask for, on their engine.

    Raises SettingError for options that exclude each other.
    """
    words = _list(options.words)
    hot_words = _list(options.hot_words)
    if options.grammar is not None and words:
        raise SettingError("--grammar: has words of its own; leave out --words")
    closed = options.grammar is not None or bool(words)
    name = options.language_model
    if closed and (name or options.beam or hot_words):
        raise SettingError(
            "--grammar and --words: need no language model; leave out --language-model,"
            " --beam and --hot-words"
        )
    if options.grammar is not None:
        yield Decoding(grammar=read_grammar(options.grammar))
        return
    if words:
        yield Decoding(grammar=word_loop(words))
        return
    if name is None:
        is_free = not require_speech(bundle).vocabulary
        name = (
            LANGUAGE_MODEL if is_free and (BUNDLES / LANGUAGE_MODEL).is_dir() else NONE
        )
    if name == NONE:
        if options.beam or hot_words:
            raise SettingError(
                "--beam and --hot-words: are for a search with a language model; name"
                " one with --language-model"
            )
        yield Decoding()
        return
    beam = replace(BeamSettings(), hot_words=tuple(hot_words))
    if options.beam is not None:
        if options.beam < 1:
            raise SettingError(f"--beam {options.beam}: expected at least 1")
        beam = replace(beam, width=options.beam)
    model = open_language_model(name, options.engine, "int8", options.threads)
    with model.engine:
        yield Decoding(language_model=model, beam=beam)


def decisive(options: argparse.Namespace, decoding: Decoding) -> dict[str, Any]:
    """Return all of the decoding that texts depend on."""
    model = decoding.language_model
    grammar: Path | None = options.grammar
    return {
        "language_model": None
        if model is None
        else [m.sha256 for m in model.bundle.models],
        "beam": decoding.beam.width,
        "hot_words": list(decoding.beam.hot_words),
        "words": options.words,
        "grammar": None if grammar is None else grammar.read_text(encoding="utf-8"),
    }


def _list(text: str) -> list[str]:
    return [word for part in text.lower().split(",") if (word := part.strip())]
