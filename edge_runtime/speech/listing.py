"""Which recordings are transcribed, and what their texts are called."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Recording:
    """A file to transcribe."""

    source: Path
    name: str
    """Of its texts, without ending: the path below the folder that was asked for."""


def list_recordings(sources: Sequence[Path]) -> list[Recording]:
    """Return the files, and those below the folders, hidden ones passed over.

    Raises DataError for a folder without recordings.
    """
    found: list[Recording] = []
    try:
        for source in sources:
            found += _below(source) if source.is_dir() else [_named(source)]
    except OSError as error:  # a name too long to be one, a folder that is closed
        raise AudioError(f"{error.filename}: {error.strerror}") from error
    return found


def check_names(recordings: Sequence[Recording]) -> None:
    """Raise AudioError where the texts of two recordings would have one name."""
    names: dict[str, Recording] = {}
    for recording in recordings:
        other = names.setdefault(recording.name, recording)
        if other is not recording:
            raise AudioError(
                f"{recording.source}: its text would have the name of that of"
                f" {other.source}, {recording.name}; transcribe them apart"
            )


def _named(source: Path) -> Recording:
    return Recording(source, source.stem or source.name)


def _below(folder: Path) -> list[Recording]:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not paths:
        raise DataError(
            f"{folder}: holds no recording, expected some of"
            f" {' '.join(sorted(ENDINGS))}"
        )
    return [
        Recording(path, str(path.relative_to(folder).with_suffix(""))) for path in paths
    ]
