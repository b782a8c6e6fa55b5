"""Words of a transcript, with their times, and words as they are asked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

LONGEST_FOUND = 40
"""Letters of what was found that an error shows."""


@dataclass(frozen=True)
class Word:
    """A word of a transcript."""

    text: str
    start: int
    """Step of the network in which its first letter was written."""
    end: int
    """Step behind that of its last letter."""
    confidence: float
    """How well its letters held against all others, 0–1."""
    tag: str = ""
    """What a grammar calls it."""
    intent: int = -1
    """Which of a grammar's sentences it is part of."""


def fold(text: str) -> str:
    """Return text in the letters that networks write: small, with plain apostrophes.

    >>> fold("I\u2019d LIKE")
    "i'd like"
    """
    return unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")


def symbol_places(alphabet: Sequence[str]) -> dict[str, int]:
    """Return the place of each symbol; capital letters are found by small ones, too.

    >>> symbol_places(["", " ", "A"])
    {'': 0, ' ': 1, 'A': 2, 'a': 2}
    """
    places = {symbol: place for place, symbol in enumerate(alphabet)}
    for place, symbol in enumerate(alphabet):
        places.setdefault(symbol.lower(), place)
    return places


def shortened(text: str, longest: int = LONGEST_FOUND) -> str:
    """Return text as an error shows it: the end of a long one is left out."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def wrong_letters(word: str, symbols: Collection[str]) -> str | None:
    """Return what is wrong with a word, in an error's words; None where nothing is.

    It is to be spelled in symbols of a network, all but the space.

    >>> wrong_letters("7up", ["", " ", "p", "u"])
    "word '7up': found '7', expected letters of 'pu'; write numbers as they are said"
    """
    letters = sorted({*symbols} - {"", " "})
    strange = next((letter for letter in word if letter not in letters), None)
    if word and strange is None:
        return None
    expected = f"expected letters of {shortened(''.join(letters))!r}"
    told = f"word {shortened(word)!r}"
    if strange is None:
        return f"{told}: is empty, {expected}"
    way_out = ""
    if strange.isdigit():
        way_out = "; write numbers as they are said"
    elif strange == " ":
        way_out = "; put commas between words, and phrases into a grammar"
    return f"{told}: found {strange!r}, {expected}{way_out}"
