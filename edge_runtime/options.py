"""The command line's common options and output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from edge_runtime.errors import SettingError

ENGINES = ("litert", "executorch", "tflite-runtime", "tensorflow", "torch")
MAX_THREADS = 256
PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weight", "int4-weight")


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are SettingErrors: one line, exit status 1."""

    def error(self, message: str) -> NoReturn:
        """Raise SettingError."""
        raise SettingError(f"{message}; see {self.prog} --help")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add --engine, --precision, --depth, --threads and --seed."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="litert", help="default litert"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="int8", help="default int8"
    )
    parser.add_argument(
        "--depth", type=int, help="how often the block runs; default the deepest"
    )
    parser.add_argument("--threads", type=_threads, default=1, help="default 1")
    parser.add_argument("--seed", type=int, default=0, help="default 0")


def _threads(text: str) -> int:
    """Return the number; refuses so many that the machine would run out of them."""
    try:
        n_threads = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from error
    if n_threads > MAX_THREADS:
        raise argparse.ArgumentTypeError(
            f"found {n_threads}, expected at most {MAX_THREADS}"
        )
    return n_threads


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(result, indent=2, ensure_ascii=False))
