"""The sharing report of a file: weights, duplicates and structure, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.bundle_parts import SharedWeight

NAME_LETTERS = 44
"""Longer names are cut in tables."""
N_DUPLICATES = 3
"""So many are named in a summary, the largest ones."""


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
    uses: Mapping[str, Mapping[str, int]]
    """Weight name to entry point to how many operators read it in one run of that; a
    weight's `uses` are their sum."""
    stored: Mapping[str, tuple[str, ...]]
    """Weight name to the SHA-256 of each constant that holds it: the part of
    bundle.json's "fingerprint" that belongs to this file."""
    forms: Mapping[str, tuple[str, ...]]
    """Weight name to layout and precision of each of those constants."""
    distinct: Mapping[str, int]
    """Weight name to how many different numbers it holds, as `distinct_values`; lacks
    what the file does not hold or what is not to be counted."""

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


def sharing_summary(report: SharingReport) -> list[str]:
    """Return the report in few lines: bytes, the most used weight, and what is wrong.

    Uses stand for each entry point in turn, as `uses_legend` says.
    """
    lines = [
        f"weights: {report.unique_bytes:,} unique bytes, {report.stored_bytes:,}"
        f" stored, {report.duplicate_bytes:,} duplicate"
    ]
    most = max(report.weights, key=lambda w: (w.uses, w.unique_bytes), default=None)
    if most is not None:
        uses = uses_text(report.uses[most.name])
        lines.append(f"most used: {_shortened(most.name)}, {uses} times")
    largest = sorted(report.duplicates, key=lambda d: -d.bytes)
    lines += _duplicate_lines(largest[:N_DUPLICATES])
    if len(largest) > N_DUPLICATES:
        lines.append(f"  and {len(largest) - N_DUPLICATES} more: --weights")
    return lines + _missing_lines(report)


def sharing_table(report: SharingReport) -> str:
    """Return the report as text: a row per weight, then whatever else is stored.

    Uses stand for each entry point in turn, as `uses_legend` says.
    """
    rows: list[tuple[str, ...]] = [
        ("weight", "shape", "uses", "unique", "stored", "values")
    ]
    for weight in report.weights:
        shape = "×".join(map(str, weight.shape)) or "1"
        uses = uses_text(report.uses[weight.name])
        sizes = (f"{weight.unique_bytes:,}", f"{weight.stored_bytes:,}")
        values = str(report.distinct.get(weight.name, "–"))
        rows.append((_shortened(weight.name), shape, uses, *sizes, values))
    rows.append(
        ("total", "", "", f"{report.unique_bytes:,}", f"{report.stored_bytes:,}", "")
    )
    lines = [_aligned(row, rows) for row in rows]
    lines.append(f"duplicate bytes: {report.duplicate_bytes:,}")
    lines += _duplicate_lines(report.duplicates)
    structural = sum(constant.bytes for constant in report.structural)
    lines.append(
        f"structural bytes: {structural:,} in {len(report.structural)} constants"
    )
    return "\n".join(lines + _missing_lines(report))


def uses_text(uses: Mapping[str, int]) -> str:
    """Return a weight's uses in one run of each entry point.

    >>> uses_text({"depth_1": 1, "depth_2": 2, "depth_4": 4})
    '1/2/4'
    """
    return "/".join(map(str, uses.values()))


def uses_legend(report: SharingReport) -> str:
    """Return what `uses_text` counts in this report."""
    entry_points = dict.fromkeys(name for uses in report.uses.values() for name in uses)
    return (
        "uses: how many operators read the weight in one run of"
        f" {'/'.join(entry_points)}"
    )


def stored_line(report: SharingReport, stored_as: Mapping[str, str]) -> str:
    """Return the bytes of weights by precision; `stored_as` maps a weight to its."""
    counts: Counter[str] = Counter()
    for weight in report.weights:
        if weight.name in stored_as:
            counts[stored_as[weight.name]] += weight.unique_bytes
    kinds = [f"{kind} {n_bytes:,}" for kind, n_bytes in counts.most_common() if n_bytes]
    return f"stored as: {', '.join(kinds) or 'no weights'}"


def _duplicate_lines(duplicates: Sequence[DuplicateConstant]) -> list[str]:
    return [f"  {d.bytes:,} {_shortened(d.name)}: {d.reason}" for d in duplicates]


def _missing_lines(report: SharingReport) -> list[str]:
    return [f"not in this file: {', '.join(report.missing)}"] if report.missing else []


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
