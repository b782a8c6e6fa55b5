"""What has been done to a folder, so that a second run does the rest alone."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError
from edge_runtime.photo.plan import Job

NAME = ".tiedge-filter.jsonl"
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.(bmp|jpe?g|png|tiff?|webp)", re.IGNORECASE)
"""Names under which `files.replacing` writes."""


class Journal:
    """A line of JSON for each picture written to a folder, the last one counting."""

    def __init__(self, folder: Path, setting: Mapping[str, Any], file: Any) -> None:
        self._folder = folder
        self._setting = dict(setting)
        self._file = file
        self._lines = dict(_read(file))

    def is_done(self, job: Job, source_sha256: str | None) -> bool:
        """Return whether the target is what this setting makes of this very source."""
        return self._lines.get(self._key(job)) == self._line(job, source_sha256)

    def add(self, job: Job, source_sha256: str | None) -> None:
        """Note that a target was written, of a source that then had that hash."""
        line = self._line(job, source_sha256)
        self._lines[self._key(job)] = line
        self._file.write((json.dumps(line) + "\n").encode())
        self._file.flush()

    def _line(self, job: Job, source_sha256: str | None) -> dict[str, Any]:
        return {
            "target": self._key(job),
            "target_bytes": _size(job.target),
            "source_sha256": source_sha256,
            "setting": self._setting,
        }

    def _key(self, job: Job) -> str:
        return str(job.target.relative_to(self._folder))


@contextmanager
def open_journal(folder: Path, setting: Mapping[str, Any]) -> Iterator[Journal]:
    """Yield the journal of a folder, which is made; this run alone writes there then.

    `setting` is what decides a picture's result beside the picture. What a run that
    was killed had begun to write is removed. Raises SettingError if the folder cannot
    be written, or another run is at it.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise SettingError(f"{path}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingError(
                f"{folder}: another tiedge filter writes there; wait for its end"
            ) from error
        except OSError:  # a network share without locks
            pass
        else:
            _remove_unfinished(folder)
        yield Journal(folder, setting, file)


def sha256_of(path: Path) -> str | None:
    """Return the hash of a file's content, None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _read(file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines by target; one that a killed run did not end is passed over."""
    file.seek(0)
    for text in file:
        with suppress(ValueError, TypeError, KeyError):
            line = json.loads(text)
            yield line["target"], line
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _remove_unfinished(folder: Path) -> None:
    for path in folder.rglob(".*"):
        if UNFINISHED.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
