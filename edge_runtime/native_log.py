"""Native libraries' chatter, kept off the terminal."""

from __future__ import annotations

import atexit
import functools
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LITERT_LINE = re.compile(rb"(VERBOSE|INFO|WARNING|ERROR): ")
LIBTIFF_LINE = re.compile(rb"(?!\w*(Error|Exception): )\w+: .*\.$")
MPG123_LINE = re.compile(rb"\[src/libmpg123/|(Note|Warning): |\s*$")
STDERR = 2
_one_at_a_time = threading.Lock()


@contextmanager
def silenced(chatter: re.Pattern[bytes]) -> Iterator[None]:
    """Drop the lines of native code that reach stderr inside the block.

    LiteRT prints twenty lines per model, libmpg123 and libtiff some per damaged file,
    and none of them offers a setting against it. Lines that do not begin as `chatter`
    says are passed on afterwards.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as caught:
        try:
            terminal = os.dup(STDERR)
        except OSError:  # A service without stderr has nothing to silence.
            yield
            return
        os.dup2(caught.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)
            caught.seek(0)
            for line in caught:
                if not chatter.match(line):
                    os.write(STDERR, line)


@functools.cache
def silence_exit() -> None:
    """Send native code's last words at the interpreter's exit nowhere.

    LiteRT logs from destructors that run after all Python code. Tracebacks are
    printed before that.
    """
    atexit.register(_close_stderr)


def _close_stderr() -> None:
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
