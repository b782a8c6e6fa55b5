"""What was transcribed of a file so far, so that a second run does the rest alone.

A line is the CRC-32 of it and of all lines before, as eight digits, and a JSON object:
of the setting, of an utterance, of the end, or of a text that was written. So a line
that was changed, lost, doubled or cut is noticed, and what stands before it is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError
from edge_runtime.files import check_regular
from edge_runtime.speech.transcript import Segment

FOLDER = ".tiedge-transcribe"
"""Beside the texts; holds one record for each."""
LONGEST_LINE_BYTES = 1 << 24
"""An utterance of half a minute has some kilobytes."""
LONGEST_NAME_BYTES = 200
"""Of a record, without ending; longer ones end with a hash."""
_CRC_DIGITS = 8


class Record:
    """The lines of one recording; `remark` tells what could not be used of them."""

    def __init__(self, path: Path, file: Any, setting: Mapping[str, Any]) -> None:
        self._path = path
        self._file = file
        self._crc = 0
        self.segments: list[Segment] = []
        self.n_chunks = 0
        """Steps of the network that the utterances reach."""
        self.audio_s: float | None = None
        """Length of the recording; None where it is not done."""
        self.written: set[str] = set()
        """Endings of the texts that were written."""
        self.remark: str | None = None
        self.is_new = not os.fstat(file.fileno()).st_size
        """Whether no earlier run left anything."""
        try:
            self._read(dict(setting))
        except OSError as error:
            raise _unwritable(path, error) from error

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

    def add_written(self, ending: str) -> None:
        """Note that all of it was written to a file with that ending."""
        self.written.add(ending)
        self._write({"written": ending})

    def _read(self, setting: dict[str, Any]) -> None:
        """Take what lines tell up to the first that is damaged; it and all behind go.

        Begins anew where the setting, which stands first, is another.
        """
        self._file.seek(0)
        n_bytes = 0
        for text in iter(lambda: self._file.readline(LONGEST_LINE_BYTES), b""):
            line = _whole(text, self._crc)
            if n_bytes == 0 and line is not None and line != {"setting": setting}:
                self.remark = _departure(line, setting)
                break
            if line is None or not (n_bytes == 0 or self._take(line)):
                self.remark = f"{self._path}: damaged; goes on from {self._reached()}"
                break
            self._crc = zlib.crc32(text[_CRC_DIGITS + 1 :], self._crc)
            n_bytes += len(text)
        self._file.truncate(n_bytes)
        if not n_bytes:
            self._write({"setting": setting})

    def _take(self, line: Mapping[str, Any]) -> bool:
        """Take what a line tells; returns whether it tells anything."""
        try:
            if "segment" in line:
                segment = Segment.from_json(line["segment"])
                self.n_chunks = int(line["n_chunks"])
                self.segments.append(segment)
            elif "audio_s" in line:
                self.audio_s = float(line["audio_s"])
            else:
                self.written.add(str(line["written"]))
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def _reached(self) -> str:
        n = len(self.segments)
        return f"utterance {n + 1}" if n else "the beginning"

    def _write(self, line: Mapping[str, Any]) -> None:
        data = (json.dumps(line) + "\n").encode()
        self._crc = zlib.crc32(data, self._crc)
        data = b"%08x " % self._crc + data
        try:
            if os.write(self._file.fileno(), data) < len(data):
                raise OSError(None, "the disk is full")
        except OSError as error:
            raise _unwritable(self._path, error) from error


@contextmanager
def open_record(
    folder: Path, name: str, setting: Mapping[str, Any]
) -> Iterator[Record]:
    """Yield the record of a file that is transcribed into a folder.

    `setting` is what decides the text; a record of another setting, or one that is
    damaged from its beginning on, is begun anew. Raises SettingError if it cannot be
    written, or another run is at it.
    """
    path = folder / FOLDER / f"{_short(name)}.jsonl"
    check_regular(path, "a record of tiedge transcribe; remove it", SettingError)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.fdopen(os.open(path, flags, 0o666), "a+b")
    except OSError as error:
        raise _unwritable(path, error) from error
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


def _short(name: str) -> str:
    """Return a name that the system takes as one of a file, the folders kept."""
    folder, slash, last = name.rpartition("/")
    data = os.fsencode(last)
    if len(data) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(data).hexdigest()[:16]
    cut = data[: LONGEST_NAME_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{folder}{slash}{cut}-{digest}"


def _whole(text: bytes, before: int) -> dict[str, Any] | None:
    """Return what a line holds; None unless it is as it was written."""
    data = text[_CRC_DIGITS + 1 :]
    if not text.endswith(b"\n") or text != b"%08x " % zlib.crc32(data, before) + data:
        return None
    try:
        line = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _departure(line: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    """Say why the record that begins with `line` is not of this setting."""
    before = line.get("setting")
    before = before if isinstance(before, dict) else {}
    differ = {key for key in setting if before.get(key) != setting[key]}
    if "source" in differ:
        return f"was {before.get('source')} in the last run; transcribed anew"
    if differ & {"bytes", "changed_ns", "beginning_crc32"}:
        return "changed since the last run; transcribed anew"
    return "the last run had another bundle or other options; transcribed anew"


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError(f"{path}: cannot be written: {error.strerror or error}")
