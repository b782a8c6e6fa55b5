"""Tables as Markdown has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_runtime.errors import DataError


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of texts.

    >>> print(table(["depth", "ms"], [["1", "7.0"]]))
    | depth | ms |
    | --- | --- |
    | 1 | 7.0 |
    """
    marks = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, marks, *lines])


def same(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[Any]:
    """Return the value that all rows have under each key.

    Raises DataError where they differ.
    """
    for key in keys:
        if len({row[key] for row in rows}) != 1:
            raise DataError(f"results: rows differ in {key!r}, expected one value")
    return [rows[0][key] for key in keys]


def decibel(value: float | None) -> str:
    """Return a PSNR as tables show it; None is that of equal pictures."""
    return "no difference" if value is None else f"{value:.2f}"
