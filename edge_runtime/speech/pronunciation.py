"""How words are said: as a file has it, or as espeak-ng says it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.errors import SettingError
from edge_runtime.speech.words import shortened

ESPEAK = "espeak-ng"
VOICE = "en-us"
MARKS = 2
"""Symbols of a network that are no phones: the blank, and what is between words."""
MOST_TOLD = 5
"""Words that an error names."""
_WORDS_AT_ONCE = 200
_STRESS = str.maketrans("", "", "ˈˌ")


def with_words(phones: PhonesSpec, words: Iterable[str]) -> PhonesSpec:
    """Return phones that know these words too, as espeak-ng says them.

    What has no sound, like an apostrophe alone, has no phones. Raises SettingError for
    words that are not known where espeak-ng is not installed, or fails.
    """
    missing = sorted({word for word in words if word not in phones.words})
    if not missing:
        return phones
    if shutil.which(ESPEAK) is None:
        raise SettingError(
            f"{_told(missing)}: no pronunciation is known; run: apt-get install"
            f" {ESPEAK}, or write each with its phones into a file for --lexicon"
        )
    found = map(tuple, ask_espeak(missing, phones.symbols[MARKS:]))
    said = dict(zip(missing, found, strict=True))
    return replace(phones, words={**phones.words, **said})


def with_lexicon(phones: PhonesSpec | None, path: Path) -> PhonesSpec:
    """Return phones that say the words of a file as it has them.

    Raises as `read_lexicon` does, and SettingError where there are no phones.
    """
    if phones is None:
        raise SettingError(
            f"--lexicon {path}: the network hears letters alone; leave it out"
        )
    added = read_lexicon(path, phones.symbols[MARKS:])
    return replace(phones, words={**phones.words, **added})


def read_lexicon(path: Path, symbols: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the phones of each word of a file: a word and its phones in a line.

    Raises SettingError where it cannot be read, or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        word, *said = line.split()
        if not said or not {*symbols}.issuperset(said):
            raise SettingError(
                f"{path}, line {number}: found {line[:60]!r}, expected a word and its"
                f" phones, of {' '.join(symbols)}"
            )
        found[word] = tuple(said)
    return found


def ask_espeak(words: Sequence[str], symbols: Collection[str]) -> list[list[str]]:
    """Return the phones of each word in American English, those of `symbols` alone.

    In IPA, without stress; a word of apostrophes alone has none. Raises SettingError
    where espeak-ng fails.
    """
    return [
        phones
        for first in range(0, len(words), _WORDS_AT_ONCE)
        for phones in _ask(words[first : first + _WORDS_AT_ONCE], symbols)
    ]


def _ask(words: Sequence[str], symbols: Collection[str]) -> list[list[str]]:
    done = subprocess.run(
        [ESPEAK, "-q", "--ipa=1", "--sep=_", "-v", VOICE],
        input="\n\n".join(words),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0]
        raise SettingError(f"{ESPEAK}: failed: {reason or done.returncode}")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if len(words) == 1:  # a word of apostrophes has no line, an endless one several
        return [[phone for line in lines for phone in _phones(line, symbols)]]
    if len(lines) == len(words):
        return [_phones(line, symbols) for line in lines]
    half = len(words) // 2
    return [*_ask(words[:half], symbols), *_ask(words[half:], symbols)]


def _phones(line: str, symbols: Collection[str]) -> list[str]:
    parts = re.split(r"[_\s]+", line.translate(_STRESS))
    return [phone for phone in parts if phone in symbols]


def silent(word: str) -> str:
    """Return what is wrong with a word without phones, in an error's words."""
    return (
        f"{_told([word])}: has no sound that the network hears; write its phones into a"
        " file for --lexicon"
    )


def _told(words: Sequence[str]) -> str:
    """Return words as an error names them.

    >>> _told(["alexa"])
    "word 'alexa'"
    """
    named = ", ".join(repr(shortened(word)) for word in words[:MOST_TOLD])
    more = f" and {len(words) - MOST_TOLD} more" if len(words) > MOST_TOLD else ""
    return f"word{'s' * (len(words) > 1)} {named}{more}"
