"""`tiedge export`: a checkpoint to a bundle that was audited, proved and measured."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edge_runtime.errors import SettingError
from edge_runtime.options import Parser
from export.order import (
    FORMATS,
    PRECISIONS,
    USUAL_PRECISIONS,
    Order,
    check_packages,
    is_function,
)
from export.output_folder import check_output
from export.worker import export_apart
from training.data import data_folder
from training.record import check_checkpoint, read_record

NOTHING_LEFT = "nothing half-written is left"


def run(arguments: Sequence[str]) -> int:
    """Export as the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    order = Order(
        output=options.output,
        formats=_chosen("--formats", options.formats, FORMATS),
        precisions=_chosen("--precisions", options.precisions, PRECISIONS),
        allow_duplicates=options.allow_duplicates,
    )
    if not is_function(options.target):
        checkpoint = Path(options.target)
        read_record(checkpoint)
        check_checkpoint(checkpoint)
        data_folder()
    check_output(order.output)
    check_packages(order)
    print(_export(options.target, order))
    return 0


def _export(target: str, order: Order) -> Path:
    """Return the bundle's folder; SIGTERM ends it as an interrupt does, in a line."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        return export_apart(target, order)
    except KeyboardInterrupt:
        print(f"tiedge export: interrupted; {NOTHING_LEFT}", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    print(f"tiedge export: ended by SIGTERM; {NOTHING_LEFT}", file=sys.stderr)
    sys.exit(128 + number)  # what shells report for a program that a signal ended


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge export",
        description="Turn a checkpoint, or a module of your own, into a bundle:"
        " quantize, convert, audit, prove.",
    )
    parser.add_argument(
        "target",
        metavar="CHECKPOINT_OR_FUNCTION",
        help="folder that training left, or package.module:function that gives an"
        " export.convert.Entry, several by name, or export.own_dial.Dial",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the bundle's folder"
    )
    parser.add_argument("--formats", default="tflite,pte", help="default tflite,pte")
    parser.add_argument(
        "--precisions",
        default=",".join(USUAL_PRECISIONS),
        help=f"some of {','.join(PRECISIONS)}; default {','.join(USUAL_PRECISIONS)}."
        " fp16, int8-weight and int4-weight change how weights are stored and are"
        " computed in float; int8 is static where there are calibration inputs, else"
        " dynamic",
    )
    parser.add_argument(
        "--allow-duplicates",
        action="store_true",
        help="pack files that hold a weight more than once; bundle.json states it",
    )
    return parser


def _chosen(option: str, text: str, legal: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    for name in chosen:
        if name not in legal:
            raise SettingError(
                f"{option} {text}: found {name!r}, expected some of {','.join(legal)}"
            )
    return chosen
