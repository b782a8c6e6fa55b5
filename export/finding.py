"""What a bundle's model file holds, read from itself, beside what bundle.json says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import ModelFile, Sharing
from edge_runtime.errors import SharingError
from export.audit import report_by_hash, self_contained
from export.sharing_report import SharingReport
from export.transfer import compressed_bytes

BYTES = ("unique_bytes", "stored_bytes", "duplicate_bytes")


@dataclass(frozen=True)
class Finding:
    """One model file of a bundle, with what its own constants say."""

    model: ModelFile
    compressed_bytes: int
    report: SharingReport | None
    """None where what reads the format is not installed; its uses stand in the order
    of bundle.json's entry points."""
    stored_as: Mapping[str, str]
    """Weight name to its precision in words, as far as was read."""

    @property
    def shown(self) -> SharingReport | Sharing:
        """The report, or what bundle.json says where there is none."""
        return self.report or self.model.sharing

    @property
    def uses(self) -> Mapping[str, Mapping[str, int]] | None:
        """Weight name to entry point to uses; None where the file was not read."""
        return None if self.report is None else self.report.uses

    @property
    def distinct(self) -> Mapping[str, int]:
        """Weight name to how many different numbers it holds, as far as was read."""
        return {} if self.report is None else self.report.distinct

    @property
    def agrees(self) -> bool:
        """Whether the file holds what bundle.json says."""
        return self.report is None or _figures(self.report) == _figures(
            self.model.sharing
        )

    def difference(self) -> SharingError:
        """Return the error for a file that does not agree."""
        recorded, found = self.model.sharing, self.shown
        duplicates = () if self.report is None else self.report.duplicates
        worst = max(duplicates, key=lambda d: d.bytes, default=None)
        named = "" if worst is None else f" ({worst.name}: {worst.reason})"
        return SharingError(
            f"{self.model.path}: holds {found.stored_bytes} bytes of weights,"
            f" {found.duplicate_bytes} of them duplicates{named}; bundle.json says"
            f" {recorded.stored_bytes} and {recorded.duplicate_bytes}; the file was"
            " changed after export, export it again"
        )


def find(bundle: Bundle, model: ModelFile) -> Finding:
    """Read one model file of a bundle, without the source; errors as `audit`."""
    data = model.path.read_bytes()
    if model.format == "tflite" and find_spec("ai_edge_litert") is None:
        return Finding(model, compressed_bytes(data), None, {})
    name = model.path.name
    file = self_contained(data, model.format, str(model.path))
    report = report_by_hash(
        _ordered(file.entry_points, model),
        file.constants,
        {weight.name: weight.stored.get(name, ()) for weight in bundle.fingerprint},
        {weight.name: weight.shape for weight in bundle.fingerprint},
    )
    kinds = {c.sha256: c.views[0].stored_as for c in file.constants if c.views}
    stored_as = {
        name: kinds[hashes[0]] for name, hashes in report.stored.items() if hashes
    }
    return Finding(model, compressed_bytes(data), report, stored_as)


def _ordered(found: Sequence[str], model: ModelFile) -> list[str]:
    """Return a file's entry points in bundle.json's order; the formats have their own.

    Those that bundle.json lacks come last.
    """
    listed = [signature.name for signature in model.signatures]
    return sorted(found, key=lambda n: listed.index(n) if n in listed else len(listed))


def byte_counts(sharing: SharingReport | Sharing) -> dict[str, int]:
    """Return the three byte counts by name."""
    numbers = (sharing.unique_bytes, sharing.stored_bytes, sharing.duplicate_bytes)
    return dict(zip(BYTES, numbers, strict=True))


def _figures(sharing: SharingReport | Sharing) -> tuple[Any, ...]:
    """Return what must not change after export."""
    weights = tuple((w.name, w.unique_bytes, w.stored_bytes) for w in sharing.weights)
    return byte_counts(sharing), weights, sum(w.uses for w in sharing.weights)
