"""`tiedge transcribe`: audio files of any length to text."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, one_line
from edge_runtime.options import (
    Parser,
    add_engine_options,
    bounded,
    path,
    print_json,
    usable_cores,
)
from edge_runtime.speech.desk import Order, Row
from edge_runtime.speech.listing import Recording, check_names, list_recordings
from edge_runtime.speech.options import (
    add_bundle_option,
    add_decoding_options,
    decoding_choice,
)
from edge_runtime.speech.transcript import FORMATS
from edge_runtime.workers import Ended, do_at_once

TOLD_EVERY_S = 5.0
"""Seconds between two lines about a recording that takes long."""

EPILOG = """\
Of several files, one that cannot be read stops no other: stderr names it, and the exit
status is 1. With --output, a second run does what the first one did not: a recording of
hours goes on behind the last pause that it had reached.
"""

Work = Generator[tuple[Recording, Row]]


def run(arguments: Sequence[str]) -> int:
    """Transcribe as the arguments say; 1 if one of several files could not be read."""
    options = _parser().parse_args(arguments)
    order = _order(options)
    listing = list_recordings(options.files)
    recordings = listing.recordings
    if order.output is not None:
        check_names(recordings)
        _check_output(order.output)
    n_at_once = _n_at_once(options, len(recordings))
    is_alone = [recording.file for recording in recordings] == [str(options.files[0])]
    with ExitStack() as stack:
        if order.output is not None:
            stack.enter_context(_told_how_to_go_on())
        desk = stack.enter_context(order.open())
        if is_alone:
            rows = [desk.transcribe(recordings[0], _Teller(recordings[0].source))]
            if "remark" in rows[0]:
                _say(f"tiedge transcribe: {rows[0]['file']}: {rows[0]['remark']}")
        else:
            work: Work = ((done, desk.row(done)) for done in recordings)
            if n_at_once > 1:
                stack.close()  # each worker has its own
                work = _at_once(order, recordings, n_at_once)
            keeps_text = options.json or order.output is None
            rows = _all(work, recordings, keeps_text=keeps_text)
    rows += [{"file": file, "error": why} for file, why in listing.closed.items()]
    for why in listing.closed.values():
        _say(f"tiedge transcribe: {why}")
    n_failed = sum("error" in row for row in rows)
    if options.json:
        result = {
            "bundle": desk.bundle.name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": None,
            "threads": options.threads,
            "jobs": n_at_once,
            "n_files": len(rows) - n_failed,
            "rows": rows,
        }
        print_json(result)
    elif order.output is None:
        _print_texts(rows)
    if n_failed and not is_alone:
        _say(f"tiedge transcribe: {n_failed} of {len(rows)} could not be transcribed")
    return 1 if n_failed else 0


@contextmanager
def _told_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _say("tiedge transcribe: stopped; the same command goes on")
        raise


def _check_output(output: Path) -> None:
    # Path's own tests raise for long names.
    if os.path.exists(output) and not os.path.isdir(output):  # noqa: PTH110, PTH112
        raise SettingError(f"--output {output}: is a file, expected a folder")


def _all(work: Work, recordings: Sequence[Recording], *, keeps_text: bool) -> list[Row]:
    """Return one row per recording, in their order; each is told as it ends."""
    place = {id(recording): n for n, recording in enumerate(recordings)}
    rows: list[Row] = [{}] * len(recordings)
    with closing(work):
        for number, (done, row) in enumerate(work, start=1):
            kept = row if keeps_text else {key: row[key] for key in {*row} & {"error"}}
            rows[place[id(done)]] = kept
            _say(f"{number}/{len(rows)} {_told(row)}")
    return rows


def _at_once(order: Order, recordings: Sequence[Recording], n_workers: int) -> Work:
    """Yield recordings and their rows as they end, several processes at work."""
    with closing(do_at_once(order.open_rows, recordings, n_workers)) as ended:
        for recording, row in ended:
            if isinstance(row, Ended):
                error = f"its process was ended ({row.reason}); try --jobs 1"
                row = {"file": recording.file, "error": f"{recording.file}: {error}"}
            yield recording, row


def _say(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)


class _Teller:
    """Tells on stderr, now and then, how far a long recording is."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._began = self._told = time.monotonic()

    def __call__(self, heard_s: float, of_s: float | None) -> None:
        now = time.monotonic()
        if now - self._told < TOLD_EVERY_S:
            return
        self._told = now
        speed = heard_s / (now - self._began)
        told = clock(heard_s)
        if of_s is not None:
            left = clock((of_s - heard_s) / speed)
            told = f"{told} of {clock(of_s)}, {left} left"
        _say(f"{self._source}: {told}, {speed:.0f} times as fast as speech")


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> clock(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _order(options: argparse.Namespace) -> Order:
    return Order(
        options.bundle,
        options.engine,
        options.precision,
        options.threads,
        decoding_choice(options),
        options.output,
        _formats(options),
    )


def _formats(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the endings of the files that are written for each recording."""
    if options.format is None:
        return ("txt",)
    if options.output is None:
        raise SettingError("--format: names files; say where with --output")
    asked = [part.strip() for part in options.format.split(",")]
    for ending in asked:
        if ending not in FORMATS:
            raise SettingError(
                f"--format {options.format}: expected some of {' '.join(FORMATS)}, with"
                " commas between"
            )
    return tuple(dict.fromkeys(asked))


def _n_at_once(options: argparse.Namespace, n_files: int) -> int:
    if options.jobs is None:
        return 1
    n_threads = options.jobs * options.threads
    if n_threads > usable_cores():
        raise SettingError(
            f"--jobs: {options.jobs} files at once of {options.threads} threads each"
            f" are {n_threads} threads, expected at most the {usable_cores()} cores of"
            " this machine"
        )
    return min(int(options.jobs), n_files)


def _told(row: Row) -> str:
    if "error" in row:
        return str(row["error"])
    if "done_before" in row:
        return f"{row['file']}: done before"
    told = f"{row['file']}: {row['audio_s']:.1f} s in {row['compute_ms']:.0f} ms"
    return f"{told}: {row['remark']}" if "remark" in row else told


def _print_texts(rows: Sequence[Row]) -> None:
    """Print the text of one file alone, of several behind their names.

    What fits a grammar has a line for each utterance, with its intent.
    """
    for row in rows:
        if "error" in row:
            continue
        name = "" if len(rows) == 1 else f"{one_line(row['file'])}\t"
        intents = [s for s in row["segments"] if s["intent"] is not None]
        for said in intents:
            print(f"{name}{said['text']}\t{json.dumps(said['intent'])}")
        if not intents:
            print(f"{name}{row['text']}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge transcribe",
        description="Print what is said in recordings of any length: WAV; with"
        " soundfile installed FLAC, Ogg, Opus and MP3; with ffmpeg installed others and"
        " videos; 8 to 192 kHz.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "files", metavar="FILE", type=path, nargs="+", help="or a folder of them"
    )
    add_bundle_option(parser)
    add_decoding_options(parser)
    add_engine_options(parser, FORMAT_OF_ENGINE, depth=False, seed=False)
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=path,
        help="write files there instead of printing, and go on where a run was stopped",
    )
    parser.add_argument(
        "--format",
        metavar="A,B",
        help=f"of those files: {' '.join(FORMATS)}; default txt, a line an utterance",
    )
    parser.add_argument(
        "--jobs",
        type=bounded(int, 1, usable_cores(), "the cores of this machine"),
        help="files at once, each with --threads of its own; default 1",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
