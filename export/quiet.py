"""Silence for converters that talk on every channel."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

STDOUT_STDERR = (1, 2)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what converters log, warn and print from the terminal; errors still raise.

    Their native parts write to the file descriptors, so those are led away too.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere:
            warnings.simplefilter("ignore")
            with (
                _descriptors_to(nowhere),
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
            ):
                yield
    finally:
        logging.disable(before)


@contextmanager
def _descriptors_to(nowhere: TextIO) -> Iterator[None]:
    """Lead the file descriptors of stdout and stderr away, and then back again."""
    streams = (sys.stdout, sys.stderr)  # a log handler may hold on to one of them
    for stream in streams:
        stream.flush()
    kept = [os.dup(descriptor) for descriptor in STDOUT_STDERR]
    try:
        for descriptor in STDOUT_STDERR:
            os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        for stream in streams:
            stream.flush()
        for descriptor, copy in zip(STDOUT_STDERR, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
