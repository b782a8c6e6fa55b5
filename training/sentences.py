"""Sentences to be spoken: out of a grammar, or out of a text."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import DataError
from edge_runtime.speech.choice import GRAMMARS
from edge_runtime.speech.grammar import Grammar, read_grammar
from training.texts import read_sentences

ENDING = ".gram"
LONGEST_WORDS = 40
"""A grammar that repeats without end is cut there."""


@dataclass(frozen=True)
class Sentences:
    """What is said."""

    text: str
    """The file they are from."""
    draw: Callable[[np.random.Generator], str]
    """Gives one of them."""


def read_source(name: str) -> Sentences:
    """Return the sentences of a ready-made grammar, a JSGF file or a text.

    Raises GrammarError or DataError for a file that cannot be read.
    """
    path = GRAMMARS / f"{name}{ENDING}"
    # os.path, for Path.is_file raises where a name is too long to be one.
    path = path if os.path.isfile(path) else Path(name)  # noqa: PTH113
    if not os.path.isfile(path):  # noqa: PTH113
        known = " ".join(sorted(p.stem for p in GRAMMARS.glob(f"*{ENDING}")))
        raise DataError(
            f"sentences={name}: no such file, nor a ready-made grammar ({known})"
        )
    if path.suffix == ENDING:
        grammar = read_grammar(path)
        return Sentences(
            path.read_text(encoding="utf-8"), lambda rng: draw_sentence(grammar, rng)
        )
    sentences = [" ".join(words) for words in read_sentences(path)]
    return Sentences(
        "\n".join(sentences), lambda rng: sentences[int(rng.integers(len(sentences)))]
    )


def draw_sentence(grammar: Grammar, rng: np.random.Generator) -> str:
    """Return a sentence of a grammar: at each word, all that may follow are as likely.

    >>> from edge_runtime.speech.grammar import parse_grammar
    >>> grammar = parse_grammar("#JSGF V1.0; public <go> = go (left | right);")
    >>> draw_sentence(grammar, np.random.default_rng(0))
    'go right'
    """
    node = 0
    words: list[str] = []
    while True:
        following = [arc for arc in grammar.arcs if node in arc.sources]
        may_end = node in grammar.finals and bool(words)
        n_ways = len(following) + may_end
        way = int(rng.integers(n_ways)) if n_ways else 0
        is_over = way >= len(following)
        if is_over or (may_end and len(words) >= LONGEST_WORDS):
            return " ".join(words)
        words.append(following[way].word)
        node = following[way].target
