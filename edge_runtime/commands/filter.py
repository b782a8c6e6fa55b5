"""`tiedge filter`: one picture, or a folder of them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import PictureError, SettingError, one_line
from edge_runtime.frame_budget import FrameBudget, calm_seconds
from edge_runtime.image_filter import (
    N_CHANNELS,
    SIGMA,
    ImageFilter,
    open_filter,
)
from edge_runtime.options import Parser, add_engine_options, print_json
from edge_runtime.pictures import (
    MAX_PICTURE_PX,
    PICTURE_ENDINGS,
    list_pictures,
    read_picture,
    to_8_bits,
    to_float,
    write_picture,
)

AUTO = "auto"
MILLISECONDS_PER_SECOND = 1000
PX_PER_MEGAPIXEL = 10**6

EPILOG = """\
Every picture of a folder, sub-folders included, goes to the same name under OUT. One
that cannot be read or written stops no other: stderr names it, the last line counts
it, and the exit status is 1.
"""


@dataclass(frozen=True)
class Job:
    """One picture to filter."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Setting:
    """What every picture is filtered with."""

    sigma: float | None
    """Units of 255; None is an estimate of each picture's own."""
    depth: int | None
    """None leaves it to `pace`."""
    pace: Pace | None


class Pace:
    """Chooses each picture's depth so that so many are done in a second."""

    def __init__(self, image_filter: ImageFilter, fps: float) -> None:
        if not 0 < fps < float("inf"):
            raise SettingError(f"fps: found {fps:g}, expected a number over 0")
        self.fps = fps
        tile = np.zeros((*image_filter.spec.tile_px, N_CHANNELS), np.float32)
        self._filter = image_filter
        self._budget = FrameBudget(
            1 / fps,
            calm_seconds(
                lambda depth: image_filter.apply(tile, SIGMA, depth),
                image_filter.bundle.depths,
            ),
        )

    def depth(self, n_rows: int, n_columns: int) -> int:
        """Return the next picture's depth; its tiles share its time."""
        deepest = self._filter.bundle.depths[-1]
        self._n_tiles = self._filter.n_tiles(n_rows, n_columns, deepest)
        self._budget.change(1 / self.fps / self._n_tiles)
        return self._budget.depth

    def took(self, seconds: float) -> None:
        """Learn how long that picture took."""
        self._budget.took(seconds / self._n_tiles)


def run(arguments: Sequence[str]) -> int:
    """Filter as the arguments say; 1 if a picture of a folder failed."""
    options = _parser().parse_args(arguments)
    if options.fps is not None and options.depth is not None:
        raise SettingError("--fps: chooses the depth itself; leave out --depth")
    jobs = plan(options.source, options.target)
    with open_filter(
        options.bundle, options.engine, options.precision, options.threads
    ) as image_filter:
        setting = _setting(image_filter, options)
        if options.source.is_dir():
            rows = _filter_all(image_filter, jobs, setting)
        else:
            rows = [_filter(image_filter, jobs[0], setting)]
        result = {
            "bundle": image_filter.bundle.name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": setting.depth,
            "fps": None if setting.pace is None else setting.pace.fps,
            "threads": options.threads,
            "sigma": AUTO if setting.sigma is None else setting.sigma,
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
    try:
        if source.is_dir():
            return _plan_folder(source, target)
        return [_plan_picture(source, target)]
    except OSError as error:  # a name too long to be one, a folder that is closed
        raise PictureError(f"{error.filename}: {error.strerror}") from error


def _plan_picture(source: Path, target: Path) -> Job:
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
    return Job(source, file)


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


def _setting(image_filter: ImageFilter, options: argparse.Namespace) -> Setting:
    """Return the checked setting, before any picture is read."""
    if options.sigma is not None:
        image_filter.check_sigma(options.sigma)
    if options.fps is not None:
        return Setting(options.sigma, None, Pace(image_filter, options.fps))
    return Setting(options.sigma, image_filter.checked_depth(options.depth), None)


def _filter(image_filter: ImageFilter, job: Job, setting: Setting) -> dict[str, Any]:
    noisy = to_float(read_picture(job.source))  # (Y, X, 3)
    sigma = setting.sigma
    if sigma is None:
        sigma = _estimate(image_filter, job.source, noisy)
    depth = setting.depth
    if setting.pace is not None:
        depth = setting.pace.depth(*noisy.shape[:2])
    started = time.perf_counter()
    restored = image_filter.apply(noisy, sigma, depth)
    seconds = time.perf_counter() - started
    if setting.pace is not None:
        setting.pace.took(seconds)
    write_picture(job.target, to_8_bits(restored))
    return {
        "source": str(job.source),
        "target": str(job.target),
        "width_px": noisy.shape[1],
        "height_px": noisy.shape[0],
        "sigma": round(sigma, 2),
        "depth": depth,
        "ms": round(seconds * MILLISECONDS_PER_SECOND, 3),
    }


def _estimate(
    image_filter: ImageFilter, source: Path, noisy: NDArray[np.float32]
) -> float:
    try:
        return image_filter.estimate_sigma(noisy)
    except PictureError as error:
        raise PictureError(f"{source}: {error}; give --sigma a number") from error


def _filter_all(
    image_filter: ImageFilter, jobs: Sequence[Job], setting: Setting
) -> list[dict[str, Any]]:
    """Return one row per job, told on stderr as it ends; a bad picture stops none."""
    rows: list[dict[str, Any]] = []
    for number, job in enumerate(jobs, start=1):
        try:
            row = _filter(image_filter, job, setting)
            told = (
                f"{job.target}: sigma {row['sigma']:g}, depth {row['depth']},"
                f" {row['ms']:.0f} ms"
            )
        except (PictureError, SettingError) as error:  # unreadable, or unwritable
            row = {"source": str(job.source), "error": str(error)}
            told = str(error)
        rows.append(row)
        print(f"{number}/{len(jobs)} {one_line(told)}", file=sys.stderr, flush=True)
    return rows


def _summary(result: dict[str, Any]) -> str:
    rows = result["rows"]
    done = [row for row in rows if "error" not in row]
    spent_ms = sum(row["ms"] for row in done) / max(1, len(done))
    failed = f", {len(rows) - len(done)} failed" if done != rows else ""
    return (
        f"{len(done)} of {len(rows)} pictures filtered by {result['bundle']}"
        f" ({result['engine']} {result['precision']}, {_told_depth(result, done)},"
        f" sigma {_told_sigma(result['sigma'], done)}), {spent_ms:.0f} ms each{failed}"
    )


def _told_depth(result: dict[str, Any], done: Sequence[dict[str, Any]]) -> str:
    if result["fps"] is None:
        return f"depth {result['depth']}"
    depths = sorted({row["depth"] for row in done})
    return f"{result['fps']:g} fps at depth {' '.join(map(str, depths)) or '–'}"


def _told_sigma(sigma: float | str, done: Sequence[dict[str, Any]]) -> str:
    if isinstance(sigma, float):
        return f"{sigma:g}"
    if not done:
        return sigma
    return f"{sigma}: {sum(row['sigma'] for row in done) / len(done):.1f} on average"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge filter",
        description="Filter one picture, or every picture of a folder: JPEG, PNG, BMP,"
        f" TIFF or WebP of at most {MAX_PICTURE_PX // PX_PER_MEGAPIXEL} megapixels.",
        epilog=EPILOG,
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
        type=_sigma,
        default=SIGMA,
        help=f"strength of the noise in units of 255, or {AUTO} for an estimate from"
        f" each picture; default {SIGMA:g}",
    )
    add_engine_options(parser, FORMAT_OF_ENGINE, seed=False)
    parser.add_argument(
        "--fps",
        type=float,
        help="instead of --depth: as deep as leaves time for so many pictures a second",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser


def _sigma(text: str) -> float | None:
    """Return the number, or None for an estimate."""
    if text == AUTO:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a number or {AUTO}"
        ) from error


def _path(text: str) -> Path:
    """Return the path; an empty one, as of an unset variable, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected a path")
    return Path(text)
