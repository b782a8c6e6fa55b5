"""`tiedge bench`: latency, load time and memory of a bundle on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.bench import (
    PUBLISHED_RUNS,
    PUBLISHED_SECONDS,
    Case,
    Measurement,
    choose_cases,
    measure_case,
)
from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.device import NOT_MEASURED, Device, read_device
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines
from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.file_cost import size_text
from edge_runtime.model_choice import choose_model
from edge_runtime.options import (
    ENGINE,
    PRECISION,
    Parser,
    add_engine_options,
    bounded,
    print_json,
)
from edge_runtime.weight_cache import weight_cache_folder

DEFAULT_RUNS = 50
DEFAULT_SECONDS = 1.0
MAX_RUNS = 100_000
MAX_SECONDS = 3600
SHORT_RUN = (
    f"short run: published figures need --runs {PUBLISHED_RUNS}"
    f" --seconds {PUBLISHED_SECONDS:g}"
)

COLUMNS = (
    ("engine", "engine"),
    ("engine_version", "version"),
    ("precision", "precision"),
    ("depth", "depth"),
    ("threads", "threads"),
    ("input", "input"),
    ("n_warmup", "warm-up"),
    ("n_runs", "runs"),
    ("p50_ms", "p50 ms"),
    ("p90_ms", "p90 ms"),
    ("p99_ms", "p99 ms"),
    ("load_ms", "load ms"),
    ("peak_rss_bytes", "peak memory"),
    ("packed_bytes", "packed weights"),
    ("real_time_factor", "real-time factor"),
)
"""Key of a row and head of its column."""

NETWORK_ALONE = (
    "the real-time factor is the network's alone; with features and the search for"
    " words: tiedge transcribe --json, compute_ms by audio_s"
)

FIGURES = ("p50_ms", "p90_ms", "p99_ms", "load_ms", "peak_rss_bytes", "packed_bytes")
"""Keys of a row that stand at the top level of the JSON object, too."""


def run(arguments: Sequence[str]) -> int:
    """Measure as the arguments say; 1 if a case of `--all` could not be run."""
    options = _parser().parse_args(arguments)
    _choose(options)
    bundle = find_bundle(options.bundle)
    device = read_device()
    if options.all:
        cases = _all_cases(bundle, options)
        rows = [_try_row(case, options) for case in cases]
    else:
        rows = [_row(_one_case(bundle, options), options)]
    if options.json:
        print_json(_result(bundle, device, rows, options))
    else:
        print("\n".join(_table(bundle, device, rows)))
    return 1 if any("error" in row for row in rows) else 0


def _choose(options: argparse.Namespace) -> None:
    """Fill in the defaults; refuse to choose among what `--all` measures."""
    for name in ("engine", "precision", "depth"):
        if options.all and getattr(options, name) is not None:
            raise SettingError(f"--{name}: --all measures each; leave out one of them")
    options.engine = options.engine or ENGINE
    options.precision = options.precision or PRECISION


def _one_case(bundle: Bundle, options: argparse.Namespace) -> Case:
    """Return the case that the options name; the deepest depth by default."""
    model = choose_model(bundle, options.engine, options.precision)
    cases = choose_cases(
        bundle,
        [options.engine],
        model.precision,
        options.depth,
        options.threads,
        _weight_cache(options),
    )
    if not cases:
        raise SettingError(
            f"depth: found {options.depth}, {model.path.name} offers"
            f" {' '.join(map(str, bundle.depths)) or 'no depths'}"
        )
    return max(cases, key=lambda case: case.signature.depth or 0)


def _weight_cache(options: argparse.Namespace) -> Path | None:
    return weight_cache_folder() if options.weight_cache else None


def _all_cases(bundle: Bundle, options: argparse.Namespace) -> list[Case]:
    engines = installed_engines()
    cases = choose_cases(
        bundle, engines, None, None, options.threads, _weight_cache(options)
    )
    if not cases:
        raise SettingError(
            f"{bundle.name}: no installed engine ({' '.join(engines) or 'none'})"
            " runs any of its files"
        )
    return cases


def _row(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    measured = measure_case(case, options.runs, options.seconds, options.seed)
    return _conditions(case) | _figures(measured)


def _try_row(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Return the case's row, or one that says why there is none."""
    conditions = _conditions(case)
    label = _label(case)
    try:
        row = _row(case, options)
        print(f"{label}: p50 {row['p50_ms']:.2f} ms", file=sys.stderr, flush=True)
        return row
    except TiedgeError as error:
        print(f"{label}: {error}", file=sys.stderr, flush=True)
        return conditions | {"error": str(error)}


def _label(case: Case) -> str:
    depth = case.signature.depth
    at_depth = "" if depth is None else f" depth {depth}"
    return f"{case.bundle.name} {case.engine} {case.model.precision}{at_depth}"


def _conditions(case: Case) -> dict[str, Any]:
    return {
        "engine": case.engine,
        "precision": case.model.precision,
        "depth": case.signature.depth,
        "threads": case.threads,
        "weight_cache": case.weight_cache is not None,
        "input": "×".join(map(str, case.signature.inputs[0].shape)),
    }


def _figures(measured: Measurement) -> dict[str, Any]:
    return {
        "engine_version": measured.engine_version,
        **dataclasses.asdict(measured.latency),
        "short_run": measured.latency.is_short,
        **dataclasses.asdict(measured.first),
        "real_time_factor": measured.real_time_factor,
    }


def _result(
    bundle: Bundle,
    device: Device,
    rows: Sequence[dict[str, Any]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return the JSON object; its top level repeats the case of the options.

    Where `--all` did not measure that case, it repeats that of the first one measured.
    """
    measured = [row for row in rows if "error" not in row] or list(rows)
    found = [(row["engine"], row["precision"]) for row in measured]
    wanted = (options.engine, options.precision)
    chosen = wanted if wanted in found else found[0]
    fitting = [row for row, case in zip(measured, found, strict=True) if case == chosen]
    head = max(fitting, key=lambda row: row["depth"] or 0)
    return {
        "bundle": bundle.name,
        **{key: head[key] for key in ("engine", "precision", "depth", "threads")},
        **{key: head.get(key) for key in FIGURES},
        "device": dataclasses.asdict(device),
        "rows": rows,
    }


def _table(bundle: Bundle, device: Device, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines to print: conditions, one line per row, what is short."""
    measured = [row for row in rows if "error" not in row]
    columns = [
        (key, head)
        for key, head in COLUMNS
        if key != "real_time_factor" or bundle.speech is not None
    ]
    cells = [[head for _, head in columns]]
    cells += [[_cell(key, row[key]) for key, _ in columns] for row in measured]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"{bundle.name} on {device}"]
    lines += [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    ]
    if bundle.speech is not None:
        lines.append(NETWORK_ALONE)
    if any(row["short_run"] for row in measured):
        lines.append(SHORT_RUN)
    lines += [f"failed: {row['error']}" for row in rows if "error" in row]
    return lines


def _cell(key: str, value: Any) -> str:
    if key == "depth" and value is None:
        return "–"
    if value is None:
        return NOT_MEASURED
    if key.endswith("_bytes"):
        return size_text(value)
    if isinstance(value, float):
        return f"{value:.2f}" if value >= 1 else f"{value:.3g}"
    return str(value)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge bench",
        description="Time a bundle on this machine, one picture tile or audio step.",
    )
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a ready-made bundle, or the path of one"
    )
    add_engine_options(parser, FORMAT_OF_ENGINE)
    parser.set_defaults(engine=None, precision=None)
    parser.add_argument(
        "--all",
        action="store_true",
        help="every installed engine, model file and depth",
    )
    parser.add_argument(
        "--runs",
        type=bounded(int, 1, MAX_RUNS, f"and {PUBLISHED_RUNS} for a published figure"),
        default=DEFAULT_RUNS,
        help=f"at least so many; default {DEFAULT_RUNS}",
    )
    parser.add_argument(
        "--seconds",
        type=bounded(
            float, 0, MAX_SECONDS, f"and {PUBLISHED_SECONDS:g} for a published figure"
        ),
        default=DEFAULT_SECONDS,
        help=f"at least so long; default {DEFAULT_SECONDS:g}",
    )
    parser.add_argument(
        "--weight-cache",
        action="store_true",
        help="pack each weight once, into a file kept for later loads, as transcribe"
        " does",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
