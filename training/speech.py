"""Speech for training and scoring: tables of clips, and text as it is scored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.audio import read_audio
from edge_runtime.errors import AudioError, DataError, one_line
from edge_runtime.resample import resample
from training.table import read_rows

TABLE_FILE = "transcripts.tsv"
UNINTELLIGIBLE_COLUMN = "has_unintelligible"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALPHABET = ("", " ", "'", *LETTERS)
"""Symbols of every speech network; the first is the CTC blank."""
BLANK = 0
STRIDE_FRAMES = 3
"""Frames per logit of every speech network: 30 ms, so "three" (six CTC steps) fits into
180 ms."""
_INDEX_OF = {symbol: index for index, symbol in enumerate(ALPHABET)}

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
    "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = (
    "zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety",
)  # fmt: skip
_POWERS = (
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
    (100, "hundred"),
)
LARGEST_NUMBER = 10**12 - 1
"""Longer numbers are read digit by digit, as are numbers that begin with 0."""


@dataclass(frozen=True)
class Utterance:
    """One row of a table of clips."""

    path: Path
    text: str
    """Normalized: a–z, apostrophe, single spaces."""
    columns: Mapping[str, str]
    """The row as it stands in the table."""
    place: str = ""
    """Table and line, for messages."""


@dataclass(frozen=True)
class Table:
    """The rows of a table that can be scored."""

    utterances: tuple[Utterance, ...]
    n_left_out: int
    """Rows flagged as unintelligible."""


def read_table(path: Path, where: Sequence[tuple[str, str]] = ()) -> Table:
    """Return the rows of a table, or of the one in a folder, that fit all of `where`.

    The table is tab-separated without quoting and has columns `path` (relative to the
    table) and `text`. Each of `where` is a column and the value it must have.

    Raises DataError for a table that is missing or lacks a column, where no row fits,
    and where no text has a word.
    """
    path = path / TABLE_FILE if path.is_dir() else path
    rows = read_rows(path, ("path", "text"), where)
    utterances = tuple(
        Utterance(
            path.parent / row.values["path"],
            normalize_text(row.values["text"]),
            row.values,
            row.place,
        )
        for row in rows
        if row.values.get(UNINTELLIGIBLE_COLUMN, "0") in ("", "0")
    )
    if not utterances:
        raise DataError(f"{path}: no row with intelligible speech")
    if not any(utterance.text for utterance in utterances):
        raise DataError(f"{path}: no text has a word, expected some in column text")
    return Table(utterances, len(rows) - len(utterances))


def normalize_text(text: str) -> str:
    """Return text as it is scored: a–z and apostrophes, numbers spoken out.

    >>> normalize_text("Don't dial 42, José!")
    "don't dial forty two jos"
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+)\.(?=\d)", r"\1 point ", text)
    text = re.sub(r"[0-9]+", lambda match: f" {speak_number(match[0])} ", text)
    return " ".join(re.sub(r"[^a-z']", " ", text).split())


def foreign_symbols(text: str) -> str:
    """Return the symbols of a text that no speech network writes, each once.

    They are letters and digits of other alphabets, and control characters.
    `normalize_text` leaves them out, so that what is said is another text.

    >>> foreign_symbols("Crème brûlée, 42!")
    'èûé'
    """
    text = unicodedata.normalize("NFKC", text).lower()
    return "".join(dict.fromkeys(c for c in text if _is_foreign(c)))


def writable(
    utterances: Sequence[Utterance],
) -> tuple[list[Utterance], list[Utterance]]:
    """Return the clips whose text a speech network can write, and the others."""
    return (
        [u for u in utterances if not foreign_symbols(u.columns["text"])],
        [u for u in utterances if foreign_symbols(u.columns["text"])],
    )


def told_foreign(left_out: Sequence[Utterance]) -> str:
    """Return how many clips `writable` leaves out, one or more, and an example."""
    first = left_out[0]
    symbols = one_line(foreign_symbols(first.columns["text"]))
    return (
        f"{len(left_out)} clips left out, whose text has symbols other than a-z, such"
        f" as {symbols} of {first.place or first.path}"
    )


def speak_number(digits: str) -> str:
    """Return a number's words.

    >>> speak_number("1905"), speak_number("007")
    ('one thousand nine hundred five', 'zero zero seven')
    """
    value = int(digits)
    if value > LARGEST_NUMBER or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return " ".join(_words(value))


def encode(text: str) -> NDArray[np.int64]:
    """Return the alphabet's index, (U,), of each symbol of normalized text."""
    return np.array([_INDEX_OF[symbol] for symbol in text], np.int64)


@contextmanager
def named_by(place: str) -> Iterator[None]:
    """Let an AudioError of the block begin with the table and line that name a clip."""
    try:
        yield
    except AudioError as error:
        if not place:
            raise
        raise AudioError(f"{place}: {error}") from error


def read_utterance(utterance: Utterance, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return a clip as `read_clip` does; an error names table and line, too."""
    with named_by(utterance.place):
        return read_clip(utterance.path, sample_rate_hz)


def read_clip(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return a clip's samples, (S,), at `sample_rate_hz`.

    Raises AudioError as `read_audio` does, and for a rate that is too low for speech.
    """
    samples, rate_hz = read_audio(path)
    try:
        return resample(samples, rate_hz, sample_rate_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def _is_foreign(symbol: str) -> bool:
    if symbol in LETTERS or symbol in "0123456789":
        return False
    is_control = unicodedata.category(symbol) == "Cc" and not symbol.isspace()
    return symbol.isalpha() or symbol.isnumeric() or is_control


def _words(value: int) -> list[str]:
    for power, name in _POWERS:
        if value >= power:
            rest = _words(value % power) if value % power else []
            return [*_words(value // power), name, *rest]
    if value < len(_ONES):
        return [_ONES[value]]
    tens, ones = divmod(value, 10)
    return [_TENS[tens]] + ([_ONES[ones]] if ones else [])
