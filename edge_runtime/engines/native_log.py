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

LOG_LINE = re.compile(rb"(VERBOSE|INFO|WARNING|ERROR): ")
STDERR = 2
_one_at_a_time = threading.Lock()


@contextmanager
def silenced() -> Iterator[None]:
    """Drop log lines that native code writes to stderr inside the block.

    LiteRT prints twenty lines per model and offers no setting against it. Anything
    else that reaches stderr meanwhile is passed on afterwards.
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
                if not LOG_LINE.match(line):
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
