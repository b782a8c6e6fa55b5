"""`tiedge transcribe`: audio files of any length to text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.audio import open_audio
from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import AudioError, one_line
from edge_runtime.options import Parser, add_engine_options, print_json
from edge_runtime.transcriber import Event, Transcriber, open_speech


def run(arguments: Sequence[str]) -> int:
    """Transcribe as the arguments say; 1 if one of several files could not be read."""
    options = _parser().parse_args(arguments)
    bundle, engine = open_speech(
        options.bundle, options.engine, options.precision, options.threads
    )
    with engine:
        if len(options.files) == 1:
            rows = [_row(bundle, engine, options.files[0])]
        else:
            rows = _rows(bundle, engine, options.files)
    if options.json:
        result = {
            "bundle": bundle.name,
            "engine": options.engine,
            "precision": options.precision,
            "depth": None,
            "threads": options.threads,
            "n_files": sum("error" not in row for row in rows),
            "rows": rows,
        }
        print_json(result)
    else:
        _print_texts(rows)
    return 1 if any("error" in row for row in rows) else 0


def transcribe_file(bundle: Bundle, engine: Engine, path: Path) -> Event:
    """Return the final event of an audio file, read and transcribed block by block.

    Raises AudioError for a file that holds no audio, or none that can be transcribed.
    """
    with open_audio(path) as audio:
        try:
            transcriber = Transcriber(bundle, engine, audio.sample_rate_hz)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error
        for block in audio.blocks:
            transcriber.feed(block)
    return transcriber.finish()


def _row(bundle: Bundle, engine: Engine, path: Path) -> dict[str, Any]:
    event = transcribe_file(bundle, engine, path)
    return {
        "file": str(path),
        "text": event.text,
        "audio_s": round(event.audio_s, 3),
        "compute_ms": round(event.compute_ms, 3),
    }


def _rows(
    bundle: Bundle, engine: Engine, paths: Sequence[Path]
) -> list[dict[str, Any]]:
    """Return one row per file, told on stderr as it ends; a bad file stops none."""
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(paths, start=1):
        try:
            row = _row(bundle, engine, path)
            told = f"{path}: {row['audio_s']:.1f} s in {row['compute_ms']:.0f} ms"
        except AudioError as error:
            row = {"file": str(path), "error": str(error)}
            told = str(error)
        rows.append(row)
        print(f"{number}/{len(paths)} {one_line(told)}", file=sys.stderr, flush=True)
    return rows


def _print_texts(rows: Sequence[dict[str, Any]]) -> None:
    """Print the text of one file alone, of several behind their names."""
    for row in rows:
        if "error" not in row:
            name = "" if len(rows) == 1 else f"{one_line(row['file'])}\t"
            print(f"{name}{row['text']}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge transcribe",
        description="Print what is said in audio files: WAV, and with soundfile"
        " installed FLAC, Ogg, Opus, MP3 and others; 8 to 192 kHz.",
        epilog="Of several files, one that cannot be read stops no other: stderr names"
        " it, and the exit status is 1.",
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+")
    parser.add_argument(
        "--bundle",
        default="digits",
        metavar="NAME",
        help="a ready-made bundle, or the path of one; default digits",
    )
    add_engine_options(parser, FORMAT_OF_ENGINE, depth=False, seed=False)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
