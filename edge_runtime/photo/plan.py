"""Which file is read and which is written; an input is never one of the latter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import DataError, PictureError
from edge_runtime.pictures import PICTURE_ENDINGS, list_pictures


@dataclass(frozen=True)
class Job:
    """One picture to filter."""

    source: Path
    target: Path


def plan(source: Path, target: Path) -> list[Job]:
    """Return what is to be read and written; touches no file.

    A folder's pictures keep their names under `target`, hidden files and folders being
    passed over; one picture goes to the file `target`, or into it if it is a folder.
    Raises PictureError, or DataError for a folder without pictures, where that would
    overwrite an input or cannot be done.
    """
    try:
        if source.is_dir():
            return _plan_folder(source, target)
        return [_plan_picture(source, target)]
    except OSError as error:  # a name too long to be one, a folder that is closed
        where = error.filename or source
        raise PictureError(f"{where}: {error.strerror}") from error


def _plan_picture(source: Path, target: Path) -> Job:
    if not source.exists():
        raise PictureError(f"{source}: no such picture or folder")
    file = target / source.name if target.is_dir() else target
    if file.suffix.lower() not in PICTURE_ENDINGS:
        raise PictureError(
            f"{file}: unknown ending {file.suffix!r}, expected a folder that exists or"
            f" one of {' '.join(sorted(PICTURE_ENDINGS))}"
        )
    _resolved(file.parent)
    if file.exists() and file.samefile(source):
        raise PictureError(f"{file}: is the input itself, expected another file")
    return Job(source, file)


def _plan_folder(source: Path, target: Path) -> list[Job]:
    if target.exists() and not target.is_dir():
        raise PictureError(
            f"{target}: is a file, expected a folder for the pictures of {source}"
        )
    if any(place.samefile(source) for place in _existing(target)):
        raise PictureError(
            f"{target}: is or lies in the input folder {source}, expected one outside"
        )
    found = [path.relative_to(source) for path in list_pictures(source)]
    jobs = [
        Job(source / path, target / path)
        for path in found
        if not any(part.startswith(".") for part in path.parts)
    ]
    if not jobs:
        raise DataError(f"{source}: holds hidden pictures alone, expected others")
    _check_links(jobs, source)
    return jobs


def _check_links(jobs: list[Job], source: Path) -> None:
    """Refuse what links below the targets' folder would make of it."""
    inputs = {_identity(job.source) for job in jobs if job.source.exists()}
    folders: dict[Path, Path] = {}
    written: dict[Path, Job] = {}
    for job in jobs:
        if job.target.exists() and _identity(job.target) in inputs:
            raise PictureError(
                f"{job.target}: is one of the inputs, expected another folder"
            )
        folder = job.target.parent
        if folder not in folders:
            if any(place.samefile(source) for place in _existing(folder)):
                raise PictureError(
                    f"{folder}: is or leads into the input folder {source}, expected"
                    " another folder"
                )
            folders[folder] = _resolved(folder)
        other = written.setdefault(folders[folder] / job.target.name, job)
        if other is not job:
            raise PictureError(
                f"{job.target}: is {other.target}, too, by a link; remove that link"
            )


def _existing(target: Path) -> Iterator[Path]:
    """Yield the folders that `target` is or lies in, links seen through."""
    place = _resolved(target)
    yield from (folder for folder in (place, *place.parents) if folder.exists())


def _resolved(path: Path) -> Path:
    """Return the path with links seen through; PictureError for a link to itself."""
    place = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for those
    for folder in (place, *place.parents):
        if folder.is_symlink():
            raise PictureError(f"{folder}: is a link to itself; remove it")
    return place


def _identity(path: Path) -> tuple[int, int]:
    """Return what a file has in common with all its names, linked or in other case."""
    found = path.stat()
    return found.st_dev, found.st_ino
