"""The words that a transcript may hold, as a tree of their letters."""

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
    """Place in the alphabet of its last letter; of the root, that of the space."""
    following: dict[int, Node] = field(default_factory=dict)
    word: int = -1
    """The word that is spelled so, or −1."""
    ahead: float = 0.0
    """What the best word that begins so adds to a score, where a text begins."""


def make_tree(
    alphabet: Sequence[str], words: Sequence[str], gains: Sequence[float]
) -> Node:
    """Return the root of the tree of words; each is spelled in symbols of the alphabet.

    Of two words that are spelled alike, the last one counts; those spelled with no
    letter cannot be said.
    """
    place = symbol_places(alphabet)
    root = Node(place[" "], ahead=NEVER)
    for word, (spelling, gain) in enumerate(zip(words, gains, strict=True)):
        if not spelling:
            continue
        node = root
        for letter in spelling:
            symbol = place[letter]
            known = node.following.get(symbol)
            if known is None:
                known = node.following[symbol] = Node(symbol, ahead=gain)
            known.ahead = max(known.ahead, gain)
            node = known
        node.word = word
        root.ahead = max(root.ahead, gain)
    return root
