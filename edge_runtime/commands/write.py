"""`tiedge write`: a text continued by the language model."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np

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
            print(options.text.strip(), end="", flush=True)
            for word in written:
                print(f" {word}" if word else ".", end="", flush=True)
            print()
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


def known_words(model: LanguageModel, text: str) -> list[int]:
    """Return the places of a text's words; stderr names those that are not known."""
    place = {word: index for index, word in enumerate(model.words)}
    words = re.findall(r"[a-z']+", text.lower().replace("\u2019", "'"))
    strange = [word for word in words if word not in place]
    if strange:
        told = one_line(" ".join(dict.fromkeys(strange)))
        print(
            f"tiedge write: {model.bundle.name} does not know: {told}", file=sys.stderr
        )
    return [place.get(word, model.unknown) for word in words]


def continued(
    model: LanguageModel,
    given: Sequence[int],
    n_words: int,
    temperature: float,
    seed: int,
) -> Iterator[str]:
    """Yield the words that follow, drawn by `seed`; an empty one ends a sentence.

    At temperature 0, each is the most likely one.
    """
    rng = np.random.default_rng(seed)
    context = model.start()
    for word in given:
        (context,) = model.extend([(context, word)])
    n_written = 0
    while n_written < n_words:
        likely = context.log_probabilities.astype(np.float64)
        likely[model.unknown] = -np.inf
        if temperature > 0.0:
            # The largest of these is a draw from the distribution (Gumbel, 1954).
            likely = likely / temperature + rng.gumbel(size=len(likely))
        word = int(np.argmax(likely))
        is_end = word == model.end
        yield "" if is_end else model.words[word]
        n_written += not is_end
        context = model.start() if is_end else model.extend([(context, word)])[0]


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
