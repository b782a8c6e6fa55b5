"""Files that are kept because making them takes long, and that can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import DataError, SettingError
from edge_runtime.files import replacing


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
