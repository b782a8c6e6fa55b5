"""How words are pronounced, as espeak-ng says it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import DataError
from edge_runtime.files import write_text
from training.synthetic_speech import ESPEAK, cache_folder

PHONES = (
    "", " ", "aɪ", "aɪə", "aɪɚ", "aʊ", "b", "d", "dʒ", "eɪ", "f", "h", "i", "iə", "iː",
    "j", "k", "l", "m", "n", "n̩", "oʊ", "oː", "oːɹ", "p", "s", "t", "tʃ", "uː", "v",
    "w", "z", "æ", "ð", "ŋ", "ɐ", "ɑː", "ɑːɹ", "ɔ", "ɔɪ", "ɔː", "ɔːɹ", "ə", "əl", "ɚ",
    "ɛ", "ɛɹ", "ɜː", "ɡ", "ɪ", "ɪɹ", "ɹ", "ɾ", "ʃ", "ʊ", "ʊɹ", "ʌ", "ʒ", "ʔ", "θ", "ᵻ",
)  # fmt: skip
"""Those of espeak-ng's American English; the first is the CTC blank, the second stands
between words. Rarer ones, of foreign words, are left out of a pronunciation."""
CACHE_FILE = "pronunciations.json"
_PLACE = {phone: place for place, phone in enumerate(PHONES)}
_SPACE = _PLACE[" "]
_WORDS_AT_ONCE = 200
_STRESS = str.maketrans("", "", "ˈˌ")


def pronounce(
    words: Sequence[str], cache: Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the phones of each word in American English, in IPA, without stress.

    Words that were asked for before are read from `cache`, a folder (default: the
    user's cache folder). Raises DataError if espeak-ng is needed and not installed, or
    fails.
    """
    path = (cache_folder() if cache is None else cache) / CACHE_FILE
    known: dict[str, list[str]] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: damaged; delete it, it is made again") from error
    missing = sorted(set(words) - known.keys())
    if missing and shutil.which(ESPEAK) is None:
        raise DataError(
            f"{ESPEAK} is not installed; run: apt-get install {ESPEAK}, or train"
            " without it: phones=0"
        )
    for first in range(0, len(missing), _WORDS_AT_ONCE):
        some = missing[first : first + _WORDS_AT_ONCE]
        known.update(zip(some, _ask(some), strict=True))
    if missing:
        write_text(path, json.dumps(known, ensure_ascii=False))
    return {word: tuple(known[word]) for word in words}


def encode_phones(
    text: str, pronunciations: Mapping[str, Sequence[str]]
) -> NDArray[np.int64]:
    """Return the place among PHONES, (U,), of each phone of normalized text."""
    found: list[int] = []
    for word in text.split():
        found += [_SPACE] * bool(found)
        found += [_PLACE[phone] for phone in pronunciations[word]]
    return np.array(found, np.int64)


def _ask(words: Sequence[str]) -> list[list[str]]:
    done = subprocess.run(
        [ESPEAK, "-q", "--ipa=1", "--sep=_", "-v", "en-us"],
        input="\n\n".join(words),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or len(lines) != len(words):
        raise DataError(
            f"{ESPEAK}: {len(lines)} lines of phones, expected {len(words)}:"
            f" {done.stderr.strip().partition(chr(10))[0]}"
        )
    return [
        [p for p in re.split(r"[_\s]+", line.translate(_STRESS)) if p in PHONES[2:]]
        for line in lines
    ]
