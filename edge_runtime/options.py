"""The command line's common options and output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edge_runtime.errors import SettingError

ENGINES = ("litert", "executorch", "tflite-runtime", "tensorflow", "torch")
MAX_SEED = 2**32 - 1
PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weight", "int4-weight")

ENGINE, PRECISION = "litert", "int8"
"""The defaults."""
LEAST_FPS, MOST_FPS = 0.1, 240.0
AUTO = "auto"
"""A noise level that is judged from the picture."""

Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are SettingErrors: one line, exit status 1."""

    def error(self, message: str) -> NoReturn:
        """Raise SettingError."""
        raise SettingError(f"{message}; see {self.prog} --help")


def sigma_or_auto(text: str) -> float | None:
    """Return the number of a --sigma, or None for an estimate."""
    if text == AUTO:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a number or {AUTO}"
        ) from error


def frames_a_second(text: str) -> float:
    """Return the number of an --fps."""
    return bounded(float, LEAST_FPS, MOST_FPS, "frames a second")(text)


def path(text: str) -> Path:
    """Return the path; an empty one, as of an unset variable, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected a path")
    return Path(text)


def name_or_path(text: str) -> str:
    """Return the name or path of a bundle; an empty one says nothing."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected a name or path")
    return text


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """Add --strength and --look, which some picture bundles take."""
    parser.add_argument(
        "--strength",
        type=float,
        help="how much is done, of bundles that take it, in the range that the bundle"
        " is made for (ready-made ones: 0 to 1); default the most",
    )
    parser.add_argument(
        "--look",
        help="what is made of the picture, of bundles that offer several; default the"
        " first of those the bundle has",
    )


def add_engine_options(
    parser: argparse.ArgumentParser,
    engines: Iterable[str] = ENGINES,
    *,
    depth: bool = True,
    seed: bool = True,
) -> None:
    """Add --engine, one of `engines`, --precision, --depth, --threads and --seed.

    A verb to which depth or seed mean nothing leaves them out.
    """
    parser.add_argument(
        "--engine", choices=tuple(engines), default=ENGINE, help=f"default {ENGINE}"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISION,
        help=f"default {PRECISION}",
    )
    if depth:
        parser.add_argument(
            "--depth", type=int, help="how often the block runs; default the deepest"
        )
    add_threads_option(parser)
    if seed:
        parser.add_argument(
            "--seed",
            type=bounded(int, 0, MAX_SEED, "the 32-bit numbers"),
            default=0,
            help="default 0",
        )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Add --threads, which more threads than cores would only slow down."""
    parser.add_argument(
        "--threads",
        type=bounded(int, 1, usable_cores(), "the cores of this machine"),
        default=1,
        help=f"default 1, at most the {usable_cores()} cores of this machine",
    )


def bounded(
    read: Callable[[str], Number], low: Number, high: Number, what: str
) -> Callable[[str], Number]:
    """Return an option's type: a number from `low` to `high`; `what` explains those.

    >>> bounded(int, 0, 255, "the values of a byte")("7")
    7
    """

    def number(text: str) -> Number:
        try:
            value = read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"found {text!r}, expected a number"
            ) from error
        if not low <= value <= high:  # NaN lies nowhere
            raise argparse.ArgumentTypeError(
                f"found {text}, expected {low} to {high}, {what}"
            )
        return value

    return number


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux pins processes to cores
        return os.cpu_count() or 1


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout, escaped where stdout's encoding needs it."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")  # a stream in memory has none
    except UnicodeEncodeError:
        text = json.dumps(result, indent=2)
    print(text)
