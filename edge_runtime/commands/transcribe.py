"""`tiedge transcribe`: audio files of any length to text."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.child import safe_path
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import AudioError, SettingError, one_line
from edge_runtime.files import write_text
from edge_runtime.model_choice import choose_model
from edge_runtime.options import (
    Parser,
    add_engine_options,
    bounded,
    path,
    print_json,
    usable_cores,
)
from edge_runtime.speech.listing import Recording, check_names, list_recordings
from edge_runtime.speech.options import DecodingChoice, add_decoding_options, decisive
from edge_runtime.speech.record import open_record
from edge_runtime.speech.recording import Heard, Transcript, transcribe_file
from edge_runtime.speech.transcript import FORMATS
from edge_runtime.transcriber import open_speech, require_speech

TOLD_EVERY_S = 5.0
"""Seconds between two lines about a recording that takes long."""

EPILOG = """\
Of several files, one that cannot be read stops no other: stderr names it, and the exit
status is 1. With --output, a second run does what the first one did not: a recording of
hours goes on behind the last pause that it had reached.
"""

Row = dict[str, Any]


def run(arguments: Sequence[str]) -> int:
    """Transcribe as the arguments say; 1 if one of several files could not be read."""
    options = _parser().parse_args(arguments)
    options.formats = _formats(options)
    options.decoding = DecodingChoice.of(options)
    recordings = list_recordings(options.files)
    if options.output is not None:
        check_names(recordings)
    n_at_once = _n_at_once(options, len(recordings))
    with _open_desk(options) as desk:
        if len(recordings) == 1 and not options.files[0].is_dir():
            rows = [desk.transcribe(recordings[0], _Teller(recordings[0].source))]
            if "remark" in rows[0]:
                told = f"tiedge transcribe: {rows[0]['file']}: {rows[0]['remark']}"
                print(one_line(told), file=sys.stderr)
        else:
            work: Iterator[Row] = map(desk.row, recordings)
            if n_at_once > 1:
                work = _at_once(options, recordings, n_at_once)
            rows = _all(work, len(recordings))
        name = desk.bundle.name
    if options.json:
        result = {
            "bundle": name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": None,
            "threads": options.threads,
            "jobs": n_at_once,
            "n_files": sum("error" not in row for row in rows),
            "rows": rows,
        }
        print_json(result)
    elif options.output is None:
        _print_texts(rows)
    return 1 if any("error" in row for row in rows) else 0


def _all(work: Iterator[Row], n_files: int) -> list[Row]:
    """Return one row per file, told on stderr as it ends."""
    rows = []
    for number, row in enumerate(work, start=1):
        rows.append(row)
        print(f"{number}/{n_files} {one_line(_told(row))}", file=sys.stderr, flush=True)
    return rows


def _at_once(
    options: argparse.Namespace, recordings: Sequence[Recording], n_workers: int
) -> Iterator[Row]:
    """Yield the rows of recordings, several processes at work."""
    pool = ProcessPoolExecutor(
        n_workers, multiprocessing.get_context("spawn"), _begin_work, (options,)
    )
    try:
        with safe_path():  # which starts the processes
            waiting = [pool.submit(_work, recording) for recording in recordings]
        for recording, done in zip(recordings, waiting, strict=True):
            try:
                yield done.result()
            except BrokenProcessPool:
                reason = "its process was ended; try --jobs 1"
                source = str(recording.source)
                yield {"file": source, "error": f"{source}: {reason}"}
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_work(options: argparse.Namespace) -> None:
    """Open what a process of its own needs; it stays open for its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent sees Ctrl-C, and ends it
    _open.append(ExitStack())
    _desks.append(_open[0].enter_context(_open_desk(options)))


def _work(recording: Recording) -> Row:
    return _desks[0].row(recording)


_open: list[ExitStack] = []
_desks: list[_Desk] = []


@contextmanager
def _open_desk(options: argparse.Namespace) -> Iterator[_Desk]:
    bundle, engine = open_speech(
        options.bundle, options.engine, options.precision, options.threads
    )
    speech = require_speech(bundle)
    opening = options.decoding.open(
        speech.alphabet, speech.vocabulary, options.engine, options.threads
    )
    with engine, opening as decoding:
        yield _Desk(options, bundle, engine, decoding)


class _Desk:
    """A bundle, its engine and decoding, open for one recording after another."""

    def __init__(
        self,
        options: argparse.Namespace,
        bundle: Bundle,
        engine: Engine,
        decoding: Decoding,
    ) -> None:
        self._options = options
        self.bundle = bundle
        self._engine = engine
        self._decoding = decoding

    def transcribe(self, recording: Recording, heard: Heard | None = None) -> Row:
        """Return what was said in a recording; raises AudioError as the reader does."""
        output: Path | None = self._options.output
        if output is None:
            transcript = transcribe_file(
                self.bundle, self._engine, recording.source, self._decoding, None, heard
            )
            return self._row(recording, transcript)
        setting = self._setting(recording.source)
        targets = [
            output / f"{recording.name}.{format}" for format in self._options.formats
        ]
        with open_record(output, recording.name, setting) as record:
            if record.audio_s is not None and all(map(os.path.exists, targets)):
                row = {"file": str(recording.source), "done_before": True}
                return row | {"targets": list(map(str, targets))}
            if record.audio_s is None:
                transcript = transcribe_file(
                    self.bundle,
                    self._engine,
                    recording.source,
                    self._decoding,
                    record,
                    heard,
                )
            else:
                transcript = Transcript(tuple(record.segments), record.audio_s, 0.0)
            for format, target in zip(self._options.formats, targets, strict=True):
                write_text(target, FORMATS[format](transcript.segments))
        row = self._row(recording, transcript)
        return row | {"targets": list(map(str, targets))}

    def row(self, recording: Recording) -> Row:
        """Return what `transcribe` does, or a row with an error."""
        try:
            return self.transcribe(recording)
        except (AudioError, SettingError) as error:  # unreadable, or unwritable
            return {"file": str(recording.source), "error": str(error)}

    def _row(self, recording: Recording, transcript: Transcript) -> Row:
        row: Row = {
            "file": str(recording.source),
            "text": transcript.text,
            "audio_s": round(transcript.audio_s, 3),
            "compute_ms": round(transcript.compute_ms, 3),
        }
        if transcript.remark is not None:
            row["remark"] = transcript.remark
        if self._decoding.grammar is not None and self._decoding.grammar.intents:
            row["intents"] = [segment.intent for segment in transcript.segments]
        return row

    def _setting(self, source: Path) -> dict[str, Any]:
        """Return all that a text depends on."""
        try:
            status = source.stat()
        except OSError as error:
            raise AudioError(f"{source}: {error.strerror}") from error
        options = self._options
        model = choose_model(self.bundle, options.engine, options.precision)
        return {
            "source": str(source.resolve()),
            "bytes": status.st_size,
            "changed_ns": status.st_mtime_ns,
            "model_sha256": model.sha256,
            "engine": options.engine,
            **decisive(options.decoding, self._decoding),
        }


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
        print(
            one_line(f"{self._source}: {told}, {speed:.0f} times as fast as speech"),
            file=sys.stderr,
            flush=True,
        )


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> clock(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _formats(options: argparse.Namespace) -> list[str]:
    """Return the endings of the files that are written for each recording."""
    if options.format and options.output is None:
        raise SettingError("--format: names files; say where with --output")
    asked = [part.strip() for part in (options.format or "txt").split(",")]
    for ending in asked:
        if ending not in FORMATS:
            raise SettingError(
                f"--format {ending}: expected some of {' '.join(FORMATS)}, with commas"
                " between"
            )
    return list(dict.fromkeys(asked))


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
    """Print the text of one file alone, of several behind their names."""
    for row in rows:
        if "error" not in row:
            name = "" if len(rows) == 1 else f"{one_line(row['file'])}\t"
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
    parser.add_argument(
        "--bundle",
        default="digits",
        metavar="NAME",
        help="a ready-made bundle, or the path of one; default digits",
    )
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
