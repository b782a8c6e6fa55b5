"""The words that a transcript may hold, as a tree of their symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from edge_runtime.speech.words import symbol_places

NEVER = -inf


@dataclass
class Node:
    """A beginning of words."""

    symbol: int
    """Place of its last symbol; of the root, that of the space."""
    following: dict[int, Node] = field(default_factory=dict)
    words: list[int] = field(default_factory=list)
    """Those that are spelled so; several where they sound alike."""
    ahead: float = 0.0
    """What the best word that begins so adds to a score, where a text begins."""


def make_tree(
    symbols: Sequence[str], words: Sequence[Sequence[str]], gains: Sequence[float]
) -> Node:
    """Return the root of the tree of words; each is spelled in `symbols`.

    Those spelled with no symbol cannot be said.
    """
    place = symbol_places(symbols)
    root = Node(place[" "], ahead=NEVER)
    for word, (spelling, gain) in enumerate(zip(words, gains, strict=True)):
        if not spelling:
            continue
        node = root
        for name in spelling:
            symbol = place[name]
            known = node.following.get(symbol)
            if known is None:
                known = node.following[symbol] = Node(symbol, ahead=gain)
            known.ahead = max(known.ahead, gain)
            node = known
        node.words.append(word)
        root.ahead = max(root.ahead, gain)
    return root
