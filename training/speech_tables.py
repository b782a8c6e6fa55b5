"""Tables of results/speech.json, speech_latency.json and long_recording.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.markdown import table

BYTES_PER_MB = 10**6
WHOLE, PIECES = "whole", "pieces of 10 ms"
CUTS = (WHOLE, PIECES)
GREEDY, SEARCH, WORDS, GRAMMAR = "greedy", "beam, language model", "words", "grammar"
UNSEEN = "free-spoken-digit, unseen speaker"
SENTENCES = "speechocean762 test"
"""The headline sets of digits and of free speech."""

Rows = Sequence[Mapping[str, Any]]


def speech_table(rows: Rows) -> str:
    """Return a line for each test, decoding, engine and precision, both cuts in it."""
    head = ["recordings", "decoding", "engine", "precision", "clips"]
    head += ["whole", "in pieces of 10 ms", "letters wrong", "real-time factor"]
    lines: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["data"], row["decoding"], row["engine"], row["precision"])
        lines.setdefault(key, {})[row["cut"]] = row
    return table(head, [_line(key, cuts) for key, cuts in lines.items()])


def _line(key: Sequence[Any], cuts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first = cuts[WHOLE]
    data, decoding, engine, precision = key
    return [
        data,
        decoding,
        f"{engine} {first['engine_version']}",
        precision or "–",
        str(first["n_utterances"]),
        *(_score(data, cuts.get(cut)) for cut in CUTS),
        f"{first['cer']:.1%}" if "cer" in first and not _rejects(data) else "",
        f"{max(row['rtf'] for row in cuts.values()):.3f}",
    ]


def _score(data: str, row: Mapping[str, Any] | None) -> str:
    """Return what was right or wrong, and its interval."""
    if row is None:
        return "–"
    if "accuracy" in row:
        low, high = row["accuracy_interval"]
        return f"{row['accuracy']:.1%} understood ({low:.1%} to {high:.1%})"
    if _rejects(data):
        n_rejected = row["n_utterances"] - row["n_understood"]
        return f"{n_rejected / row['n_utterances']:.1%} rejected"
    low, high = row["wer_interval"]
    return f"{row['wer']:.1%} of words wrong ({low:.1%} to {high:.1%})"


def _rejects(data: str) -> bool:
    return data.endswith("to be rejected")


def latency_table(rows: Rows) -> str:
    """Return a line for each decoding: how soon words stand there."""
    head = ["decoding", "clips", "first text, ms", "final text, ms", "a step, ms"]
    lines = [
        [
            row["decoding"],
            str(row["n_clips"]),
            *(_quantiles(row, name) for name in ("first_partial", "final", "chunk")),
        ]
        for row in rows
    ]
    pause_ms = rows[0]["pause_ms"]
    return (
        f"{table(head, lines)}\n\nFrom the end of a keyword on (wuw-corpus-ii, test"
        f" part); its utterance ends after a pause of {pause_ms:.0f} ms, which is part"
        " of the final text's time. 50 / 90 / 99 % of the clips take no longer."
    )


def _quantiles(row: Mapping[str, Any], name: str) -> str:
    values = [row[f"{name}_{share}_ms"] for share in ("p50", "p90", "p99")]
    if None in values:
        return "–"
    return " / ".join(
        f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}" for value in values
    )


def long_table(rows: Rows) -> str:
    """Return what a recording of hours took."""
    head = ["recording", "utterances", "real-time factor", "most memory"]
    head += ["growth", "drift of times"]
    lines = [
        [
            f"{row['audio_s'] / 3600:.1f} hours",
            f"{row['n_utterances']:,}",
            f"{row['rtf']:.3f}",
            f"{row['peak_rss_bytes'] / BYTES_PER_MB:.0f} MB",
            f"{row['growth_bytes'] / BYTES_PER_MB:.1f} MB",
            f"{row['drift_ms']:.0f} ms",
        ]
        for row in rows
    ]
    return table(head, lines)
