"""What can be said of a `.tflite` or `.pte` file whose source is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from export.audit import report_by_hash
from export.constants import Constant
from export.sharing_report import DuplicateConstant, SharingReport
from export.stored_file import StoredFile, read_stored
from export.structure import structural_role


@dataclass(frozen=True)
class Opaque:
    """Bytes that only one backend can read."""

    name: str
    bytes: int
    backend: str


@dataclass(frozen=True)
class Survey:
    """A file's sharing report, and what lies outside of it."""

    file: StoredFile
    report: SharingReport
    """Each distinct content that an operator reads is a weight."""
    stored_as: Mapping[str, str]
    """Weight to its precision in words."""
    opaque: tuple[Opaque, ...]
    """Payloads that cannot be read, and what nothing else reads beside them; these
    bytes count nowhere in the report."""


def survey(data: bytes, format: str, where: str | None = None) -> Survey:
    """Return the best report without a source.

    Derived copies (folded, converted, transposed) cannot be told from weights here.
    Errors are those of `read_stored`.
    """
    file = read_stored(data, format, where)
    hidden = _hidden(file.constants)
    readable = [c for c in file.constants if c.index not in hidden]
    weights = _weights(readable)
    report = report_by_hash(
        file.entry_points,
        readable,
        {name: (constant.sha256,) for name, constant in weights.items()},
        {name: constant.views[0].shape for name, constant in weights.items()},
    )
    return Survey(
        file,
        replace(
            report, duplicates=tuple(_without_source(d) for d in report.duplicates)
        ),
        {name: constant.views[0].stored_as for name, constant in weights.items()},
        tuple(
            Opaque(constant.name, len(constant.data), hidden[constant.index])
            for constant in file.constants
            if constant.index in hidden
        ),
    )


def _weights(constants: Sequence[Constant]) -> dict[str, Constant]:
    """Return the first constant of each content that is read as numbers, by name."""
    found: dict[str, Constant] = {}
    seen: set[str] = set()
    named: Counter[str] = Counter()
    for constant in constants:
        structural = structural_role(constant) is not None
        if structural or not constant.views or constant.sha256 in seen:
            continue
        seen.add(constant.sha256)
        named[constant.name] += 1
        n = named[constant.name]
        found[constant.name if n == 1 else f"{constant.name} ({n})"] = constant
    return found


def _without_source(duplicate: DuplicateConstant) -> DuplicateConstant:
    """Return it with a reason that speaks of no source."""
    if duplicate.weight is not None:
        return duplicate
    return replace(duplicate, reason="nothing reads it")


def _hidden(constants: Sequence[Constant]) -> dict[int, str]:
    """Return which constants only a backend reads, and which backend that is."""
    backends = list(dict.fromkeys(c.payload_of for c in constants if c.payload_of))
    if not backends:
        return {}
    return {
        constant.index: constant.payload_of or " or ".join(backends)
        for constant in constants
        if constant.payload_of or not (constant.views or constant.role)
    }
