"""The tables of README.md and docs/, made from what results/ holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.device import NOT_MEASURED, Device
from edge_runtime.errors import DataError
from training.dial_figures import budget_lines, dial_tables
from training.markdown import decibel, table
from training.picture_tables import (
    BYTES_PER_KB,
    HEADLINE_SIGMA,
    denoise_table,
    enhance_table,
    gray_table,
    live_profile_table,
    looks_table,
    peers_table,
    superres_table,
)
from training.speech_tables import (
    SEARCH,
    SENTENCES,
    UNSEEN,
    latency_table,
    long_table,
    speech_table,
)
from training.speed_figures import speed_tables
from training.summary_table import summary_table

BYTES_PER_MB = 10**6
README, MEASUREMENTS, SPEECH = "README.md", "docs/measurements.md", "docs/speech.md"
DOCUMENTS = (README, MEASUREMENTS, SPEECH)
ELSEWHERE = {
    "sharing": README,
    "speech": SPEECH,
    "speech_latency": SPEECH,
    "long_recording": SPEECH,
}
"""Results files whose tables do not stand in MEASUREMENTS."""

BYTES_PER_PARAMETER = {"fp32": 4, "int8": 1}
EXPORTERS = ("plain", "tiedge")
"""Those that results/sharing.json compares, in the order of columns."""

Rows = Sequence[Mapping[str, Any]]
Results = Mapping[str, Mapping[str, Any]]
"""Name of a results file to what it holds: conditions and rows."""


def read_results(folder: Path) -> Results:
    """Return what each results file of a folder holds."""
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in TABLES
        if (folder / f"{name}.json").is_file()
    }


def fill_tables(text: str, results: Results, document: str) -> str:
    """Return a document with each of its tables that there are results for made anew.

    A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`. Raises
    DataError where one of the marks is missing.
    """
    for name, result in results.items():
        if document_of(name) == document:
            shown = TABLES[name](result["rows"], results)
            said = told_conditions(result["conditions"])
            text = put_table(text, name, f"{shown}\n\n{said}", document)
    if document == README:
        text = put_table(text, "summary", summary_table(results), document)
    return text


def document_of(name: str) -> str:
    """Return where the table of a results file stands."""
    return ELSEWHERE.get(name, MEASUREMENTS)


def put_table(text: str, name: str, shown: str, document: str) -> str:
    """Return a document's text with one table put between its marks.

    Raises DataError where one of the marks is missing.
    """
    begin, end = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise DataError(f"{document}: no place for a table, expected {begin} {end}")
    return f"{before}{begin}\n\n{shown}\n\n{end}{after}"


def clustering_table(result: Mapping[str, Any]) -> str:
    """Return the table of what results/clustering.json holds, and its conditions."""
    head = ["checkpoint", "values", "file", "bytes", "compressed", "most values"]
    head += ["quality"]
    lines = [
        [
            row["checkpoint"],
            str(row["clusters"] or "free"),
            *_file_cells(row),
        ]
        for row in result["rows"]
    ]
    said = "; ".join(
        dict.fromkeys(
            f"{row['checkpoint']}: {row['data']} on {row['engine']}"
            f" {row['engine_version']}"
            for row in result["rows"]
            if "data" in row
        )
    )
    (steps,) = {row["steps"] for row in result["rows"] if row["clusters"]}
    return (
        f"{table(head, lines)}\n\nAfter {steps} steps of fine-tuning. Quality of the"
        f" int8 file: {said}.\n\n{told_conditions(result['conditions'])}"
    )


def _file_cells(row: Mapping[str, Any]) -> list[str]:
    """Return what a row tells of a file, or that the exporter refused to write it."""
    if "refused" in row:
        return ["", "", "", "", f"refused: {row['refused']}"]
    return [
        f"{row['format']} {row['precision']}",
        f"{row['bytes']:,}",
        f"{row['compressed_bytes']:,}",
        str(row["most_distinct_values"]),
        _score(row),
    ]


def _score(row: Mapping[str, Any]) -> str:
    """Return the quality of a row, if its file was scored."""
    if "wer" in row:
        return f"{row['wer']:.2%} word errors"
    if "psnr_db" in row:
        return f"{decibel(row['psnr_db'])} dB, depth {row['depth']}"
    return ""


def _digits(rows: Rows, _: Results) -> str:
    head = ["recordings", "engine", "version", "precision", "clips", "words"]
    head += ["word errors", "character errors"]
    lines = [
        [
            row["data"],
            row["engine"],
            row["engine_version"],
            row["precision"],
            str(row["n_utterances"]),
            str(row["n_words"]),
            f"{row['wer']:.2%}",
            f"{row['cer']:.2%}",
        ]
        for row in rows
    ]
    return table(head, lines)


def _bundles(rows: Rows, _: Results) -> str:
    head = ["file", "file bytes", "unique bytes", "stored bytes", "duplicate bytes"]
    keys = ("file_bytes", "unique_bytes", "stored_bytes", "duplicate_bytes")
    lines = [[row["file"], *(f"{row[key]:,}" for key in keys)] for row in rows]
    return table(head, lines)


def _sharing(rows: Rows, _: Results) -> str:
    columns = [(e, p) for p in ("fp32", "int8") for e in EXPORTERS]
    cells: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for row in rows:
        line = cells.setdefault((row["module"], row["format"]), {})
        line[row["exporter"], row["precision"]] = _exported(row)
    head = ["module", "format", *(f"{e}, {p}" for e, p in columns)]
    made = table(
        head,
        [
            [*key, *(line.get(column, "–") for column in columns)]
            for key, line in cells.items()
        ],
    )
    sums = "\n".join(_sum(rows, exporter) for exporter in EXPORTERS)
    ran = {f"{r['engine']} {r['engine_version']}" for r in rows if r["runs"]}
    engines = ", ".join(sorted(ran))
    said = (
        "Each cell: the file; of it, weights beyond each one once; the memory that"
        " loading it and one run took; for int8, the signal-to-noise ratio"
        " against the module. Wrong is an fp32 file that is off by 0.01 % or more of"
        " the largest output, and an int8 file below 20 dB. What tiedge cannot hold"
        " once or get right it refuses, for the reason in results/sharing.json. Run on"
        f" {engines}."
    )
    return f"{sums}\n\n{made}\n\n{said}"


def _exported(row: Mapping[str, Any]) -> str:
    """Return what one exporter made of a module, in one cell."""
    if (outcome := outcome_of(row)) not in ("right", "wrong"):
        return outcome if outcome == "refused" else f"**{outcome}**"
    said = [
        f"{row['file_bytes'] / BYTES_PER_KB:,.0f} KB",
        f"{_beyond_once(row) / BYTES_PER_KB:,.0f} KB twice",
        f"{row['ram_bytes'] / BYTES_PER_MB:.1f} MB",
    ]
    if row["precision"] != "fp32" and row["snr_db"] is not None:
        said.append(f"{row['snr_db']:.0f} dB")
    if outcome == "wrong":
        said.insert(0, "**wrong**")
    return ", ".join(said)


def _beyond_once(row: Mapping[str, Any]) -> int:
    """Return how many bytes of weights a file holds beyond each parameter once.

    The audit's duplicates, less a weight's size where the file holds it in a derived
    form alone: computed anew, say, with other rounding.
    """
    once = row["n_parameters"] * BYTES_PER_PARAMETER[row["precision"]]
    return max(0, int(row["stored_bytes"] - max(row["unique_bytes"], once)))


def outcome_of(row: Mapping[str, Any]) -> str:
    """Return in words what became of one module with one exporter."""
    if row["right"]:
        return "right"
    if row["runs"]:
        return "wrong"
    if (row["failure"] or "").startswith("crashes"):
        return "crashes"
    if row["converts"]:
        return "does not load"
    return "refused" if row["exporter"] == EXPORTERS[1] else "does not convert"


def _sum(rows: Rows, exporter: str) -> str:
    """Return how often an exporter's files had which outcome, in one line."""
    rows = [row for row in rows if row["exporter"] == exporter]
    found = Counter(outcome_of(row) for row in rows)
    outcomes = ", ".join(f"{n} × {outcome}" for outcome, n in found.most_common())
    twice = sum(_beyond_once(row) for row in rows if row["right"])
    return (
        f"- {exporter}: of {len(rows)} files {outcomes}; the right ones hold"
        f" {twice / BYTES_PER_KB:,.0f} KB of weights a second time."
    )


def _latency(rows: Rows, results: Results) -> str:
    head = ["bundle", "engine", "version", "precision", "depth", "threads", "input"]
    head += ["warm-up", "runs", "p50 ms", "p90 ms", "p99 ms", "load ms", "peak MB"]
    head.append("quality")
    lines = []
    for row in rows:
        if "error" in row:
            continue
        peak = row["peak_rss_bytes"]
        lines.append(
            [
                *(row[key] for key in ("bundle", "engine", "engine_version")),
                row["precision"],
                _or(row["depth"], "–"),
                *(str(row[key]) for key in ("threads", "input", "n_warmup", "n_runs")),
                *(f"{row[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms")),
                f"{row['load_ms']:.1f}",
                NOT_MEASURED if peak is None else f"{peak / BYTES_PER_MB:.0f}",
                _quality(row, results),
            ]
        )
    made = table(head, lines)
    failed = [
        f"{row['bundle']} {row['engine']} {row['precision']}: {row['error']}"
        for row in rows
        if "error" in row
    ]
    if any(row.get("short_run") for row in rows):
        made += "\n\nShort run: published figures need 1024 runs and 60 s."
    if failed:
        made += f"\n\nNot measured: {'; '.join(failed)}."
    return made


QUALITIES = (
    *("denoise", "denoise_live", "superres", "enhance", "looks"),
    *("digits", "speech"),
)
"""Results files that tell the quality of a bundle."""

TABLES: Mapping[str, Callable[[Rows, Results], str]] = {
    "denoise": denoise_table,
    "denoise_peers": peers_table,
    "denoise_gray": gray_table,
    "denoise_live": live_profile_table,
    "superres": superres_table,
    "enhance": enhance_table,
    "looks": looks_table,
    "digits": _digits,
    "bundles": _bundles,
    "sharing": _sharing,
    "latency": _latency,
    "picture_speed": speed_tables,
    "dial": dial_tables,
    "frame_budget": budget_lines,
    "speech": lambda rows, _: speech_table(rows),
    "speech_latency": lambda rows, _: latency_table(rows),
    "long_recording": lambda rows, _: long_table(rows),
}
"""Results file to what makes its table; `make results` writes them in this order."""


def _quality(row: Mapping[str, Any], results: Results) -> str:
    """Return the quality measured with the same bundle, engine, precision and depth."""
    keys = ("bundle", "engine", "precision", "depth")
    for name in QUALITIES:
        for scored in results.get(name, {"rows": ()})["rows"]:
            if any(scored.get(key) != row[key] for key in keys):
                continue
            if "bicubic_psnr_db" in scored:
                return f"{decibel(scored['psnr_db'])} dB at twice the size"
            if "look" in scored:
                return f"{decibel(scored['psnr_db'])} dB, {scored['look']}"
            if scored.get("exposure") == "dark":
                return f"{decibel(scored['psnr_db'])} dB on dark pictures"
            if scored.get("sigma") == HEADLINE_SIGMA:
                return f"{decibel(scored['psnr_db'])} dB at σ {HEADLINE_SIGMA:g}"
            if scored.get("data") == UNSEEN or (
                scored.get("data") == SENTENCES and scored["decoding"] == SEARCH
            ):
                return f"{scored['wer']:.2%} word errors"
    return NOT_MEASURED


def told_conditions(conditions: Mapping[str, Any]) -> str:
    """Return in a sentence what `training.result_sources.conditions` holds."""
    versions = ", ".join(f"{k} {v}" for k, v in conditions["versions"].items())
    return (
        f"Measured on {Device(**conditions['device'])}; Python"
        f" {conditions['python']}, {versions}; {_threads(conditions['threads'])};"
        f" revision {_or(conditions['revision'], 'unknown')}."
    )


def _threads(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"


def _or(value: object, otherwise: str) -> str:
    return otherwise if value is None else str(value)
