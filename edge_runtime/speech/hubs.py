"""Hubs: what many paths come to, and the best of them goes on from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Scores = NDArray[np.float64]


class Hubs:
    """Groups of ways into a hub each; none is empty.

    With them, all ends of words meet all beginnings at the cost of their sum, where
    ways from each to each would cost their product.
    """

    def __init__(self, groups: Sequence[Sequence[int]]) -> None:
        lengths = np.array([len(group) for group in groups], np.intp)
        self.members: Indices = np.array(
            [m for group in groups for m in group], np.intp
        )
        """Those of one group behind those of another."""
        self._first = np.cumsum(lengths) - lengths
        self._hub = np.repeat(np.arange(len(groups)), lengths)
        self._places = np.arange(len(self.members))

    def best_two(
        self, states: Indices, scores: Scores, symbols: Indices
    ) -> tuple[Indices, Indices]:
        """Return each hub's best state, and its best one with another symbol.

        All three are given for each member. Of equal scores the first one counts; where
        all with another symbol are impossible, the second result is the first member.
        """
        best = self._first_best(scores)
        is_same = symbols == symbols[best][self._hub]
        second = self._first_best(np.where(is_same, -np.inf, scores))
        return states[best], states[second]

    def _first_best(self, scores: Scores) -> Indices:
        """Return the place of each hub's first member with its highest score."""
        highest = np.maximum.reduceat(scores, self._first)
        is_highest = scores == highest[self._hub]
        places = np.where(is_highest, self._places, len(scores))
        found: Indices = np.minimum.reduceat(places, self._first)
        return found
