#!/usr/bin/env python3
"""The one command: a table of verbs, each run by the package that knows how.

No package is imported before its verb runs, so help is quick and the device install
does not need what only training needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from edge_runtime import __version__
from edge_runtime.errors import TiedgeError, missing_package


class Verb(NamedTuple):
    """One thing that tiedge does."""

    function: str
    """`package.module:function`; takes the arguments, returns the exit status."""
    summary: str


VERBS = {
    "filter": Verb(
        "edge_runtime.commands.filter:run", "restore a picture, or a folder of them"
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
    "executorch": "export",
    "fastapi": "demo",
    "lightning": "train",
    "litert_torch": "export",
    "matplotlib": "train",
    "safetensors": "train",
    "skimage": "evaluate",
    "soundfile": "evaluate",
    "tensorboard": "train",
    "tensorflow": "tensorflow",
    "tflite_runtime": "tflite-runtime",
    "torch": "train",
    "torchao": "export",
    "uvicorn": "demo",
    "websockets": "demo",
}
"""Which extra brings a package that a verb may find missing."""

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130
"""What shells report for a program that SIGINT ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 1 for an expected failure, 130."""
    verb, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = _run(verb, rest)
        sys.stdout.flush()
    except TiedgeError as error:
        where = f"tiedge {verb}" if verb in VERBS else "tiedge"
        print(f"{where}: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough. Python flushes stdout once more as it exits:
        # let that go nowhere rather than print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    return status


def _run(verb: str, arguments: Sequence[str]) -> int:
    if verb in {"-h", "--help", "help"}:
        print(help_text())
        return 0
    if verb == "--version":
        print(f"tiedge {__version__}")
        return 0
    if verb not in VERBS:
        raise TiedgeError(f"{verb}: no such verb, expected one of {' '.join(VERBS)}")
    module, function = VERBS[verb].function.split(":")
    try:
        status: int = getattr(import_module(module), function)(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF_PACKAGE:
            raise
        raise missing_package(package, EXTRA_OF_PACKAGE[package]) from error
    return status


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
