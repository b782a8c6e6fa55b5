"""`tiedge inspect`: what a bundle or a model file holds, and how often."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.bundle_parts import ENDINGS
from edge_runtime.errors import BundleError
from edge_runtime.options import Parser, print_json
from export.audit import survey
from export.finding import find
from export.inspection_json import bundle_result, file_result
from export.inspection_text import bundle_lines, report_lines
from export.transfer import compressed_bytes
from training.record import RECIPE_FILE, WEIGHTS_FILE, check_checkpoint

NO_SOURCE = (
    "no bundle.json, so the source is unknown: every distinct content counts as a"
    " weight, and copies that were folded, converted or transposed cannot be told"
)


def run(arguments: Sequence[str]) -> int:
    """Print the contents and the sharing report; raise SharingError if they differ."""
    options = _parser().parse_args(arguments)
    path = Path(options.target)
    # os.path, for Path raises where a name is too long to be one.
    if os.path.isfile(path):  # noqa: PTH113
        _inspect_file(path, options)
    elif os.path.isfile(path / RECIPE_FILE):  # noqa: PTH113
        _inspect_checkpoint(path, options)
    else:
        _inspect_bundle(find_bundle(options.target), options)
    return 0


def _inspect_file(path: Path, options: argparse.Namespace) -> None:
    model_format = _format(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    report = survey(data, model_format, str(path))
    if options.json:
        print_json(file_result(path, model_format, data, report))
        return
    print(f"{path}: {model_format}, {_sizes(data)}")
    print("\n".join([NO_SOURCE, *report_lines(report, options.weights)]))


def _inspect_checkpoint(path: Path, options: argparse.Namespace) -> None:
    check_checkpoint(path)
    # Late: a checkpoint needs torch, a bundle does not.
    from export.checkpoint_report import checkpoint_report

    report = checkpoint_report(path)
    data = (path / WEIGHTS_FILE).read_bytes()
    if options.json:
        print_json(file_result(path, "checkpoint", data, report))
        return
    print(f"{path}: checkpoint, {_sizes(data)}")
    print("\n".join(report_lines(report, options.weights)))


def _inspect_bundle(bundle: Bundle, options: argparse.Namespace) -> None:
    findings = [find(bundle, model) for model in bundle.models]
    if options.json:
        print_json(bundle_result(bundle, findings))
    else:
        print("\n".join(bundle_lines(bundle, findings, options.weights)))
    for finding in findings:
        if not finding.agrees:
            raise finding.difference()


def _sizes(data: bytes) -> str:
    return f"{len(data):,} bytes, {compressed_bytes(data):,} compressed"


def _format(path: Path) -> str:
    for model_format, ending in ENDINGS.items():
        if path.suffix.lower() == ending:
            return model_format
    raise BundleError(
        f"{path}: unknown ending {path.suffix!r}, expected a bundle's folder or one of"
        f" {' '.join(ENDINGS.values())}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge inspect",
        description="Show what a bundle or a model file holds, and how often.",
    )
    parser.add_argument(
        "target",
        metavar="BUNDLE_OR_FILE",
        help="a ready-made bundle, the path of one, a .tflite or .pte file, or the"
        " folder of a checkpoint",
    )
    parser.add_argument(
        "--weights", action="store_true", help="list every weight and every tensor"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object on stdout, weights and all",
    )
    return parser
