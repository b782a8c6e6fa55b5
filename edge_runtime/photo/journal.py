"""What has been done to a folder, so that a second run does the rest alone."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError
from edge_runtime.files import is_left_over
from edge_runtime.photo.plan import Job

NAME = ".tiedge-filter.jsonl"
LONGEST_LINE = 65_536
"""Bytes; a line holds a path, a hash and a setting."""


class Journal:
    """A line of JSON for each picture written to a folder, the last one counting."""

    def __init__(self, folder: Path, setting: Mapping[str, Any], file: Any) -> None:
        self._folder = folder
        self._setting = dict(setting)
        self._file = file
        self._lines = dict(_read(file))
        if not _is_ended(file):
            self._append(b"\n")

    def is_done(self, job: Job, source_sha256: str | None) -> bool:
        """Return whether the target is what this setting makes of this very source."""
        return self._lines.get(self._key(job)) == self._line(job, source_sha256)

    def add(self, job: Job, source_sha256: str | None) -> None:
        """Note that a target was written, of a source that then had that hash.

        Raises SettingError where the disk is full.
        """
        line = self._line(job, source_sha256)
        self._lines[self._key(job)] = line
        self._append((json.dumps(line) + "\n").encode())

    def _append(self, line: bytes) -> None:
        try:
            # Past the buffer, which would try again when the file is closed.
            if os.write(self._file.fileno(), line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise SettingError(
                f"{self._folder / NAME}: cannot be written: {error.strerror}"
            ) from error

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
def open_journal(
    folder: Path, setting: Mapping[str, Any], jobs: Iterable[Job]
) -> Iterator[Journal]:
    """Yield the journal of a folder, which is made; this run alone writes there then.

    `setting` is what decides a picture's result beside the picture. What a run that
    was killed had begun to write beside the targets of `jobs` is removed. Raises
    SettingError if the folder cannot be written, holds something else under the
    journal's name, or another run is at it.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _open(path)
    except OSError as error:
        raise SettingError(
            f"{path}: cannot be written: {error.strerror or error}"
        ) from error
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
            _remove_left_over({job.target.parent for job in jobs})
        yield Journal(folder, setting, file)


def sha256_of(path: Path) -> str | None:
    """Return the hash of a file's content, None where it cannot be read.

    A device or a pipe is not: reading one waits for a writer or never ends.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _read(file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines by target; one that a killed run did not end is passed over."""
    file.seek(0)
    while text := file.readline(LONGEST_LINE):
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            line = json.loads(text)
            if isinstance(line["target"], str):
                yield line["target"], line


def _is_ended(file: Any) -> bool:
    """Return whether the last line is whole."""
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _open(path: Path) -> Any:
    """Return the file, made if it is missing; a link or a device is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_a_journal(path, "a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_journal(path, "a device or a pipe")
    return os.fdopen(descriptor, "a+b")


def _not_a_journal(path: Path, found: str) -> SettingError:
    return SettingError(
        f"{path}: is {found}, expected the file that tells what was done; remove it"
        " and all is done again"
    )


def _remove_left_over(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            for path in folder.iterdir():
                if is_left_over(path):
                    path.unlink()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
