"""Files that appear whole or not at all."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import SettingError, TiedgeError

UNFINISHED = ".tiedge-"
"""How names of unfinished files begin; the process that writes one comes next."""


def check_regular(path: Path, what: str, error: type[TiedgeError]) -> None:
    """Raise `error` for a folder, a device or a pipe; `what` is what was expected.

    Reading those fails, waits for a writer or never ends. A path that leads nowhere
    passes, as only the opening knows why.
    """
    if os.path.isdir(path):  # noqa: PTH112 (Path's tests raise for long names)
        raise error(f"{path}: is a folder, expected {what}")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise error(f"{path}: is a device or a pipe, expected {what}")


class WholeFile(io.BufferedWriter):
    """A file that is written whole, or an error says so.

    Encoders in C that are given a descriptor write to it themselves, and take what a
    full disk or a limit has cut short for success. This one they have to ask.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well.

    The temporary file lies beside `path` with the same ending, so the rename is
    atomic and writers that look at the ending behave. A failure leaves `path` as
    it was and removes the temporary file; `is_left_over` knows one that a killed
    program left.

    Raises SettingError where the folder cannot be written or the disk is full.
    """
    # Without the stem, which may be as long as the system allows.
    name = f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    temporary = path.with_name(name)
    try:
        # A signal may end the program just after the file was made: within the block.
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def is_left_over(path: Path) -> bool:
    """Return whether `replacing` made this file for a process that is no more."""
    found = re.fullmatch(rf"{re.escape(UNFINISHED)}(\d+)-[0-9a-f]{{8}}\..*", path.name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError(f"{path}: cannot be written: {error.strerror or error}")
