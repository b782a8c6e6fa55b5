"""Word and character error rates, and intents, over a table of clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.errors import DataError
from edge_runtime.speech.endpoint import EndpointSettings
from edge_runtime.speech.recording import transcribe_file
from training.metrics import letter_errors, word_errors
from training.speech import TABLE_FILE, Utterance, normalize_text, read_table
from training.table import read_rows

LABELS_FILE = "labels.tsv"
INTENT_COLUMNS = ("path", "intent", "slots_json")


@dataclass(frozen=True)
class Reading:
    """What was read from a clip."""

    text: str
    audio_s: float
    compute_s: float
    """Spent on it, all included."""
    intents: Sequence[Mapping[str, Any]] = ()
    """Name and slots of each utterance that a grammar understood."""


Reader = Callable[[Path], Reading]
"""Reads an audio file."""


def evaluate_speech(
    reader: Reader, table: Path, where: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the error rates of `reader` on the rows of a table that fit `where`.

    Keys: n_utterances, n_left_out (flagged as unintelligible), n_words, n_errors,
    wer, cer (fractions), rtf (seconds of computing by seconds of sound), n_understood
    (clips in which a grammar found an intent) and rows. Both texts are normalized
    before they are compared.

    Raises DataError as `read_table` does, and AudioError for a clip that cannot be
    read.
    """
    scored = read_table(table, where)
    readings = [reader(utterance.path) for utterance in scored.utterances]
    rows = [
        _row(utterance, reading)
        for utterance, reading in zip(scored.utterances, readings, strict=True)
    ]
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
        "rtf": _real_time_factor(readings),
        "n_understood": sum(bool(reading.intents) for reading in readings),
        "rows": rows,
    }


def evaluate_intents(reader: Reader, labels: Path) -> dict[str, Any]:
    """Return how many clips of a table of intents are understood right.

    The table has columns path, intent and slots_json, an object of values by slot. A
    clip counts where its one intent and all slots are as they stand there, but for
    spaces around values and slots without a value. Keys: n_utterances, n_right,
    accuracy (fraction), n_rejected (clips without an intent), rtf and rows.

    Raises DataError for a table that cannot be read, AudioError for such a clip.
    """
    rows: list[dict[str, Any]] = []
    readings: list[Reading] = []
    for number, labelled in enumerate(read_rows(labels, INTENT_COLUMNS, ()), start=2):
        expected = (labelled["intent"], _slots(labels, number, labelled["slots_json"]))
        readings.append(reader(labels.parent / labelled["path"]))
        intents = readings[-1].intents
        found = [(one["name"], dict(one["slots"])) for one in intents]
        rows.append(
            {
                "path": labelled["path"],
                "expected": _told([expected]),
                "found": _told(found),
                "text": readings[-1].text,
                "n_errors": int(found != [expected]),
            }
        )
    n_right = sum(not row["n_errors"] for row in rows)
    return {
        "n_utterances": len(rows),
        "n_right": n_right,
        "accuracy": n_right / max(1, len(rows)),
        "n_rejected": sum(not reading.intents for reading in readings),
        "rtf": _real_time_factor(readings),
        "rows": rows,
    }


def labels_of(data: Path) -> Path | None:
    """Return the table of intents that `data` is or holds; None for one of texts."""
    if not data.is_dir():
        return data if data.name == LABELS_FILE else None
    labels = data / LABELS_FILE
    return labels if labels.exists() and not (data / TABLE_FILE).exists() else None


def bundle_reader(
    bundle: Bundle,
    engine: Engine,
    decoding: Decoding | None = None,
    endpoints: EndpointSettings | None = None,
) -> Reader:
    """Return the reader that streams a file through an engine, as a device does."""

    def read(path: Path) -> Reading:
        found = transcribe_file(bundle, engine, path, decoding, endpoints=endpoints)
        intents = [s.intent for s in found.segments if s.intent is not None]
        return Reading(found.text, found.audio_s, found.compute_ms / 1000.0, intents)

    return read


def _row(utterance: Utterance, reading: Reading) -> dict[str, Any]:
    found = normalize_text(reading.text)
    return {
        "path": utterance.columns["path"],
        "expected": utterance.text,
        "found": found,
        "n_errors": word_errors(utterance.text, found),
    }


def _real_time_factor(readings: Sequence[Reading]) -> float:
    audio_s = sum(reading.audio_s for reading in readings)
    return sum(reading.compute_s for reading in readings) / max(1e-9, audio_s)


def _slots(labels: Path, number: int, text: str) -> dict[str, str]:
    try:
        slots = json.loads(text)
        return {str(k): str(v).strip() for k, v in slots.items() if str(v).strip()}
    except (ValueError, AttributeError) as error:
        raise DataError(
            f"{labels}, line {number}: slots_json is {text[:60]!r}, expected an object"
            " of values by slot"
        ) from error


def _told(intents: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Return intents as one line."""
    return "; ".join(
        f"{name}({', '.join(f'{k}: {slots[k]}' for k in sorted(slots))})"
        for name, slots in intents
    )
