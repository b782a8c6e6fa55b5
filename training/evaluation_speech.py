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
from training.speech import (
    TABLE_FILE,
    Utterance,
    named_by,
    normalize_text,
    read_table,
    told_foreign,
    writable,
)
from training.table import Row, read_rows

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

    Keys: n_utterances, n_left_out (flagged as unintelligible, or with symbols that no
    network writes), n_words, n_errors, wer, cer (fractions), rtf (seconds of computing
    by seconds of sound), n_understood (clips in which a grammar found an intent) and
    rows. Both texts are normalized before they are compared.

    Raises DataError as `read_table` does, and AudioError for a clip that cannot be
    read.
    """
    scored = scored_clips(table, where)
    readings = [_read(reader, u.path, u.place) for u in scored.utterances]
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
        "n_left_out": scored.n_left_out + len(scored.foreign),
        "n_words": n_words,
        "n_errors": n_errors,
        "wer": n_errors / max(1, n_words),
        "cer": n_letter_errors / max(1, n_letters),
        "rtf": _real_time_factor(readings),
        "n_understood": sum(bool(reading.intents) for reading in readings),
        "rows": rows,
    }


@dataclass(frozen=True)
class Scored:
    """The rows of a table that are scored, and what is told of the others."""

    utterances: tuple[Utterance, ...]
    foreign: tuple[Utterance, ...]
    """Left out, for no network writes their text."""
    n_left_out: int
    """Rows flagged as unintelligible."""


def scored_clips(table: Path, where: Sequence[tuple[str, str]]) -> Scored:
    """Return the clips of a table that are scored; raises DataError for none."""
    found = read_table(table, where)
    kept, foreign = writable(found.utterances)
    if not kept:
        raise DataError(f"{table}: nothing to score: {told_foreign(foreign)}")
    return Scored(tuple(kept), tuple(foreign), found.n_left_out)


def evaluate_intents(
    reader: Reader, labels: Path, where: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return how many clips of a table of intents, of those that fit, are right.

    The table has columns path, intent and slots_json, an object of values by slot. A
    clip counts where its one intent and all slots are as they stand there, but for
    spaces around values and slots without a value. Keys: n_utterances, n_right,
    accuracy (fraction), n_rejected (clips without an intent), rtf and rows.

    Raises DataError for a table that cannot be read, AudioError for such a clip.
    """
    rows: list[dict[str, Any]] = []
    readings: list[Reading] = []
    for stored in read_rows(labels, INTENT_COLUMNS, where):
        labelled = stored.values
        expected = (labelled["intent"], _slots(stored))
        clip = labels.parent / labelled["path"]
        readings.append(_read(reader, clip, stored.place))
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


def _read(reader: Reader, path: Path, place: str) -> Reading:
    with named_by(place):
        return reader(path)


def _slots(row: Row) -> dict[str, str]:
    text = row.values["slots_json"]
    try:
        slots = json.loads(text)
        return {str(k): str(v).strip() for k, v in slots.items() if str(v).strip()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{row.place}: slots_json is {text[:60]!r}, expected an object of values by"
            " slot"
        ) from error


def _told(intents: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Return intents as one line."""
    return "; ".join(
        f"{name}({', '.join(f'{k}: {slots[k]}' for k in sorted(slots))})"
        for name, slots in intents
    )
