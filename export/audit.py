"""Compare what a file stores with the weights of the module it was made from.

Terms (docs/sharing.md has the whole rule):

*Unique bytes*: each distinct parameter of the source module once, at the precision
in which the file stores it; of several, the smallest. *Stored bytes*: every constant
that holds a weight, or that holds anything derived from weights. Their difference is
the *duplicate bytes*. A parameter that the file does not hold counts nothing on
either side and is named under `missing`; two parameters of equal value may lie in one
constant, which counts for the first of them.

Scales and zero points are metadata and count nowhere. Constants that steer operators
(`structure.structural_role`) are listed under `structural` and count nowhere either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import SharedWeight
from edge_runtime.errors import SharingError
from export.constants import Constant, Use, count_nodes, quoted
from export.distinct import distinct_values
from export.matching import Decoded, Match, decode, match, relation
from export.sharing_report import (
    DuplicateConstant,
    SharingReport,
    StructuralConstant,
    sharing_table,
)
from export.stored_file import StoredFile, read_stored
from export.structure import is_zero_bias, structural_role

__all__ = [
    "SharingReport",
    "SourceWeight",
    "audit",
    "report_by_hash",
    "self_contained",
    "sharing_table",
]


@dataclass(frozen=True)
class SourceWeight:
    """A distinct parameter of the source module, by storage."""

    name: str
    aliases: tuple[str, ...]
    """Other names under which the module holds the same storage."""
    values: NDArray[Any]


@dataclass(frozen=True)
class _Weight:
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Candidate:
    """A constant that may hold weights, with the matches of each of its views."""

    constant: Constant
    matches: tuple[Mapping[int, Match], ...]
    """For each view, weight index to match."""
    origin: tuple[int, str] | None
    """What it was derived from, where it holds no weight: weight index, how."""


def audit(
    data: bytes, format: str, source: Sequence[SourceWeight], where: str | None = None
) -> SharingReport:
    """Return where a `.tflite` or `.pte` file stores each weight of the source.

    `format` is "tflite" or "pte"; `where` begins error messages, by default the
    format. Raises BundleError on a damaged file, SharingError on an unknown format
    and on a file whose weights lie in another one.
    """
    file = self_contained(data, format, where)
    decoded_by_source = [_candidate(constant, source) for constant in file.constants]
    weights = [_Weight(s.name, tuple(np.shape(s.values))) for s in source]
    return _report(decoded_by_source, weights, file.entry_points)


def report_by_hash(
    entry_points: Sequence[str],
    constants: Sequence[Constant],
    stored: Mapping[str, Sequence[str]],
    shapes: Mapping[str, tuple[int, ...]],
) -> SharingReport:
    """Return the report of constants whose source is known by hashes alone.

    `stored` maps each weight of the source to the SHA-256 of the constants that held
    it when the file was exported, the one that is no duplicate first.
    """
    names = list(stored)
    holders: dict[str, dict[int, Match]] = {}
    for index, name in enumerate(names):
        for rank, sha256 in enumerate(stored[name]):
            holders.setdefault(sha256, {})[index] = Match("as exported", float(rank))
    candidates = [
        _Candidate(c, tuple(holders.get(c.sha256, {}) for _ in c.views), None)
        for c in constants
    ]
    weights = [_Weight(name, shapes[name]) for name in names]
    return _report(candidates, weights, entry_points)


def self_contained(data: bytes, format: str, where: str | None) -> StoredFile:
    """Return what a file holds; errors are those of `audit`."""
    file = read_stored(data, format, where)
    if file.external:
        raise SharingError(
            f"{where or format}: tensor {quoted(file.external[0])} lies in another"
            " file; export with the weights inside"
        )
    return file


@np.errstate(all="ignore")  # a constant may hold NaN; it then equals no weight
def _candidate(constant: Constant, source: Sequence[SourceWeight]) -> _Candidate:
    decoded = [decode(view, constant.data) for view in constant.views]
    matches = []
    for view in decoded:
        found = {
            index: how
            for index, weight in enumerate(source)
            if view is not None and (how := match(view, weight.values)) is not None
        }
        matches.append(found)
    origin = None if any(matches) else _origin(decoded, source)
    return _Candidate(constant, tuple(matches), origin)


def _origin(
    views: Sequence[Decoded | None], source: Sequence[SourceWeight]
) -> tuple[int, str] | None:
    for view in views:
        for index, weight in enumerate(source):
            if view is not None and (how := relation(view, weight.values)):
                return index, how
    return None


def _report(
    candidates: Sequence[_Candidate],
    weights: Sequence[_Weight],
    entry_points: Sequence[str],
) -> SharingReport:
    book = _Book(weights, _assign(candidates))
    for index, candidate in enumerate(candidates):
        book.enter_holder(candidate, index)
    for index, candidate in enumerate(candidates):
        book.enter_other(candidate, index)
    book.merge(candidates)
    return book.close(entry_points)


def _assign(candidates: Sequence[_Candidate]) -> dict[int, tuple[int, int]]:
    """Return weight → (candidate, view), as many pairs as can be.

    A coarse constant may fit several weights: an augmenting path moves it to another
    one where that frees its weight. Small constants choose first, and each prefers
    the weight that it fits best, so that of two forms the smaller is the weight and
    the larger the duplicate.
    """
    holder: dict[int, tuple[int, int]] = {}
    order = sorted(
        range(len(candidates)), key=lambda c: (len(candidates[c].constant.data), c)
    )

    def place(node: tuple[int, int], visited: set[int]) -> bool:
        matches = candidates[node[0]].matches[node[1]]
        for weight in sorted(matches, key=lambda w: (matches[w].error, w)):
            if weight in visited:
                continue
            visited.add(weight)
            if weight not in holder or place(holder[weight], visited):
                holder[weight] = node
                return True
        return False

    for c in order:
        for view in range(len(candidates[c].matches)):
            place((c, view), set())
    return holder


class _Book:
    """The account of one file, filled constant by constant."""

    def __init__(
        self, weights: Sequence[_Weight], holder: Mapping[int, tuple[int, int]]
    ) -> None:
        self.weights = weights
        self.unique = [0] * len(weights)
        self.stored = [0] * len(weights)
        self.uses: list[tuple[Use, ...]] = [()] * len(weights)
        self.held: dict[int, list[tuple[str, str]]] = {}
        self.distinct: dict[str, int] = {}
        self.duplicates: list[DuplicateConstant] = []
        self.structural: list[StructuralConstant] = []
        self.holder = holder
        self.holders = {index for index, _ in holder.values()}

    def enter_holder(self, candidate: _Candidate, index: int) -> None:
        """Book a constant that is the one place of some weight; others are let be."""
        if index not in self.holders:
            return
        first = min(w for w, (c, _) in self.holder.items() if c == index)
        self.unique[first] += len(candidate.constant.data)
        self.stored[first] += len(candidate.constant.data)
        self._hold(candidate, index)

    def enter_other(self, candidate: _Candidate, index: int) -> None:
        """Book a constant that is no weight's one place, after all those that are."""
        constant = candidate.constant
        if index in self.holders:
            return
        if any(candidate.matches) and not _harmless(constant):
            self._repeat(candidate)
        elif (role := structural_role(constant)) is not None:
            self.structural.append(
                StructuralConstant(constant.name, len(constant.data), role)
            )
        else:
            self._derive(candidate)

    def merge(self, candidates: Sequence[_Candidate]) -> None:
        """Note weights that lie in the constant of another one of equal value."""
        for candidate in candidates:
            for matches in candidate.matches:
                for weight in sorted(set(matches) - set(self.holder)):
                    entry = (candidate.constant.sha256, matches[weight].form)
                    self.held.setdefault(weight, []).append(entry)

    def close(self, entry_points: Sequence[str]) -> SharingReport:
        """Return the report; `entry_points` are the file's, in its order."""
        rows = tuple(
            SharedWeight(
                weight.name,
                weight.shape,
                count_nodes(self.uses[i]),
                self.unique[i],
                self.stored[i],
            )
            for i, weight in enumerate(self.weights)
        )
        names = [weight.name for weight in self.weights]
        duplicate = sum(constant.bytes for constant in self.duplicates)
        held = {names[i]: self.held.get(i, []) for i in range(len(names))}
        return SharingReport(
            unique_bytes=sum(self.unique),
            stored_bytes=sum(self.unique) + duplicate,
            duplicate_bytes=duplicate,
            weights=rows,
            duplicates=tuple(self.duplicates),
            structural=tuple(self.structural),
            missing=tuple(n for i, n in enumerate(names) if i not in self.held),
            uses={
                name: {
                    entry: count_nodes(tuple(u for u in uses if u.graph == entry))
                    for entry in entry_points
                }
                for name, uses in zip(names, self.uses, strict=True)
            },
            stored={n: tuple(dict.fromkeys(s for s, _ in h)) for n, h in held.items()},
            forms={n: tuple(dict.fromkeys(f for _, f in h)) for n, h in held.items()},
            distinct=self.distinct,
        )

    def _hold(self, candidate: _Candidate, index: int) -> None:
        """Note which weights a constant holds, and who reads them."""
        for number, matches in enumerate(candidate.matches):
            mine = [w for w in matches if self.holder.get(w) == (index, number)]
            best = min(matches, key=lambda w: (matches[w].error, w), default=None)
            view = candidate.constant.views[number]
            for weight in mine or ([] if best is None else [best]):
                form = matches[weight].form
                self.held.setdefault(weight, []).insert(
                    0, (candidate.constant.sha256, form)
                )
                self.uses[weight] += view.uses
                n_values = distinct_values(view, candidate.constant.data)
                if n_values is not None:
                    self.distinct.setdefault(self.weights[weight].name, n_values)

    def _repeat(self, candidate: _Candidate) -> None:
        """Book a constant whose weights all lie in other constants as well."""
        constant = candidate.constant
        found = {w: m for matches in candidate.matches for w, m in matches.items()}
        weight = min(found, key=lambda w: (found[w].error, w))
        name, form = self.weights[weight].name, found[weight].form
        sha256, first_form = self.held[weight][0]
        if constant.sha256 == sha256:
            reason = f"byte-identical copy of {name}"
        else:
            reason = f"second form of {name}: {form} beside {first_form}"
        self.stored[weight] += len(constant.data)
        self.uses[weight] += constant.uses
        self.held[weight].append((constant.sha256, form))
        self._duplicate(constant, name, reason)

    def _derive(self, candidate: _Candidate) -> None:
        if candidate.origin is None:
            reason = "derived: holds no weight of the source"
            self._duplicate(candidate.constant, None, reason)
            return
        index, how = candidate.origin
        name = self.weights[index].name
        self._duplicate(candidate.constant, name, f"{how} {name}")

    def _duplicate(self, constant: Constant, weight: str | None, reason: str) -> None:
        readers = sorted({use.operator for use in constant.uses})
        self.duplicates.append(
            DuplicateConstant(
                constant.name,
                len(constant.data),
                weight,
                f"{reason}; read by {', '.join(readers) or 'nothing'}",
                constant.sha256,
            )
        )


def _harmless(constant: Constant) -> bool:
    """Return whether a repeated constant is one that converters write themselves."""
    alone = all(view.n_elements == 1 for view in constant.views)
    return is_zero_bias(constant) or (alone and bool(constant.uses))
