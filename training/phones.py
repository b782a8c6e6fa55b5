"""How words are pronounced, as espeak-ng says it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cache import cache_folder
from edge_runtime.errors import CheckpointError, DataError, SettingError
from edge_runtime.speech.pronunciation import ESPEAK, ask_espeak
from edge_runtime.speech.pronunciation import read_lexicon as read_words
from training.cached import alone, caching, damaged

PHONES = (
    "", " ", "aɪ", "aɪə", "aɪɚ", "aʊ", "b", "d", "dʒ", "eɪ", "f", "h", "i", "iə", "iː",
    "j", "k", "l", "m", "n", "n̩", "oʊ", "oː", "oːɹ", "p", "s", "t", "tʃ", "uː", "v",
    "w", "z", "æ", "ð", "ŋ", "ɐ", "ɑː", "ɑːɹ", "ɔ", "ɔɪ", "ɔː", "ɔːɹ", "ə", "əl", "ɚ",
    "ɛ", "ɛɹ", "ɜː", "ɡ", "ɪ", "ɪɹ", "ɹ", "ɾ", "ʃ", "ʊ", "ʊɹ", "ʌ", "ʒ", "ʔ", "θ", "ᵻ",
)  # fmt: skip
"""Those of espeak-ng's American English; the first is the CTC blank, the second stands
between words. Rarer ones, of foreign words, are left out of a pronunciation."""
LEXICON_FILE = "lexicon.txt"
"""In a checkpoint: words and their phones, a word a line. More may be written in."""
CACHE_FILE = "pronunciations.json"
_PLACE = {phone: place for place, phone in enumerate(PHONES)}
_SPACE = _PLACE[" "]


def pronounce(
    words: Sequence[str], cache: Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the phones of each word in American English, in IPA, without stress.

    Words that were asked for before are read from `cache`, a folder (default: the
    user's cache folder); a word of apostrophes alone has none. Raises DataError if
    espeak-ng is needed and not installed, or fails, and for a damaged cache,
    SettingError where it cannot be written.
    """
    path = (cache_folder() if cache is None else cache) / CACHE_FILE
    known = _read(path)
    if not known.keys() >= set(words):
        with alone(path.parent):
            known = _read(path)
            _add(path, known, sorted(set(words) - known.keys()))
    return {word: tuple(known[word]) for word in words}


def _add(path: Path, known: dict[str, list[str]], missing: Sequence[str]) -> None:
    """Ask for the words that are missing; keep them in a cache."""
    if not missing:
        return
    if shutil.which(ESPEAK) is None:
        raise DataError(
            f"{ESPEAK} is not installed; run: apt-get install {ESPEAK}, or train"
            " without it: phones=0"
        )
    try:
        known.update(zip(missing, ask_espeak(missing, PHONES[2:]), strict=True))
    except SettingError as error:
        raise DataError(str(error)) from error
    with caching(path) as temporary:
        temporary.write_text(json.dumps(known, ensure_ascii=False), "utf-8")


def encode_phones(
    text: str, pronunciations: Mapping[str, Sequence[str]]
) -> NDArray[np.int64]:
    """Return the place among PHONES, (U,), of each phone of normalized text."""
    found: list[int] = []
    for word in text.split():
        phones = [_PLACE[phone] for phone in pronunciations[word]]
        found += [_SPACE] * bool(found and phones)
        found += phones
    return np.array(found, np.int64)


def _read(path: Path) -> dict[str, list[str]]:
    """Return the words of a cache; none where there is none yet."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(known, dict) or not all(map(_is_phones, known.values())):
        raise damaged(path)
    return known


def _is_phones(value: object) -> bool:
    return isinstance(value, list) and all(phone in PHONES[2:] for phone in value)


def lexicon_text(pronunciations: Mapping[str, Sequence[str]]) -> str:
    """Return words and their phones as LEXICON_FILE holds them."""
    said = sorted((word, " ".join(p)) for word, p in pronunciations.items() if p)
    return "".join(f"{word} {phones}\n" for word, phones in said)


def read_lexicon(checkpoint: Path) -> dict[str, tuple[str, ...]]:
    """Return the phones of each word of a checkpoint's lexicon.

    Raises CheckpointError where the file cannot be read, or holds something else.
    """
    try:
        return read_words(checkpoint / LEXICON_FILE, PHONES[2:])
    except SettingError as error:
        raise CheckpointError(str(error)) from error


def greedy_phones(logits: NDArray[np.float32]) -> list[int]:
    """Return the place among PHONES of each phone that logits, (T, P), say."""
    best = logits.argmax(axis=1)
    changed = np.flatnonzero(np.diff(best, prepend=0))
    return [place for place in best[changed].tolist() if place]
