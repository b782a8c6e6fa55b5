"""Tables as Markdown has them."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of texts.

    >>> print(table(["depth", "ms"], [["1", "7.0"]]))
    | depth | ms |
    | --- | --- |
    | 1 | 7.0 |
    """
    marks = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, marks, *lines])
