#!/usr/bin/env python3
"""The one command: a table of verbs, each run by the package that knows how.

No package is imported before its verb runs, so help is quick and the device install
does not need what only training needs.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import NamedTuple, NoReturn

from edge_runtime import __version__
from edge_runtime.errors import SettingError, TiedgeError, missing_package, one_line


class Verb(NamedTuple):
    """One thing that tiedge does."""

    function: str
    """`package.module:function`; takes the arguments, returns the exit status."""
    summary: str


VERBS = {
    "filter": Verb(
        "edge_runtime.commands.filter:run", "restore a picture, or a folder of them"
    ),
    "live": Verb(
        "edge_runtime.commands.live:run", "filter a camera, a video or a stream live"
    ),
    "listen": Verb(
        "edge_runtime.commands.listen:run", "turn a microphone into text as one speaks"
    ),
    "write": Verb(
        "edge_runtime.commands.write:run", "continue a text with the language model"
    ),
    "transcribe": Verb(
        "edge_runtime.commands.transcribe:run", "turn recordings into text"
    ),
    "train": Verb("training.commands.train:run", "train a recipe, or go on with a run"),
    "evaluate": Verb(
        "training.commands.evaluate:run", "measure a checkpoint or bundle on its task"
    ),
    "export": Verb(
        "export.commands.export:run", "turn a checkpoint into a proven bundle"
    ),
    "inspect": Verb(
        "export.commands.inspect:run", "show what a bundle or model file holds"
    ),
    "bench": Verb(
        "edge_runtime.commands.bench:run", "measure latency and memory on this machine"
    ),
    "serve": Verb("demo_app.commands.serve:run", "serve the demo page"),
}

EXTRA_OF_PACKAGE = {
    "ai_edge_quantizer": "export",
    "cv2": "live",
    "executorch": "export",
    "fastapi": "demo",
    "lightning": "train",
    "litert_torch": "export",
    "matplotlib": "train",
    "safetensors": "train",
    "skimage": "evaluate",
    "sounddevice": "listen",
    "soundfile": "evaluate",
    "tensorboard": "train",
    "tensorflow": "tensorflow",
    "tflite_runtime": "tflite-runtime",
    "torch": "train",
    "torchao": "export",
    "wyoming": "listen",
    "uvicorn": "demo",
    "websockets": "demo",
}
"""Which extra brings a package that a verb may find missing."""

CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What a full or broken disk, a quota, a limit or a stdout open for reading say."""

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130
"""What shells report for a program that SIGINT ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 1 for an expected failure, 130.

    Raises SystemExit where SIGTERM or SIGHUP ends it, with the status of that.
    """
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        _prepare_streams()
        with _ended_in_order():
            try:
                return _run(verb, rest)
            finally:
                sys.stdout.flush()
    except TiedgeError as error:
        return _refuse(verb, str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        _let_stdout_go()
        return EXIT_FAILURE
    except MemoryError:
        return _refuse(
            verb, "not enough free memory; end other programs, or give it less at once"
        )
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        _let_stdout_go()
        return _refuse(verb, f"cannot write: {error.strerror}")


def _refuse(verb: str, message: str) -> int:
    """Print the one line of an expected failure; return its exit status."""
    where = f"tiedge {verb}" if verb in VERBS else "tiedge"
    print(one_line(f"{where}: {message}"), file=sys.stderr)
    return EXIT_FAILURE


def _prepare_streams() -> None:
    """Make stdout and stderr fit to print any name; SettingError without a stdout.

    Where the caller has closed 0, 1 or 2, no file opened later may come to lie there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")
    if sys.stdout is None:
        raise SettingError("stdout: is closed, expected a file or pipe to print to")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block by SystemExit, so that it tidies up.

    A signal that the caller ignores, as nohup does, stays ignored.
    """
    if current_thread() is not main_thread():
        yield
        return
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _let_stdout_go() -> None:
    """Send what Python flushes as it exits nowhere, rather than print a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(verb: str, arguments: Sequence[str]) -> int:
    if verb in {"-h", "--help", "help"}:
        print(help_text())
        return 0
    if verb == "--version":
        print(f"tiedge {__version__}")
        return 0
    if verb not in VERBS:
        raise TiedgeError(f"{verb}: no such verb, expected one of {' '.join(VERBS)}")
    _check_folder()
    module, function = VERBS[verb].function.split(":")
    try:
        status: int = getattr(import_module(module), function)(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF_PACKAGE:
            raise
        raise missing_package(package, EXTRA_OF_PACKAGE[package]) from error
    return status


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise SettingError(
            f"the current folder: {error.strerror}; change to one that is there"
        ) from error


def help_text() -> str:
    """Return the usage, a line per verb.

    >>> print(help_text().splitlines()[0])
    usage: tiedge VERB [ARGUMENT...]
    """
    verbs = "\n".join(f"  {name:<11}{verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: tiedge VERB [ARGUMENT...]\n\n"
        "Train small networks that share weights, and run them on a device.\n\n"
        f"{verbs}\n\n"
        "tiedge VERB --help explains a verb; tiedge --version prints the version."
    )


if __name__ == "__main__":
    sys.exit(main())
