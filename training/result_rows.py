"""What the measurements of all results files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines
from training.subject import TORCH, TORCH_PRECISION, committed_checkpoint

THREADS = 1
ENGINE, PRECISION = "litert", "int8"
"""What a device runs by default; measured more closely than the others."""

Row = dict[str, Any]
Call = Callable[..., Row]
"""Runs `tiedge` with arguments and returns its JSON object."""


def cases_of(name: str) -> list[tuple[str, ...]]:
    """Return the options of every engine and file of a bundle that can be run here."""
    bundle: Bundle = find_bundle(name)
    cases = [
        (engine, model.precision)
        for engine in installed_engines()
        for model in bundle.models
        if model.format == FORMAT_OF_ENGINE[engine]
    ]
    if committed_checkpoint(name) is not None:
        cases.append((TORCH, TORCH_PRECISION))
    return [
        ("--engine", engine, "--precision", precision, "--threads", str(THREADS))
        for engine, precision in cases
    ]


def default_of(cases: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the case that a device runs by default, or else the first."""
    return next((c for c in cases if ENGINE in c and PRECISION in c), cases[0])


def precisions_of(name: str) -> list[str]:
    """Return those of a bundle's files for ENGINE."""
    models = find_bundle(name).models
    return [m.precision for m in models if m.format == FORMAT_OF_ENGINE[ENGINE]]


def precision_of(name: str) -> str:
    """Return what a device runs of a bundle on ENGINE by default, or else the first."""
    offered = precisions_of(name)
    return PRECISION if PRECISION in offered else offered[0]


def only(row: Row, keys: str) -> Row:
    """Return some of a row's figures, named in one text."""
    return {key: row[key] for key in keys.split()}
