"""A bundle's folder, which appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.bundle import MANIFEST
from edge_runtime.errors import SettingError


def check_output(output: Path) -> None:
    """Raise SettingError where no bundle can be put at `output`; nothing is made.

    A folder that is no bundle is never replaced.
    """
    with writing_to(output):
        place = _place(output)
        if place.exists() and not (place / MANIFEST).is_file():
            raise SettingError(
                f"{output}: is there and is no bundle; name a folder that is not there"
                " yet"
            )
        nearest = next((p for p in place.parents if p.exists()), place)
        with tempfile.TemporaryFile(dir=nearest):
            pass


@contextmanager
def writing_to(output: Path) -> Iterator[None]:
    """Make what the operating system refuses a SettingError that names `output`."""
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"{output}: cannot be written: {error.strerror or error}"
        ) from error


@contextmanager
def replacing_folder(output: Path) -> Iterator[Path]:
    """Yield a draft folder that becomes `output` when the block ends well.

    The draft lies beside `output`, so that it can be renamed. If the block fails or is
    interrupted it is removed, with the folders above it that were made for it. Where
    `output` is a link, the folder that it leads to is replaced.

    Raises SettingError as `check_output` does, or where the disk is full.
    """
    check_output(output)
    with writing_to(output):
        place = _place(output)
        with _parents(place), _holder(place) as holder:
            draft = holder / "new"
            draft.mkdir()
            yield draft
            _swap(draft, place, holder / "old")


def _place(output: Path) -> Path:
    """Return the absolute path that `output` leads to."""
    try:
        return output.resolve()
    except RuntimeError as error:
        raise SettingError(
            f"{output}: is a link that leads to itself; name another folder"
        ) from error


@contextmanager
def _parents(place: Path) -> Iterator[None]:
    """Make the folders above `place`; a block that fails takes them away again."""
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise


@contextmanager
def _holder(place: Path) -> Iterator[Path]:
    """Yield a folder beside `place` that goes when the block ends."""
    holder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield holder
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _swap(draft: Path, place: Path, aside: Path) -> None:
    """Put the draft in its place; on failure or interrupt, put back what was there."""
    try:
        if place.exists():
            place.rename(aside)
        draft.rename(place)
    except BaseException:
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise
