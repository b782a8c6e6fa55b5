"""Word and character error rates over a table of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.commands.transcribe import transcribe_file
from edge_runtime.ctc import greedy_text
from edge_runtime.engine import Engine
from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.transcriber import FLUSH_MS
from training.metrics import letter_errors, word_errors
from training.speech import ALPHABET, BLANK, normalize_text, read_clip, read_table
from training.transcriber import STRIDE_FRAMES, TranscriberNetwork

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


def bundle_reader(bundle: Bundle, engine: Engine) -> Reader:
    """Return the reader that streams a file through an engine, as a device does."""
    return lambda path: transcribe_file(bundle, engine, path).text


def network_reader(network: TranscriberNetwork, front_end: FrontEnd) -> Reader:
    """Return the reader that runs a network on a whole file at once."""

    def read(path: Path) -> str:
        samples = read_clip(path, front_end.sample_rate_hz)
        n_zeros = FLUSH_MS * front_end.sample_rate_hz // MILLISECONDS_PER_SECOND
        features = front_end.features(np.pad(samples, (0, n_zeros)))  # (T, M)
        whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
        with torch.no_grad():
            logits = network(torch.from_numpy(features[None, :whole]))[0]
        return greedy_text(logits.numpy(), ALPHABET, BLANK)

    return read
