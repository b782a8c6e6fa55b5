"""Which recordings are transcribed, and what their texts are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import AudioError, DataError

ENDINGS = frozenset(
    {
        ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif",
        ".aiff", ".au", ".caf", ".wma", ".amr", ".mka", ".mp4", ".mkv", ".webm",
        ".mov", ".avi",
    }
)  # fmt: skip
"""Files of a folder that are taken for recordings."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to transcribe; there may be many of these."""

    file: str
    name: str
    """Of its texts, without ending: the path below the folder that was asked for."""

    @property
    def source(self) -> Path:
        """Where it lies."""
        return Path(self.file)


@dataclass(frozen=True)
class Listing:
    """What is to be transcribed."""

    recordings: tuple[Recording, ...]
    closed: dict[str, str]
    """Folders that could not be read to why; recordings may lie there."""


def list_recordings(sources: Sequence[Path]) -> Listing:
    """Return the files, and those below the folders, hidden ones passed over.

    Links to folders are not followed. Raises DataError for a folder without recordings,
    AudioError for one that cannot be read.
    """
    found: list[Recording] = []
    closed: dict[str, str] = {}
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112 (Path.is_dir raises for long names)
            below = list(_below(str(source), closed))
            if str(source) in closed:
                raise AudioError(closed[str(source)])
            if not below and not closed:
                raise DataError(
                    f"{source}: holds no recording, expected some of"
                    f" {' '.join(sorted(ENDINGS))}"
                )
            found += below
        else:
            found.append(Recording(str(source), source.stem or source.name))
    return Listing(tuple(found), closed)


def check_names(recordings: Sequence[Recording]) -> None:
    """Raise AudioError where the texts of two recordings would have one name."""
    names: dict[str, Recording] = {}
    for recording in recordings:
        other = names.setdefault(recording.name, recording)
        if other is not recording:
            raise AudioError(
                f"{recording.file}: its text would have the name of that of"
                f" {other.file}, {recording.name}; transcribe them apart"
            )


def _below(folder: str, closed: dict[str, str]) -> Iterator[Recording]:
    """Yield what lies below a folder, in order; adds to `closed` what cannot be read.

    It holds the names of one folder at a time, and those of folders yet to be read.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
                inner = [e.path for e in shown if e.is_dir(follow_symlinks=False)]
        except OSError as error:
            closed[here] = f"{here}: cannot be read: {error.strerror}"
            continue
        waiting += sorted(inner, reverse=True)
        for path in sorted({entry.path for entry in shown} - set(inner)):
            below = path.removeprefix(folder).lstrip("/")
            name, ending = os.path.splitext(below)  # noqa: PTH122
            if ending.lower() in ENDINGS:
                yield Recording(path, name)
