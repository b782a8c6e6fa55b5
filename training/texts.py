"""Texts to learn a language from: sentences as words, and the words that are known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_runtime.errors import CheckpointError, DataError
from training.speech import normalize_text

END = "</s>"
"""Before the first word of a sentence and behind its last one."""
UNKNOWN = "<unk>"
"""Stands for every word that is not known."""
END_PLACE, UNKNOWN_PLACE = 0, 1
"""Where these stand among the words that are known."""

TRAINING_TEXTS = (
    "ljspeech-sentences/train.txt",
    "doyle-adventures/train.txt",
    "librispeech-dev-clean-transcripts/dev-clean.trans.txt",
    "coffee-commands/corpus.txt",
)
"""In the folder `text` of the data."""
_CLIP_NAME = re.compile(r"\d+-\d+-\d+ ")
"""Stands before each sentence of a table of LibriSpeech."""

WORDS_FILE = "words.txt"
"""In a checkpoint: the words that the network knows, one a line."""

Sentence = tuple[str, ...]


def read_sentences(path: Path) -> list[Sentence]:
    """Return the sentences of a text file, one a line, as normalized words.

    `<unk>` stays as it is; names of clips are left out, as LibriSpeech puts them in
    front. Raises DataError for a file that cannot be read or holds no
    word.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    texts = [_CLIP_NAME.sub("", line, count=1) for line in lines]
    found = [words for text in texts if (words := words_of(text))]
    if not found:
        raise DataError(f"{path}: holds no word, expected a sentence in every line")
    return found


def words_of(text: str) -> Sentence:
    """Return the words of a text as they are spoken.

    >>> words_of("“ Good-bye , ” said the <unk> ’s 2 dogs .")
    ('good', 'bye', 'said', 'the', '<unk>', "'s", 'two', 'dogs')
    """
    parts = [normalize_text(part).split() for part in text.split(UNKNOWN)]
    words = list(parts[0])
    for part in parts[1:]:
        words += [UNKNOWN, *part]
    return tuple(word for word in words if word != "'")


def known_words(sentences: Iterable[Sentence], at_most: int) -> tuple[str, ...]:
    """Return END, UNKNOWN, and the most frequent words, the most frequent first."""
    counts = Counter(word for words in sentences for word in words)
    del counts[UNKNOWN]
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return (END, UNKNOWN, *ranked[: max(0, at_most - 2)])


def read_words(checkpoint: Path) -> tuple[str, ...]:
    """Return the words that a checkpoint's network knows.

    Raises CheckpointError where their file cannot be read.
    """
    path = checkpoint / WORDS_FILE
    try:
        words = tuple(path.read_text(encoding="utf-8").split("\n")[:-1])
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if words[:2] != (END, UNKNOWN) or len(set(words)) < len(words):
        raise CheckpointError(
            f"{path}: expected different words, one a line, {END} and {UNKNOWN} first"
        )
    return words


def numbered(
    sentences: Iterable[Sentence], known: Sequence[str]
) -> list[tuple[int, ...]]:
    """Return each word's place among those known, or UNKNOWN's."""
    place = {word: index for index, word in enumerate(known)}
    return [tuple(place.get(w, UNKNOWN_PLACE) for w in words) for words in sentences]
