"""`tiedge filter`: one picture, or a folder of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from edge_runtime.device import available_bytes
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, one_line
from edge_runtime.image_filter import ImageFilter
from edge_runtime.model_choice import choose_model
from edge_runtime.options import (
    AUTO,
    Parser,
    add_engine_options,
    add_wishes,
    bounded,
    frames_a_second,
    path,
    print_json,
    sigma_or_auto,
    usable_cores,
)
from edge_runtime.photo.journal import Journal, open_journal, sha256_of
from edge_runtime.photo.plan import Job, plan
from edge_runtime.photo.restore import Pace, Setting, restore_file
from edge_runtime.photo.workers import Opening, Row, filter_at_once, filter_in_turn
from edge_runtime.pictures import MAX_PICTURE_PX, QUALITY
from edge_runtime.progress import Progress

PX_PER_MEGAPIXEL = 10**6
BYTES_PER_JOB = 250 * 10**6
"""What filtering a photograph of 12 megapixels takes at most, its process included."""

EPILOG = """\
Every picture of a folder, sub-folders included, goes to the same name under OUT. One
that cannot be read or written stops no other: stderr names it, the last line counts
it, and the exit status is 1. A second run does what the first one did not, and what
has changed since.
"""

Work = Callable[[Iterable[Job]], Generator[tuple[Job, Row]]]
"""Filters pictures, and yields each with what came of it."""


def run(arguments: Sequence[str]) -> int:
    """Filter as the arguments say; 1 if a picture of a folder failed."""
    options = _parser().parse_args(arguments)
    _check(options)
    jobs = plan(options.source, options.target)
    opening = Opening(
        options.bundle, options.engine, options.precision, options.threads
    )
    n_at_once = _n_at_once(options, len(jobs))
    with opening.open() as image_filter:
        setting, pace = _setting(image_filter, options)
        if not options.source.is_dir():
            rows = [restore_file(image_filter, jobs[0], setting, pace)]
        else:
            work: Work = partial(filter_in_turn, image_filter, setting, pace=pace)
            facts = _decisive(image_filter, options, setting)
            if n_at_once > 1:
                image_filter.close()  # each worker has its own
                work = partial(filter_at_once, opening, setting, n_workers=n_at_once)
            with open_journal(options.target, facts, jobs) as journal:
                rows = _filter_folder(jobs, journal, work)
    result = {
        "bundle": image_filter.bundle.name,
        "engine": options.engine,
        "precision": options.precision,
        "depth": setting.depth,
        "fps": options.fps,
        "threads": options.threads,
        "jobs": n_at_once,
        "sigma": _asked_sigma(image_filter, setting),
        "strength": setting.strength,
        "look": setting.look,
        "quality": setting.quality,
        "n_pictures": sum("ms" in row for row in rows),
        "n_done_before": sum("done_before" in row for row in rows),
        "rows": rows,
    }
    if options.json:
        print_json(result)
    elif options.source.is_dir():
        print(_summary(result))
    else:
        print(one_line(_told_alone(result)))
    return 1 if any("error" in row for row in rows) else 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that exclude each other, before anything is read."""
    if options.fps is not None and options.depth is not None:
        raise SettingError("--fps: chooses the depth itself; leave out --depth")
    if options.jobs is None:
        return
    if options.fps is not None and options.jobs > 1:
        raise SettingError("--fps: paces one picture after another; leave out --jobs")
    n_threads = options.jobs * options.threads
    if n_threads > usable_cores():
        raise SettingError(
            f"--jobs: {options.jobs} pictures at once of {options.threads} threads each"
            f" are {n_threads} threads, expected at most the {usable_cores()} cores of"
            " this machine"
        )


def _n_at_once(options: argparse.Namespace, n_pictures: int) -> int:
    """Return how many pictures are filtered at once: what cores and memory allow."""
    if options.jobs is not None:
        return min(int(options.jobs), n_pictures)
    if options.fps is not None:
        return 1
    free_bytes = available_bytes()
    n_at_once = min(n_pictures, usable_cores() // int(options.threads))
    if free_bytes is not None:
        n_at_once = min(n_at_once, free_bytes // BYTES_PER_JOB)
    return max(1, n_at_once)


def _setting(
    image_filter: ImageFilter, options: argparse.Namespace
) -> tuple[Setting, Pace | None]:
    """Return the checked setting and the pace, before any picture is read."""
    image_filter.check_sigma(options.sigma)
    image_filter.check_strength(options.strength)
    image_filter.check_look(options.look)
    look = next(iter(image_filter.spec.looks), None)
    if options.look is not None:
        look = options.look
    wishes = Setting(options.sigma, None, options.strength, look, options.quality)
    if options.fps is not None:
        return wishes, Pace(image_filter, options.fps)
    depth = image_filter.checked_depth(options.depth)
    return replace(wishes, depth=depth), None


def _decisive(
    image_filter: ImageFilter, options: argparse.Namespace, setting: Setting
) -> dict[str, Any]:
    """Return all that a result depends on beside its picture."""
    model = choose_model(image_filter.bundle, options.engine, options.precision)
    return {
        "model_sha256": model.sha256,
        "engine": options.engine,
        "depth": setting.depth,
        "fps": options.fps,
        "sigma": setting.sigma,
        "strength": setting.strength,
        "look": setting.look,
        "quality": setting.quality,
    }


def _filter_folder(jobs: Sequence[Job], journal: Journal, work: Work) -> list[Row]:
    """Return one row per job, told on stderr as it ends; a bad picture stops none."""
    rows: dict[Job, Row] = {}
    hashes: dict[Job, str | None] = {}

    def left() -> Iterator[Job]:
        for job in jobs:
            hashes[job] = sha256_of(job.source)
            if not journal.is_done(job, hashes[job]):
                yield job
                continue
            row = {"source": str(job.source), "target": str(job.target)}
            rows[job] = row | {"done_before": True}
            progress.step(one_line(f"{job.target}: done before"))

    with Progress(len(jobs)) as progress, closing(work(left())) as ended:
        for job, row in ended:
            rows[job] = row
            if "error" in row:
                progress.fail(one_line(row["error"]))
                continue
            journal.add(job, hashes[job])
            progress.step(one_line(_told(row)))
    return [rows[job] for job in jobs]


def _told(row: Row) -> str:
    note = f", {row['note']}" if "note" in row else ""
    sigma = "" if row["sigma"] is None else f"sigma {row['sigma']:g}, "
    return f"{row['target']}: {sigma}depth {row['depth']}, {row['ms']:.0f} ms{note}"


def _told_alone(result: dict[str, Any]) -> str:
    """Return what became of the one picture that is no folder's."""
    (row,) = result["rows"]
    return (
        f"{_told(row)} ({result['bundle']}, {result['engine']} {result['precision']}"
        f"{_told_look(result)})"
    )


def _told_look(result: dict[str, Any]) -> str:
    return "" if result["look"] is None else f", look {result['look']}"


def _summary(result: dict[str, Any]) -> str:
    rows = result["rows"]
    done = [row for row in rows if "ms" in row]
    spent_ms = sum(row["ms"] for row in done) / max(1, len(done))
    n_before, n_failed = result["n_done_before"], sum("error" in row for row in rows)
    before = f", {n_before} done before" if n_before else ""
    failed = f", {n_failed} failed" if n_failed else ""
    return (
        f"{len(done)} of {len(rows)} pictures filtered by {result['bundle']}"
        f" ({result['engine']} {result['precision']}, {_told_depth(result, done)}"
        f"{_told_sigma(result['sigma'], done)}{_told_look(result)}), {spent_ms:.0f} ms"
        f" each{before}{failed}"
    )


def _told_depth(result: dict[str, Any], done: Sequence[dict[str, Any]]) -> str:
    if result["fps"] is None:
        return f"depth {result['depth']}"
    depths = sorted({row["depth"] for row in done})
    return f"{result['fps']:g} fps at depth {' '.join(map(str, depths)) or '–'}"


def _asked_sigma(image_filter: ImageFilter, setting: Setting) -> float | str | None:
    """Return the noise level as the result tells it; None where none is asked for."""
    if image_filter.spec.sigma is None:
        return None
    return AUTO if setting.sigma is None else setting.sigma


def _told_sigma(sigma: float | str | None, done: Sequence[dict[str, Any]]) -> str:
    if sigma is None:
        return ""
    if isinstance(sigma, float):
        return f", sigma {sigma:g}"
    if not done:
        return f", sigma {sigma}"
    mean = sum(row["sigma"] for row in done) / len(done)
    return f", sigma {sigma}: {mean:.1f} on average"


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
        "source", metavar="IN", type=path, help="a picture, or a folder of them"
    )
    parser.add_argument(
        "target",
        metavar="OUT",
        type=path,
        help="a file whose ending names its format, or a folder",
    )
    parser.add_argument(
        "--sigma",
        type=sigma_or_auto,
        help="strength of the noise in units of 255, in the range that the bundle is"
        f" made for (ready-made ones: 0 to 55); default {AUTO}, an estimate from each"
        " picture",
    )
    add_wishes(parser)
    add_engine_options(parser, FORMAT_OF_ENGINE, seed=False)
    parser.add_argument(
        "--fps",
        type=frames_a_second,
        help="instead of --depth: as deep as leaves time for so many pictures a second",
    )
    parser.add_argument(
        "--quality",
        type=bounded(int, 1, 100, "the qualities of JPEG and WebP"),
        default=QUALITY,
        help=f"of JPEG and WebP files, 1 to 100; default {QUALITY}",
    )
    parser.add_argument(
        "--jobs",
        type=bounded(int, 1, usable_cores(), "the cores of this machine"),
        help="pictures of a folder at once, each with --threads of its own; default"
        " what cores and free memory allow",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
