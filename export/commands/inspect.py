"""`tiedge inspect`: what a bundle or a model file holds, and how often."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.bundle_parts import ENDINGS
from edge_runtime.errors import BundleError, SettingError
from edge_runtime.options import Parser, print_json
from export.file_finding import (
    NOT_ASKED,
    find_cost,
    find_outside,
    finding_lines,
    signatures_of,
)
from export.finding import find
from export.inspection_json import (
    bundle_result,
    checkpoint_result,
    file_result,
    repair_result,
)
from export.inspection_text import bundle_lines, report_lines
from export.repair import repair
from export.survey import survey
from export.transfer import compressed_bytes
from training.record import RECIPE_FILE, WEIGHTS_FILE, check_checkpoint

WEIGHTS_ENDING = Path(WEIGHTS_FILE).suffix
NO_SOURCE = (
    "no bundle.json, so the source is unknown: every distinct content counts as a"
    " weight, and copies that were folded, converted or transposed cannot be told"
)


def run(arguments: Sequence[str]) -> int:
    """Print the contents and the sharing report; raise SharingError if they differ."""
    options = _parser().parse_args(arguments)
    path = Path(options.target)
    # os.path, for Path raises where a name is too long to be one.
    if options.repair or options.output is not None:
        _repair_file(path, options)
    elif os.path.isfile(path):  # noqa: PTH113
        _inspect_file(path, options)
    elif os.path.isfile(path / RECIPE_FILE):  # noqa: PTH113
        _inspect_checkpoint(path, options)
    elif _names_a_path(options.target) and not os.path.exists(path):  # noqa: PTH110
        raise BundleError(
            f"{path}: no such file, expected the path of a bundle, a model file or a"
            " checkpoint, or the name of a ready-made bundle; check the path"
        )
    else:
        _inspect_bundle(find_bundle(options.target), options)
    return 0


def _inspect_file(path: Path, options: argparse.Namespace) -> None:
    model_format = _format(path)
    data = _read(path)
    found = survey(data, model_format, str(path))
    outside = find_outside(path, found)
    cost = NOT_ASKED
    if options.measure:
        cost = find_cost(path, model_format, found.file.signatures)
    if options.json:
        print_json(file_result(path, model_format, data, found, outside, cost))
        return
    print(f"{path}: {model_format}, {_sizes(data)}")
    print(NO_SOURCE)
    *weights, legend = report_lines(found.report, options.weights)
    print("\n".join([*weights, *finding_lines(found, outside, cost), legend]))


def _repair_file(path: Path, options: argparse.Namespace) -> None:
    if not options.repair:
        raise SettingError("-o: names what --repair writes; add --repair")
    if not os.path.isfile(path) or _format(path) != "tflite":  # noqa: PTH113
        raise SettingError(f"{path}: only a .tflite file can be repaired")
    done = repair(path, _read(path), options.output)
    if options.json:
        print_json(repair_result(path, done))
    elif done is None:
        print(f"{path}: nothing to repair: no constant is stored twice")
    else:
        print(done)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _inspect_checkpoint(path: Path, options: argparse.Namespace) -> None:
    check_checkpoint(path)
    # Late: a checkpoint needs torch, a bundle does not.
    from export.checkpoint_report import checkpoint_report

    report = checkpoint_report(path)
    data = (path / WEIGHTS_FILE).read_bytes()
    if options.json:
        print_json(checkpoint_result(path, data, report))
        return
    print(f"{path}: checkpoint, {_sizes(data)}")
    print("\n".join(report_lines(report, options.weights)))


def _inspect_bundle(bundle: Bundle, options: argparse.Namespace) -> None:
    findings = [find(bundle, model) for model in bundle.models]
    costs = [
        find_cost(model.path, model.format, signatures_of(model))
        if options.measure
        else NOT_ASKED
        for model in bundle.models
    ]
    if options.json:
        print_json(bundle_result(bundle, findings, costs))
    else:
        print("\n".join(bundle_lines(bundle, findings, costs, options.weights)))
    for finding in findings:
        if not finding.agrees:
            raise finding.difference()


def _names_a_path(target: str) -> bool:
    """Return whether a target cannot be the name of a ready-made bundle."""
    endings = (*ENDINGS.values(), WEIGHTS_ENDING)
    return os.sep in target or target.lower().endswith(endings)


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
        "--measure",
        action="store_true",
        help="load and run each file in a process of its own: bytes that the engine"
        " keeps for weights, and peak memory",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="write the .tflite file with byte-identical constants stored once, after"
        " comparing outputs",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="what --repair writes; default NAME.repaired.tflite beside the file, which"
        " itself is replaced if named here",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object on stdout, weights and all",
    )
    return parser
