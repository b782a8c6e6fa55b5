"""Files that are kept because making them takes long, and that can be made again."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import DataError, SettingError
from edge_runtime.files import replacing


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only process that makes files in a folder; the next one waits.

    The processes of a `torchrun` all need the same caches: look again, within the
    block, for what is missing. A folder that cannot be locked, as some network drives
    cannot, is not.
    """
    descriptor = None
    try:
        with suppress(OSError):  # whoever writes there says why it cannot be written
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            _lock(descriptor, folder)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{folder}: waiting for a process that fills it", file=sys.stderr)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def caching(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well.

    Raises SettingError as `replacing` does, at once where the folder cannot be written:
    nothing is made in vain.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except SettingError as error:
        raise SettingError(
            f"{error}; make room there, or name another folder for caches with"
            " XDG_CACHE_HOME"
        ) from error


def damaged(path: Path) -> DataError:
    """Return the error for a file that does not hold what was written into it."""
    return DataError(f"{path}: damaged; delete it, it is made again")
