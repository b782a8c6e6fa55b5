"""The matrix of sharing patterns: what each cell comes to, measured and as a page."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_runtime.bundle_parts import ModelFile
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import TiedgeError
from edge_runtime.files import write_text
from export.convert import INT8_SNR_FLOOR_DB, convert
from export.order import CONVERTERS, FORMATS
from export.parity import RELATIVE_ERRORS, SNR_FLOORS_DB
from tests.export.sharing_patterns import Pattern
from training.results import ROOT, conditions

RESULTS = ROOT / "results" / "sharing_matrix.json"
PAGE = ROOT / "docs" / "sharing-matrix.md"

TWIN_MARGIN_DB = 4.0
"""How much less than its untied twin's a tied file's signal-to-noise ratio may be, with
one use of a weight on the way to an output. A shared bias that is a float term behind
integer convolutions costs this much: three in turn had 37.7 dB with biases of their own
inside and 33.8 dB with the same ones behind. See `margin_db` for more uses."""
N_FRESH = 8
"""Inputs that neither conversion nor calibration saw."""

RIGHT, REFUSED, WRONG = "right", "refused", "wrong"

NOT_DECIDING = (
    "checkpoint_report",
    "comparison_modules",
    "dial_results",
    "file_finding",
    "finding",
    "inspection_json",
    "inspection_text",
    "measured_run",
    "output_folder",
    "own_module",
    "plain_exporters",
    "ram_results",
    "repair",
    "side_by_side",
    "side_by_side_file",
    "survey",
    "worker",
)
"""Files of `export` that do not touch what a conversion comes to."""

Row = dict[str, Any]
Cell = tuple[str, str]
"""A format and a precision."""


def measure(
    patterns: Iterable[Pattern], precisions: Iterable[str], folder: Path, kept: Path
) -> Iterator[Row]:
    """Yield a row for every cell, with its untied twin.

    The rows of a pattern go into `kept`, too, under the hash of the sources: a run that
    was broken off goes on where it was, and two may share the work.
    """
    cells = [(format, precision) for precision in precisions for format in FORMATS]
    for pattern in patterns:
        asked = f"{sources_sha256()} {pattern.name} {cells}"
        path = kept / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
        if not path.exists():
            twins = measure_files(pattern, cells, folder, tied=False)
            files = measure_files(pattern, cells, folder, tied=True)
            write_text(path, json.dumps(list(rows_of(pattern, files, twins))))
        yield from json.loads(path.read_text(encoding="utf-8"))


def rows_of(
    pattern: Pattern, files: Mapping[Cell, Row], twins: Mapping[Cell, Row]
) -> Iterator[Row]:
    """Yield the rows of one pattern, with the verdicts."""
    for cell, found in files.items():
        format, precision = cell
        yield {
            "pattern": pattern.name,
            "format": format,
            "precision": precision,
            "n_in_turn": pattern.n_in_turn,
            "tied": judged(found, precision, twins[cell], pattern.n_in_turn),
            "untied": judged(twins[cell], precision),
        }


def measure_files(
    pattern: Pattern, cells: Sequence[Cell], folder: Path, *, tied: bool
) -> dict[Cell, Row]:
    """Return what each file holds and computes, or why there is none.

    One conversion makes all, which shares work; where it fails, each is tried alone.
    """
    entries = pattern.entries(tied=tied)
    try:
        bundle = convert(
            entries,
            folder / "matrix",
            formats=tuple(dict.fromkeys(format for format, _ in cells)),
            precisions=tuple(dict.fromkeys(precision for _, precision in cells)),
            say=lambda line: None,
        )
    except TiedgeError as error:
        if len(cells) == 1:
            return {cells[0]: {"verdict": REFUSED, "reason": str(error)}}
        alone = [measure_files(pattern, [c], folder, tied=tied) for c in cells]
        return {cell: row for found in alone for cell, row in found.items()}
    modules = {name: entry.module for name, entry in entries.items()}
    return {
        (model.format, model.precision): _measured(pattern, model, modules)
        for model in bundle.models
    }


def _measured(
    pattern: Pattern, model: ModelFile, modules: Mapping[str, Callable[..., Any]]
) -> Row:
    inputs = pattern.draw("fresh", N_FRESH)
    return {
        "file_bytes": model.bytes,
        "unique_bytes": model.sharing.unique_bytes,
        "duplicate_bytes": model.sharing.duplicate_bytes,
        "engines": {
            engine: difference(engine, model, modules, inputs)
            for engine in installed_engines()
            if FORMAT_OF_ENGINE[engine] == model.format
        },
    }


@torch.no_grad()
def difference(
    name: str,
    model: ModelFile,
    modules: Mapping[str, Callable[..., Any]],
    inputs: Iterable[Mapping[str, Tensor]],
) -> Row:
    """Return an engine's distance from the modules, of the output that is worst."""
    errors: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with open_engine(name, model) as engine:
        for entry, module in modules.items():
            signature = next(s for s in model.signatures if s.name == entry)
            for given in inputs:
                results = module(*given.values())
                wanted = [results] if isinstance(results, Tensor) else results
                numbers = {
                    t.name: given[t.name].numpy().astype(t.dtype)
                    for t in signature.inputs
                }
                found = engine.run(entry, numbers)
                for spec, value in zip(signature.outputs, wanted, strict=True):
                    expected = value.numpy().astype(np.float64)
                    off = found[spec.name].astype(np.float64) - expected
                    errors.setdefault((entry, spec.name), []).append(
                        (
                            float(np.abs(off).max() / np.abs(expected).max()),
                            float(np.sum(expected**2)),
                            float(np.sum(off**2)),
                        )
                    )
    sums = [np.sum(found, axis=0) for found in errors.values()]
    return {
        "version": engine.version,
        "relative_error": max(e for found in errors.values() for e, _, _ in found),
        "snr_db": min(
            10 * math.log10(signal / max(noise, 1e-30)) for _, signal, noise in sums
        ),
    }


def margin_db(n_in_turn: int) -> float:
    """Return how far a tied file may fall behind its twin with n uses in turn.

    What rounding does to a weight is the same at every use of it. In the worst case the
    n errors add up as amplitudes, those of a twin's n weights as powers: n times as
    much noise, which no way of storing a shared weight once avoids.
    """
    return TWIN_MARGIN_DB + 10 * math.log10(n_in_turn)


def judged(
    found: Row, precision: str, twin: Row | None = None, n_in_turn: int = 1
) -> Row:
    """Return a file's row with the verdict on what it computes and holds."""
    if "verdict" in found:
        return found
    for engine, row in found["engines"].items():
        its = twin["engines"].get(engine) if twin and "engines" in twin else None
        reason = _fault(row, precision, its, n_in_turn)
        if reason:
            return {"verdict": WRONG, "reason": f"{engine}: {reason}", **found}
    if found["duplicate_bytes"]:
        reason = f"{found['duplicate_bytes']} duplicate bytes"
        return {"verdict": WRONG, "reason": reason, **found}
    return {"verdict": RIGHT, "reason": "", **found}


def _fault(row: Row, precision: str, twin: Row | None, n_in_turn: int) -> str:
    if precision in RELATIVE_ERRORS:
        if row["relative_error"] < RELATIVE_ERRORS[precision]:
            return ""
        return f"relative error {row['relative_error']:.1e}"
    least = floor = SNR_FLOORS_DB.get(precision, INT8_SNR_FLOOR_DB)
    if twin is not None:
        # Beyond this, what is rounded at all decides, not how.
        expected = min(twin["snr_db"], 2 * least)
        floor = max(floor, expected - margin_db(n_in_turn))
    if row["snr_db"] >= floor:
        return ""
    return f"{row['snr_db']:.1f} dB, expected at least {floor:.1f}"


def results(rows: Iterable[Row]) -> Row:
    """Return the whole results file."""
    packages = dict.fromkeys(p for f in FORMATS for p in CONVERTERS[f])
    found = conditions("sharing_matrix")
    found["versions"] |= {package: version(package) for package in packages}
    return {
        "conditions": found,
        "sources_sha256": sources_sha256(),
        "relative_errors": RELATIVE_ERRORS,
        "snr_floors_db": SNR_FLOORS_DB | {"int8": INT8_SNR_FLOOR_DB},
        "twin_margin_db": TWIN_MARGIN_DB,
        "n_inputs": N_FRESH,
        "rows": list(rows),
    }


def sources_sha256() -> str:
    """Return one hash of the files that decide what the cells come to."""
    paths = [
        *(p for p in ROOT.glob("export/*.py") if p.stem not in NOT_DECIDING),
        *ROOT.glob("edge_runtime/engine.py"),
        *ROOT.glob("edge_runtime/engines/*.py"),
        Path(__file__).with_name("pattern_modules.py"),
        Path(__file__).with_name("sharing_patterns.py"),
        Path(__file__),
    ]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def totals(rows: Iterable[Row], format: str) -> Row:
    """Return how many of a format's cells came to what."""
    cells = [row for row in rows if row["format"] == format]
    possible = [c for c in cells if c["untied"]["verdict"] == RIGHT]
    right = [c for c in cells if c["tied"]["verdict"] == RIGHT]
    return {
        "cells": len(cells),
        **{
            verdict: sum(c["tied"]["verdict"] == verdict for c in cells)
            for verdict in (RIGHT, REFUSED, WRONG)
        },
        "twin_exports": len(possible),
        "right_of_those": sum(c["tied"]["verdict"] == RIGHT for c in possible),
        "duplicate_bytes": sum(c["tied"]["duplicate_bytes"] for c in right),
    }


def page(found: Row) -> str:
    """Return the results as a page of documentation."""
    rows = found["rows"]
    columns = list(dict.fromkeys((r["format"], r["precision"]) for r in rows))
    cells = {(r["pattern"], r["format"], r["precision"]): r for r in rows}
    notes: list[str] = []
    floors = ", ".join(f"{db:g} dB ({p})" for p, db in found["snr_floors_db"].items())
    lines = [
        "# Which ways of sharing are kept",
        "",
        "Made by `make campaign` from `results/sharing_matrix.json`; do not edit.",
        "The modules are tiny and random: `tests/export/sharing_patterns.py`.",
        f"fp32: the relative error, below {found['relative_errors']['fp32']:g} (fp16,"
        f" of which the ratio is shown: {found['relative_errors']['fp16']:g})."
        f" Other precisions: the signal-to-noise ratio, at least {floors} and, up to"
        f" twice that, at most {found['twin_margin_db']:g} dB + 10·log₁₀ n dB below the"
        " untied twin's, which stands in brackets; n is how many uses of a kernel or"
        " matrix are on the way to an output.",
        "A shared weight is rounded alike at every use, so that its errors may add up"
        " as amplitudes where those of a twin's n weights add up as powers.",
        f"Each is the worst over outputs and engines, on {found['n_inputs']} inputs"
        " that the conversion did not see.",
        "Every right cell holds each weight once.",
        "",
        _table_row("shared", "n", *(f"{f} {p}" for f, p in columns)),
        _table_row(*["---"] * (len(columns) + 2)),
    ]
    for pattern, n in dict.fromkeys((r["pattern"], r["n_in_turn"]) for r in rows):
        texts = [_cell(cells[pattern, f, p], notes) for f, p in columns]
        lines.append(_table_row(pattern, n, *texts))
    lines += [f"\n{n}. {note}" for n, note in enumerate(notes, 1)]
    lines += [
        "",
        "## Totals",
        "",
        _table_row(
            *("format", "cells", RIGHT, REFUSED, WRONG, "untied twin exports"),
            *("right of those", "duplicate bytes"),
        ),
        _table_row(*["---"] * 8),
    ]
    for format in dict.fromkeys(r["format"] for r in rows):
        t = totals(rows, format)
        share = t["right_of_those"] / max(1, t["twin_exports"])
        lines.append(
            _table_row(
                *(f".{format}", t["cells"], t[RIGHT], t[REFUSED], t[WRONG]),
                *(t["twin_exports"], f"{share:.0%}", t["duplicate_bytes"]),
            )
        )
    versions = found["conditions"]["versions"]
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    lines += ["", f"Measured with {listed}, {_engines(rows)}."]
    return "\n".join(lines) + "\n"


def _table_row(*texts: object) -> str:
    return f"| {' | '.join(str(text) for text in texts)} |"


def _cell(row: Row, notes: list[str]) -> str:
    figure = _figure(row["tied"], row["precision"])
    if row["tied"]["verdict"] != RIGHT:
        notes.append(f"`{row['tied']['reason']}`")
        figure = f"**{row['tied']['verdict']}** ({len(notes)})"
    if row["untied"]["verdict"] != RIGHT:
        return f"{figure} [{row['untied']['verdict']}]"
    if row["precision"] == "fp32":
        return figure
    return f"{figure} [{_figure(row['untied'], row['precision'])}]"


def _figure(found: Row, precision: str) -> str:
    engines = found.get("engines", {}).values()
    if precision == "fp32":
        return f"{max((e['relative_error'] for e in engines), default=0):.0e}"
    return f"{min((e['snr_db'] for e in engines), default=0):.0f} dB"


def _engines(rows: Iterable[Row]) -> str:
    found = {
        f"{name} {engine['version']}"
        for row in rows
        for name, engine in row["tied"].get("engines", {}).items()
    }
    return ", ".join(sorted(found))
