"""The sharing report of a file: weights, duplicates and structure, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.bundle_parts import SharedWeight

NAME_LETTERS = 44
"""Longer names are cut in tables."""


@dataclass(frozen=True)
class DuplicateConstant:
    """A stored constant that sharing would have spared."""

    name: str
    """The tensor's name in the file."""
    bytes: int
    weight: str | None
    """The weight that it repeats; None for a derived constant of unknown origin."""
    reason: str
    sha256: str


@dataclass(frozen=True)
class StructuralConstant:
    """A stored constant that is no weight."""

    name: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class SharingReport:
    """Every constant of a file, told apart into weights, duplicates and structure."""

    unique_bytes: int
    stored_bytes: int
    duplicate_bytes: int
    weights: tuple[SharedWeight, ...]
    """One row per weight of the source module, in its order."""
    duplicates: tuple[DuplicateConstant, ...]
    structural: tuple[StructuralConstant, ...]
    missing: tuple[str, ...]
    """Weights that the file does not hold: not exported, or lost in derived ones."""
    stored: Mapping[str, tuple[str, ...]]
    """Weight name to the SHA-256 of each constant that holds it: the part of
    bundle.json's "fingerprint" that belongs to this file."""
    forms: Mapping[str, tuple[str, ...]]
    """Weight name to layout and precision of each of those constants."""

    def to_json(self, allowed_duplicate_bytes: int = 0) -> dict[str, Any]:
        """Return the "sharing" object of bundle.json."""
        return {
            "unique_bytes": self.unique_bytes,
            "stored_bytes": self.stored_bytes,
            "duplicate_bytes": self.duplicate_bytes,
            "allowed_duplicate_bytes": allowed_duplicate_bytes,
            "weights": [weight_json(weight) for weight in self.weights],
        }


def weight_json(weight: SharedWeight) -> dict[str, Any]:
    """Return a weight's row as bundle.json holds it."""
    return {
        "name": weight.name,
        "shape": list(weight.shape),
        "uses": weight.uses,
        "unique_bytes": weight.unique_bytes,
        "stored_bytes": weight.stored_bytes,
    }


def sharing_table(report: SharingReport) -> str:
    """Return the report as text: a row per weight, then whatever else is stored."""
    rows: list[tuple[str, ...]] = [("weight", "shape", "uses", "unique", "stored")]
    for weight in report.weights:
        shape = "×".join(map(str, weight.shape)) or "1"
        numbers = (weight.uses, weight.unique_bytes, weight.stored_bytes)
        rows.append((_shortened(weight.name), shape, *(f"{n:,}" for n in numbers)))
    rows.append(
        ("total", "", "", f"{report.unique_bytes:,}", f"{report.stored_bytes:,}")
    )
    lines = [_aligned(row, rows) for row in rows]
    lines.append(f"duplicate bytes: {report.duplicate_bytes:,}")
    for duplicate in report.duplicates:
        name = _shortened(duplicate.name)
        lines.append(f"  {duplicate.bytes:,} {name}: {duplicate.reason}")
    structural = sum(constant.bytes for constant in report.structural)
    lines.append(
        f"structural bytes: {structural:,} in {len(report.structural)} constants"
    )
    if report.missing:
        lines.append(f"not in this file: {', '.join(report.missing)}")
    return "\n".join(lines)


def _shortened(name: str) -> str:
    """Return a name's end; converters put the whole path of classes before it."""
    return name if len(name) <= NAME_LETTERS else "…" + name[1 - NAME_LETTERS :]


def _aligned(row: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(row))]
    texts = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    numbers = [
        cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)
    ]
    return "  ".join(texts + numbers).rstrip()
