"""`tiedge filter`: one picture, or a folder of them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import PictureError
from edge_runtime.image_filter import SIGMA, ImageFilter, open_filter
from edge_runtime.options import Parser, add_engine_options, print_json
from edge_runtime.pictures import (
    PICTURE_ENDINGS,
    list_pictures,
    read_picture,
    to_8_bits,
    to_float,
    write_picture,
)

MILLISECONDS_PER_SECOND = 1000


@dataclass(frozen=True)
class Job:
    """One picture to filter."""

    source: Path
    target: Path


def run(arguments: Sequence[str]) -> int:
    """Filter as the arguments say; 1 if a picture of a folder could not be read."""
    options = _parser().parse_args(arguments)
    jobs = plan(options.source, options.target)
    with open_filter(
        options.bundle, options.engine, options.precision, options.threads
    ) as image_filter:
        deepest = image_filter.bundle.depths[-1]
        depth = deepest if options.depth is None else options.depth
        if options.source.is_dir():
            rows = _filter_all(image_filter, jobs, options.sigma, depth)
        else:
            rows = [_filter(image_filter, jobs[0], options.sigma, depth)]
        result = {
            "bundle": image_filter.bundle.name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": depth,
            "threads": options.threads,
            "sigma": options.sigma,
            "n_pictures": sum("error" not in row for row in rows),
            "rows": rows,
        }
    if options.json:
        print_json(result)
    else:
        print(_summary(result))
    return 0 if result["n_pictures"] == len(jobs) else 1


def plan(source: Path, target: Path) -> list[Job]:
    """Return what is to be read and written; touches no file.

    A folder's pictures keep their names under `target`; one picture goes to the
    file `target`, or into it if it is a folder. Raises PictureError, or DataError for
    a folder without pictures, where that would overwrite an input or cannot be done.
    """
    if source.is_dir():
        return _plan_folder(source, target)
    if not source.exists():
        raise PictureError(f"{source}: no such picture or folder")
    file = target / source.name if target.is_dir() else target
    if file.suffix.lower() not in PICTURE_ENDINGS:
        raise PictureError(
            f"{file}: unknown ending {file.suffix!r}, expected a folder that exists or"
            f" one of {' '.join(sorted(PICTURE_ENDINGS))}"
        )
    if file.exists() and file.samefile(source):
        raise PictureError(f"{file}: is the input itself, expected another file")
    return [Job(source, file)]


def _plan_folder(source: Path, target: Path) -> list[Job]:
    if target.exists() and not target.is_dir():
        raise PictureError(
            f"{target}: is a file, expected a folder for the pictures of {source}"
        )
    if target.resolve().is_relative_to(source.resolve()):
        raise PictureError(
            f"{target}: is or lies in the input folder {source}, expected one outside"
        )
    jobs = [
        Job(path, target / path.relative_to(source)) for path in list_pictures(source)
    ]
    inputs = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in inputs:
            raise PictureError(
                f"{job.target}: is one of the inputs, expected another folder"
            )
    return jobs


def _filter(
    image_filter: ImageFilter, job: Job, sigma: float, depth: int
) -> dict[str, Any]:
    noisy = to_float(read_picture(job.source))  # (Y, X, 3)
    started = time.perf_counter()
    restored = image_filter.apply(noisy, sigma, depth)
    seconds = time.perf_counter() - started
    write_picture(job.target, to_8_bits(restored))
    return {
        "source": str(job.source),
        "target": str(job.target),
        "width_px": noisy.shape[1],
        "height_px": noisy.shape[0],
        "ms": round(seconds * MILLISECONDS_PER_SECOND, 3),
    }


def _filter_all(
    image_filter: ImageFilter, jobs: Sequence[Job], sigma: float, depth: int
) -> list[dict[str, Any]]:
    """Return one row per job, told on stderr as it ends; a bad picture stops none."""
    rows: list[dict[str, Any]] = []
    for number, job in enumerate(jobs, start=1):
        try:
            row = _filter(image_filter, job, sigma, depth)
            told = f"{job.target}: {row['ms']:.0f} ms"
        except PictureError as error:
            row = {"source": str(job.source), "error": str(error)}
            told = str(error)
        rows.append(row)
        print(f"{number}/{len(jobs)} {told}", file=sys.stderr, flush=True)
    return rows


def _summary(result: dict[str, Any]) -> str:
    rows = result["rows"]
    done = [row for row in rows if "error" not in row]
    spent_ms = sum(row["ms"] for row in done) / max(1, len(done))
    failed = f", {len(rows) - len(done)} could not be read" if done != rows else ""
    return (
        f"{len(done)} of {len(rows)} pictures filtered by {result['bundle']}"
        f" ({result['engine']} {result['precision']}, depth {result['depth']},"
        f" sigma {result['sigma']:g}), {spent_ms:.0f} ms each{failed}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge filter",
        description="Filter one picture, or every picture of a folder.",
    )
    parser.add_argument(
        "bundle", metavar="NAME", help="a ready-made bundle, or the path of one"
    )
    parser.add_argument(
        "source", metavar="IN", type=_path, help="a picture, or a folder of them"
    )
    parser.add_argument(
        "target",
        metavar="OUT",
        type=_path,
        help="a file whose ending names its format, or a folder",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=SIGMA,
        help=f"strength of the noise in units of 255; default {SIGMA:g}",
    )
    add_engine_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser


def _path(text: str) -> Path:
    """Return the path; an empty one, as of an unset variable, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected a path")
    return Path(text)
