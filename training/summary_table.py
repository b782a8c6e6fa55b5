"""The table at the top of README.md's figures: each filter's depths beside others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from training.markdown import decibel, table
from training.picture_tables import (
    BYTES_PER_KB,
    PUBLISHED_NOISE,
    PUBLISHED_SUPERRES,
)
from training.result_rows import ENGINE, PRECISION

FILE = f"{{}}.{PRECISION}.tflite"

Row = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Any]]


def summary_table(results: Results) -> str:
    """Return PSNR by depth of the int8 files, of what there are results for."""
    bytes_of = {row["file"]: row["file_bytes"] for row in _rows(results, "bundles")}
    lines = [
        (what, _db_of_depths(rows), rows[0]["bundle"], beside)
        for what, rows, beside in _measured(results)
    ]
    depths = sorted({depth for _, found, *_ in lines for depth in found})
    head = ["filter", "file", "PSNR", *(f"depth {d}" for d in depths), "beside"]
    shown: list[list[str]] = []
    for what, found, bundle, beside in lines:
        is_next = bool(shown) and shown[-1][0] == bundle
        size = bytes_of.get(FILE.format(bundle))
        shown.append(
            [
                bundle,
                "" if size is None or is_next else f"{size / BYTES_PER_KB:.0f} KB",
                what,
                *(decibel(found[d]) if d in found else "–" for d in depths),
                "; ".join(beside),
            ]
        )
    return table(head, shown)


def _measured(results: Results) -> Iterator[tuple[str, Sequence[Row], list[str]]]:
    """Yield what was measured, its rows of the int8 file by depth, and its peers."""
    for name in ("denoise", "denoise_live"):
        rows = _own(results, name)
        for sigma in dict.fromkeys(row["sigma"] for row in rows):
            beside = [
                f"{peer} {published[sigma]:.2f}"
                for peer, published in PUBLISHED_NOISE.items()
                if sigma in published and name == "denoise"
            ]
            found = [row for row in rows if row["sigma"] == sigma]
            yield f"noise of σ {sigma:g}, {_set_of(found)}", found, beside
    if rows := _own(results, "superres"):
        beside = [f"bicubic {decibel(rows[0]['bicubic_psnr_db'])}"]
        beside += [f"{peer} {db:.2f}" for peer, db in PUBLISHED_SUPERRES.items()]
        yield f"twice the size, Y of {_set_of(rows)}", rows, beside
    dark = [r for r in _rows(results, "enhance") if r["exposure"] == "dark"]
    if rows := [row for row in dark if not row["peer"] and _is_own(row)]:
        beside = [f"{r['peer']} {decibel(r['psnr_db'])}" for r in dark if r["peer"]]
        yield f"{_set_of(rows)} darkened", rows, beside
    of_looks = [row for row in _own(results, "looks") if not row["peer"]]
    for look in dict.fromkeys(row["look"] for row in of_looks):
        rows = [row for row in of_looks if row["look"] == look]
        beside = [f"nothing done {decibel(rows[0]['untouched_psnr_db'])}"]
        yield f"{look} as by OpenCV, {_set_of(rows)}", rows, beside


def _set_of(rows: Sequence[Row]) -> str:
    """Return the name of the pictures that rows were measured on."""
    return PurePosixPath(rows[0]["data"]).stem.removeprefix("test_")


def _own(results: Results, name: str) -> list[Row]:
    """Return the rows of the int8 file."""
    return [row for row in _rows(results, name) if _is_own(row)]


def _is_own(row: Row) -> bool:
    return (row.get("engine"), row.get("precision")) == (ENGINE, PRECISION)


def _rows(results: Results, name: str) -> Sequence[Row]:
    rows: Sequence[Row] = results.get(name, {"rows": ()})["rows"]
    return rows


def _db_of_depths(rows: Sequence[Row]) -> dict[int, float | None]:
    return {row["depth"]: row["psnr_db"] for row in rows}
