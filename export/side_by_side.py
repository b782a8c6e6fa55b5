"""Plain exporters and tiedge on the same modules: `python -m export.side_by_side`.

Each cell is a module, a format, a precision and an exporter. Its file is made in a
process of its own, as a converter may crash, and is run in another one, which holds
nothing but the engine: the memory that it takes is the file's. What went wrong is a
result, too.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.options import Parser
from export.comparison_modules import COMPARISONS
from export.convert import INT8_SNR_FLOOR_DB
from export.order import FORMATS, USUAL_PRECISIONS
from export.parity import RELATIVE_ERRORS, Difference
from export.quiet import quiet
from export.side_by_side_file import FAILURE, PLAIN, TIEDGE, Cell, make_or_tell

EXPORTERS = (PLAIN, TIEDGE)
LIMIT_S = 600
"""Longest time for a conversion, and for a run."""
TOO_LONG = f"does not end within {LIMIT_S} s"

PRELOADED = (
    "ai_edge_quantizer.quantizer",
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "executorch.exir",
    "export.side_by_side_file",
    "litert_torch",
    "torchao.quantization.pt2e.quantize_pt2e",
)
"""What the processes that convert are forked with: importing it takes longer than a
conversion."""

FOLDER_OF_PACKAGE = Path(__file__).resolve().parent.parent

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows of all cells as one JSON object; progress goes to stderr."""
    parser = Parser(prog="python -m export.side_by_side", description=__doc__)
    parser.add_argument("modules", nargs="*", help="names of modules; all, if none")
    try:
        modules = parser.parse_args(arguments).modules or list(COMPARISONS)
        for name in modules:
            if name not in COMPARISONS:
                raise SettingError(
                    f"module: found {name!r}, expected one of {', '.join(COMPARISONS)}"
                )
    except TiedgeError as error:
        print(f"side_by_side: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"rows": list(compare(modules))}))
    return 0


def compare(modules: Sequence[str]) -> Iterator[Row]:
    """Yield what each exporter made of each module, in every format and precision."""
    for module in modules:
        for format in FORMATS:
            for precision in USUAL_PRECISIONS:
                for exporter in EXPORTERS:
                    row = judge(Cell(module, format, precision, exporter))
                    print(_said(row), file=sys.stderr, flush=True)
                    yield row


def judge(cell: Cell) -> Row:
    """Return whether a cell's file can be made, runs and is right, and what it takes.

    What is not known, since an earlier step failed, is None; `failure` says why.
    """
    row: Row = {
        **asdict(cell),
        **dict.fromkeys(
            "scheme n_parameters file_bytes unique_bytes stored_bytes duplicate_bytes"
            " engine engine_version ram_bytes relative_error snr_db failure".split()
        ),
        **dict.fromkeys(("converts", "runs", "right"), False),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row["failure"] = _make_apart(cell, folder)
        if (folder / "made.json").is_file():
            row |= json.loads((folder / "made.json").read_text(encoding="utf-8"))
        if row["failure"] is not None:
            return row
        row["converts"] = True
        row["failure"] = _run_apart(cell.format, folder)
        if row["failure"] is None:
            row["runs"] = True
            row |= json.loads((folder / "run.json").read_text(encoding="utf-8"))
            row |= _accuracy(folder, cell.precision)
    return row


def _make_apart(cell: Cell, folder: Path) -> str | None:
    """Make a cell's file in a process; return in one line why it failed, if it did."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(PRELOADED))
    process = server.Process(target=make_or_tell, args=(cell, folder))
    with quiet():  # the server begins here, and what it forks is as silent as it is
        process.start()
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        return TOO_LONG
    if (folder / FAILURE).is_file():
        return (folder / FAILURE).read_text(encoding="utf-8")
    return _how_it_ended(process.exitcode)


def _run_apart(format: str, folder: Path) -> str | None:
    """Run a cell's file in a process; return in one line why it failed, if it did."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "export.measured_run", format, str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            check=False,
            timeout=LIMIT_S,
            env=os.environ | {"PYTHONPATH": str(FOLDER_OF_PACKAGE)},
        )
    except subprocess.TimeoutExpired:
        return TOO_LONG
    if done.returncode == 1:
        return done.stderr.splitlines()[-1]
    return _how_it_ended(done.returncode)


def _how_it_ended(status: int) -> str | None:
    if status < 0:
        return f"crashes ({signal.Signals(-status).name})"
    return f"ends with status {status}" if status else None


def _accuracy(folder: Path, precision: str) -> Row:
    """Return how far the outputs of a run are from the module's, at the worst one."""
    differences: dict[str, Difference] = {}
    finite = True
    with np.load(folder / "outputs.npz") as found, np.load(folder / "case.npz") as case:
        for key in found.files:  # entry/number of the inputs/position of the output
            entry, _, position = key.split("/")
            one = differences.setdefault(f"{entry}/{position}", Difference())
            one.add(case[f"{key}/expected"], found[key])
            finite = finite and bool(np.isfinite(found[key]).all())
    if not finite:
        return {"right": False, "failure": "gives numbers that are not finite"}
    worst = max(one.largest for one in differences.values())
    ratios = [r for one in differences.values() if (r := one.snr_db) is not None]
    snr_db = min(ratios, default=None)
    if precision == "fp32":
        right = worst < RELATIVE_ERRORS["fp32"]
    else:
        right = snr_db is None or snr_db >= INT8_SNR_FLOOR_DB
    return {"right": right, "relative_error": worst, "snr_db": snr_db}


def _said(row: Row) -> str:
    cell = " ".join(row[k] for k in ("module", "format", "precision", "exporter"))
    if row["failure"] is not None:
        return f"{cell}: {row['failure']}"
    return (
        f"{cell}: {'right' if row['right'] else 'WRONG'}, relative error"
        f" {row['relative_error']:.2g}, {row['file_bytes']:,} bytes,"
        f" {row['duplicate_bytes']:,} duplicate, {row['ram_bytes']:,} in RAM"
    )


if __name__ == "__main__":
    sys.exit(main())
