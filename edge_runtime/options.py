"""The command line's common options and output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from edge_runtime.errors import SettingError

ENGINES = ("litert", "executorch", "tflite-runtime", "tensorflow", "torch")
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
    parser.add_argument("--threads", type=int, default=1, help="default 1")
    parser.add_argument("--seed", type=int, default=0, help="default 0")


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(result, indent=2, ensure_ascii=False))
