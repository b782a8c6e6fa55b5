"""What was transcribed of a file so far, so that a second run does the rest alone."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError
from edge_runtime.speech.transcript import Segment

FOLDER = ".tiedge-transcribe"
"""Beside the texts; holds one record for each."""


class Record:
    """A line of JSON for the setting, for each utterance, and for the end."""

    def __init__(self, path: Path, file: Any, setting: Mapping[str, Any]) -> None:
        self._path = path
        self._file = file
        self.segments: list[Segment] = []
        self.n_chunks = 0
        """Steps of the network that the utterances reach."""
        self.audio_s: float | None = None
        """Length of the recording; None where it is not done."""
        lines = _lines(file)
        if not lines or lines[0] != {"setting": dict(setting)}:
            file.truncate(0)
            self._write({"setting": dict(setting)})
            return
        try:
            for line in lines[1:]:
                if "segment" in line:
                    self.segments.append(Segment.from_json(line["segment"]))
                    self.n_chunks = int(line["n_chunks"])
                else:
                    self.audio_s = float(line["audio_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(
                f"{path}: damaged; delete it, and the file is transcribed again"
            ) from error

    def add(self, segment: Segment, n_chunks: int) -> None:
        """Note an utterance, and how many steps of the network reach its end.

        Raises SettingError where the disk is full.
        """
        self.segments.append(segment)
        self.n_chunks = n_chunks
        self._write({"segment": asdict(segment), "n_chunks": n_chunks})

    def end(self, audio_s: float) -> None:
        """Note that the recording, of that length, is done."""
        self.audio_s = audio_s
        self._write({"audio_s": audio_s})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = (json.dumps(line) + "\n").encode()
        try:
            if os.write(self._file.fileno(), data) < len(data):
                raise OSError(None, "the disk is full")
        except OSError as error:
            raise SettingError(
                f"{self._path}: cannot be written: {error.strerror}"
            ) from error


@contextmanager
def open_record(
    folder: Path, name: str, setting: Mapping[str, Any]
) -> Iterator[Record]:
    """Yield the record of a file that is transcribed into a folder.

    `setting` is what decides the text; a record of another setting is begun anew.
    Raises SettingError if it cannot be written, or another run is at it.
    """
    path = folder / FOLDER / f"{name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.fdopen(os.open(path, flags, 0o666), "a+b")
    except OSError as error:
        raise SettingError(
            f"{path}: cannot be written: {error.strerror or error}"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingError(
                f"{path}: another tiedge transcribe writes it; wait for its end"
            ) from error
        except OSError:  # a network share without locks
            pass
        yield Record(path, file, setting)


def _lines(file: Any) -> list[dict[str, Any]]:
    """Return the lines that are whole; what a killed run did not end is cut off."""
    file.seek(0)
    lines: list[dict[str, Any]] = []
    n_bytes = 0
    for text in file:
        with suppress(ValueError, RecursionError):
            line = json.loads(text)
            if text.endswith(b"\n") and isinstance(line, dict):
                lines.append(line)
                n_bytes += len(text)
                continue
        break
    file.truncate(n_bytes)
    return lines
