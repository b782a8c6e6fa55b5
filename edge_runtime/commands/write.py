"""`tiedge write`: a text continued by the language model."""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import one_line
from edge_runtime.options import (
    Parser,
    add_engine_options,
    bounded,
    name_or_path,
    print_json,
)
from edge_runtime.speech.language_model import LanguageModel, open_language_model

MOST_WORDS = 100_000
_AROUND = re.compile(r"^\W+|\W+$")
"""Quotes, commas and the like before and behind a word."""


def run(arguments: Sequence[str]) -> int:
    """Continue a text as the arguments say."""
    options = _parser().parse_args(arguments)
    model = open_language_model(
        options.bundle, options.engine, options.precision, options.threads
    )
    with model.engine:
        given = known_words(model, options.text)
        written = continued(
            model, given, options.words, options.temperature, options.seed
        )
        if not options.json:
            _print_on(options.text.strip(), written)
            return 0
        words = list(written)
    print_json(
        {
            "bundle": model.bundle.name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": None,
            "threads": options.threads,
            "given": options.text,
            "text": " ".join(word or "." for word in words).replace(" .", "."),
            "n_words": sum(map(bool, words)),
        }
    )
    return 0


def _print_on(text: str, words: Iterator[str]) -> None:
    """Print a text and each word as it comes; an empty one ends a sentence."""
    print(text, end="", flush=True)
    space = " " if text else ""
    for word in words:
        print(f"{space}{word}" if word else ".", end="", flush=True)
        space = " "
    print()


def known_words(model: LanguageModel, text: str) -> list[int]:
    """Return the places of a text's words, `unknown` for those that have none.

    stderr names those, as they were typed.
    """
    place = {word: index for index, word in enumerate(model.words)}
    found: list[int] = []
    strange: list[str] = []
    for typed in unicodedata.normalize("NFC", text).split():
        pieces = re.findall(r"[\w']+", typed.lower().replace("\u2019", "'"))
        bare = [piece if piece in place else piece.strip("'_") for piece in pieces]
        places = [place.get(piece, model.unknown) for piece in bare if piece]
        found += places
        if model.unknown in places:
            strange.append(_AROUND.sub("", typed))
    if strange:
        told = one_line(" ".join(dict.fromkeys(strange)))
        print(
            f"tiedge write: {model.bundle.name} does not know: {told}", file=sys.stderr
        )
    return found


def continued(
    model: LanguageModel,
    given: Sequence[int],
    n_words: int,
    temperature: float,
    seed: int,
) -> Iterator[str]:
    """Yield the words that follow, drawn by `seed`; an empty one ends a sentence.

    At temperature 0, each is the most likely one. No sentence is empty.
    """
    rng = np.random.default_rng(seed)
    context = model.start()
    is_begun = bool(given)
    for word in given:
        (context,) = model.extend([(context, word)])
    n_written = 0
    while n_written < n_words:
        likely = context.log_probabilities.astype(np.float64)
        likely[model.unknown] = -np.inf
        if not is_begun:
            likely[model.end] = -np.inf
        word = int(np.argmax(_drawn(likely, temperature, rng)))
        is_end = word == model.end
        is_begun = not is_end
        yield "" if is_end else model.words[word]
        n_written += not is_end
        context = model.start() if is_end else model.extend([(context, word)])[0]


def _drawn(
    likely: NDArray[np.float64], temperature: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return numbers, (V,), whose largest is a draw from what is that likely.

    `likely` are logarithms of probabilities, (V,). See Gumbel, 1954.
    """
    if temperature == 0.0:
        return likely
    with np.errstate(over="ignore"):  # minus infinity at the lowest temperatures
        apart = (likely - likely.max()) / temperature
    return np.asarray(apart + rng.gumbel(size=len(likely)), np.float64)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge write",
        description="Continue a text, word by word, with the language model that"
        " transcripts are made with.",
    )
    parser.add_argument("text", metavar="TEXT", help="how it begins; may be empty")
    parser.add_argument(
        "--bundle",
        type=name_or_path,
        default="lm",
        metavar="NAME",
        help="a ready-made bundle, or the path of one; default lm",
    )
    parser.add_argument(
        "--words",
        type=bounded(int, 1, MOST_WORDS, "words"),
        default=40,
        help="how many; default 40",
    )
    parser.add_argument(
        "--temperature",
        type=bounded(float, 0.0, 10.0, "1 being what the model has"),
        default=0.8,
        help="0 for the likeliest words; the higher, the stranger; default 0.8",
    )
    add_engine_options(parser, FORMAT_OF_ENGINE, depth=False)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
