"""Word and character error rates over a table of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.speech.recording import transcribe_file
from training.metrics import letter_errors, word_errors
from training.speech import normalize_text, read_table

Reader = Callable[[Path], str]
"""Audio file to text."""


def evaluate_speech(
    reader: Reader, table: Path, where: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the error rates of `reader` on the rows of a table that fit `where`.

    Keys: n_utterances, n_left_out (flagged as unintelligible), n_words, n_errors,
    wer, cer (fractions) and rows. Both texts are normalized before they are compared.

    Raises DataError as `read_table` does, and AudioError for a clip that cannot be
    read.
    """
    scored = read_table(table, where)
    rows: list[dict[str, Any]] = []
    for utterance in scored.utterances:
        found = normalize_text(reader(utterance.path))
        rows.append(
            {
                "path": utterance.columns["path"],
                "expected": utterance.text,
                "found": found,
                "n_errors": word_errors(utterance.text, found),
            }
        )
    n_words = sum(len(row["expected"].split()) for row in rows)
    n_letters = sum(len(row["expected"]) for row in rows)
    n_errors = sum(row["n_errors"] for row in rows)
    n_letter_errors = sum(letter_errors(row["expected"], row["found"]) for row in rows)
    return {
        "n_utterances": len(rows),
        "n_left_out": scored.n_left_out,
        "n_words": n_words,
        "n_errors": n_errors,
        "wer": n_errors / max(1, n_words),
        "cer": n_letter_errors / max(1, n_letters),
        "rows": rows,
    }


def bundle_reader(
    bundle: Bundle, engine: Engine, decoding: Decoding | None = None
) -> Reader:
    """Return the reader that streams a file through an engine, as a device does."""
    return lambda path: transcribe_file(bundle, engine, path, decoding).text
