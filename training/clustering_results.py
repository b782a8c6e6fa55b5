"""What shared values spare and cost: `python -m training.clustering_results`.

Each shipped checkpoint is reduced to 32 and to 16 values, exported and measured beside
the bundle as it is shipped; results/clustering.json and the table in docs/recipes.md
follow. Nothing of what is trained for it is shipped. What the exporter refuses, for it
lost too much, is a row that says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.bundle import MANIFEST
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.files import write_text
from edge_runtime.options import Parser
from training.clustering import is_large
from training.data import data_folder
from training.record import RECIPE_FILE, read_record
from training.result_rows import ENGINE, PRECISION, THREADS, Row
from training.result_sources import ROOT, conditions, sources_sha256
from training.result_tables import clustering_table, put_table
from training.results import Setup, call_tiedge
from training.subject import CHECKPOINTS

NAME = "clustering"
DOCUMENT = "docs/recipes.md"
FORMAT = FORMAT_OF_ENGINE[ENGINE]
CLUSTERS = (32, 16)
STEPS = 600
"""Of fine-tuning, for each checkpoint and number of values."""
FINE_TUNING = {
    "steps": STEPS,
    "validate_steps": STEPS,
    "warmup_steps": STEPS // 10,
    "learning_rate": 1e-3,
}
QUALITY = {
    "denoise": ("photos/test_CBSD68.txt", ("--sigma", "25")),
    "digits": (
        "speech/free-spoken-digit",
        ("--where", "split_speaker_disjoint=dev"),
    ),
}
"""Checkpoint to what its int8 file is scored on, in the data folder, and how."""
FIGURES = ("depth", "psnr_db", "n_pictures", "wer", "n_words")
"""Of `tiedge evaluate`, as far as it tells them."""

REFUSAL = r" on \w+: (.+[,;] expected at (?:least|most) [\d.]+(?: worse)?)"
"""How `tiedge export` says of a file that it lost too much."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write results and table; 1, with one line, if something fails."""
    parser = Parser(prog="python -m training.clustering_results", description=__doc__)
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="folder for runs and bundles; what is in it is not made again",
    )
    parser.add_argument(
        "--only",
        choices=QUALITY,
        help="one checkpoint; the rows of the other stay as they are",
    )
    try:
        options = parser.parse_args(arguments)
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep or Path(scratch)
            names = [options.only] if options.only else list(QUALITY)
            measured = {name: list(_measure(name, folder)) for name in names}
        rows = [row for row in _known(ROOT) if row["checkpoint"] not in measured]
        rows += [row for found in measured.values() for row in found]
        rows.sort(key=lambda row: list(QUALITY).index(row["checkpoint"]))
        _write(ROOT, rows)
    except TiedgeError as error:
        print(f"clustering_results: {error}", file=sys.stderr)
        return 1
    return 0


def fine_tuning_settings(checkpoint: Path, clusters: int) -> list[str]:
    """Return the settings of a fine-tuning run as NAME=VALUE.

    They are the checkpoint's own, but for how long and how fast it learns.
    """
    settings = read_record(checkpoint)["settings"] | FINE_TUNING
    settings["clusters"] = clusters
    return [f"{name}={_text(value)}" for name, value in settings.items()]


def _measure(name: str, folder: Path) -> Iterator[Row]:
    """Yield a row for each file of the shipped bundle and of its clustered forms."""
    yield from _rows(name, 0, name)
    for clusters in CLUSTERS:
        bundle = folder / f"{name}-{clusters}"
        refusal = None
        if not (bundle / MANIFEST).is_file():
            run = bundle.with_name(f"{bundle.name}-run")
            if not (run / RECIPE_FILE).is_file():  # its only validation is at its end
                _train(name, clusters, run)
            refusal = _export(run, bundle)
        if refusal:
            fixed = {"checkpoint": name, "clusters": clusters, "steps": STEPS}
            yield fixed | {"refused": refusal}
        else:
            yield from _rows(name, clusters, str(bundle))


def _train(name: str, clusters: int, run: Path) -> None:
    """Fine-tune a shipped checkpoint."""
    checkpoint = CHECKPOINTS / name
    settings = fine_tuning_settings(checkpoint, clusters)
    given = ("train", name, f"init={checkpoint}", *settings, "--output", str(run))
    if _call(*given).returncode:
        raise SettingError(f"tiedge {' '.join(given)}: failed, see above")


def _export(run: Path, bundle: Path) -> str | None:
    """Export a run; return why that was refused if the file lost too much."""
    given = ("export", str(run), "-o", str(bundle), "--formats", FORMAT)
    done = _call(*given, stderr=subprocess.PIPE)
    print(done.stderr, end="", file=sys.stderr)
    if not done.returncode:
        return None
    refusal = refused(done.stderr)
    if refusal is None:
        raise SettingError(f"tiedge {' '.join(given)}: failed, see above")
    return refusal


def refused(said: str) -> str | None:
    """Return what `tiedge export` found and expected of a file that lost too much.

    `said` is all of its stderr; None where it failed for another reason.
    """
    found = re.search(REFUSAL, said)
    return found and found[1]


def _rows(name: str, clusters: int, bundle: str) -> Iterator[Row]:
    found = call_tiedge("inspect", bundle)
    for row in found["rows"]:
        if row["format"] != FORMAT:
            continue
        scored = row["precision"] == PRECISION
        yield {
            "checkpoint": name,
            "clusters": clusters,
            "steps": STEPS if clusters else None,
            "file": row["path"],
            "format": row["format"],
            "precision": row["precision"],
            "bytes": row["bytes"],
            "compressed_bytes": row["compressed_bytes"],
            "most_distinct_values": max(
                weight["distinct_values"]
                for weight in found["weights"]
                if weight["model"] == row["path"] and is_large(weight["shape"])
            ),
            **(_quality(name, bundle) if scored else {}),
        }


def _quality(name: str, bundle: str) -> Row:
    data, how = QUALITY[name]
    found = call_tiedge(
        *("evaluate", bundle, "--data", str(data_folder() / data), *how),
        *("--engine", ENGINE, "--precision", PRECISION, "--threads", str(THREADS)),
    )
    figures = {key: found[key] for key in FIGURES if found.get(key) is not None}
    versions = {key: found[key] for key in ("engine", "engine_version")}
    return {**versions, "data": " ".join((data, *how)), **figures}


def _known(root: Path) -> list[Row]:
    """Return the rows that were measured before."""
    path = root / "results" / f"{NAME}.json"
    if not path.is_file():
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def _write(root: Path, rows: Sequence[Row]) -> None:
    result = {
        "conditions": conditions(NAME),
        "sources_sha256": sources_sha256(NAME, Setup()),
        "rows": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_text(root / "results" / f"{NAME}.json", text)
    document = root / DOCUMENT
    written = document.read_text(encoding="utf-8")
    write_text(document, fill_document(written, result))


def fill_document(text: str, result: Mapping[str, Any]) -> str:
    """Return docs/recipes.md with its table made anew; errors as `put_table`."""
    return put_table(text, NAME, clustering_table(result), DOCUMENT)


def _call(
    *arguments: str, stderr: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `tiedge ARGUMENTS`; what it prints goes to stderr."""
    command = [sys.executable, "-m", "tiedge", *arguments]
    return subprocess.run(
        command, cwd=ROOT, stdout=sys.stderr, stderr=stderr, text=True, check=False
    )


def _text(value: object) -> str:
    """Return a recorded value as it is written behind NAME=."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
