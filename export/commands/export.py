"""`tiedge export`: a checkpoint to a bundle that was audited, proved and measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import SettingError
from edge_runtime.options import Parser


def run(arguments: Sequence[str]) -> int:
    """Export as the command line says; return the exit status."""
    parser = Parser(
        prog="tiedge export",
        description="Turn a checkpoint into a bundle: quantize, convert, audit, prove.",
    )
    parser.add_argument("checkpoint", type=Path, help="folder that training left")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the bundle's folder"
    )
    parser.add_argument("--formats", default="tflite,pte", help="default tflite,pte")
    parser.add_argument("--precisions", default="fp32,int8", help="default fp32,int8")
    parser.add_argument(
        "--allow-duplicates",
        action="store_true",
        help="pack files that hold a weight more than once; bundle.json states it",
    )
    options = parser.parse_args(arguments)
    # Late: torch and the converters take seconds to import.
    from export.pack import FORMATS, PRECISIONS, Order, export_bundle
    from export.plans import plan_of

    order = Order(
        output=options.output,
        formats=_chosen("--formats", options.formats, FORMATS),
        precisions=_chosen("--precisions", options.precisions, PRECISIONS),
        allow_duplicates=options.allow_duplicates,
    )
    plan = plan_of(options.checkpoint)
    bundle = export_bundle(plan, order, say=lambda line: print(line, file=sys.stderr))
    print(bundle.folder)
    return 0


def _chosen(option: str, text: str, legal: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    for name in chosen:
        if name not in legal:
            raise SettingError(
                f"{option} {text}: found {name!r}, expected some of {','.join(legal)}"
            )
    return chosen
