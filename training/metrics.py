"""The numbers that recipes are scored by."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(expected: Sequence[object], found: Sequence[object]) -> int:
    """Return the fewest insertions, deletions and replacements between two sequences.

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(expected, start=1):
        above_left, row[0] = row[0], i
        for j, given in enumerate(found, start=1):
            replaced = above_left + (wanted != given)
            above_left = row[j]
            row[j] = min(replaced, row[j] + 1, row[j - 1] + 1)
    return row[-1]


def word_errors(expected: str, found: str) -> int:
    """Return the word errors of a text; both are normalized."""
    return edit_distance(expected.split(), found.split())


def letter_errors(expected: str, found: str) -> int:
    """Return the errors in symbols, spaces included; both are normalized."""
    return edit_distance(expected, found)
