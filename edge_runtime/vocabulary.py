"""CTC with a closed vocabulary: the best path that spells known words alone.

Viterbi search over a graph of the words' letters (token passing; Young et al.,
CUED/F-INFENG/TR.38, 1989): rest and space between words, and for each word its letters
with an optional blank behind each but the last. One token per state, so the cost of a
step is the same however long the recording gets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REST, SPACE = 0, 1
"""The states between words: blank, and the space symbol."""

Words = tuple["Words", int] | None
"""Words heard so far: all but the last, and the last one's index; None for none."""


class VocabularyDecoder:
    """Grows a text of known words from logits that arrive in blocks of any length.

    Every word is spelled in symbols of the alphabet, which has a space.
    """

    def __init__(
        self, alphabet: Sequence[str], blank: int, vocabulary: Sequence[str]
    ) -> None:
        self._vocabulary = tuple(vocabulary)
        graph = _Graph(alphabet, blank, vocabulary)
        self._emits = np.array(graph.emits)
        self._first = graph.first
        self._before = graph.before()  # (state, choice): states that may come before
        self._complete = (REST, SPACE, *graph.ends)
        self._scores = np.full(len(graph.emits), -np.inf)
        self._scores[REST] = 0.0
        self._words: list[Words] = [None] * len(graph.emits)

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Take the logits, (T, V), of the next steps; ties go to the first state."""
        wide = logits.astype(np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
        for log_probabilities in wide:
            self._step(log_probabilities)

    @property
    def text(self) -> str:
        """The words of the best path so far; a word counts once its last letter came.

        Later steps may replace words, until the recording ends.
        """
        best = int(np.argmax(self._scores))
        words = self._words[best]
        if best not in self._complete and words is not None:
            words = words[0]
        return self._spelled(words)

    def finish(self) -> str:
        """Return the words of the best path that ends with a whole word, or in rest."""
        whole = list(self._complete)
        best = whole[int(np.argmax(self._scores[whole]))]
        return self._spelled(self._words[best])

    def _spelled(self, words: Words) -> str:
        spelled = []
        while words is not None:
            words, word = words
            spelled.append(self._vocabulary[word])
        return " ".join(reversed(spelled))

    def _step(self, log_probabilities: NDArray[np.float64]) -> None:
        candidates = self._scores[self._before]  # (state, choice)
        choice = np.argmax(candidates, axis=1)
        states = np.arange(len(choice))
        came_from = self._before[states, choice]
        scores = candidates[states, choice] + log_probabilities[self._emits]
        self._scores = scores - scores.max()
        words = [self._words[state] for state in came_from]
        for word, state in enumerate(self._first):
            if came_from[state] != state:
                words[state] = (words[state], word)
        self._words = words


class _Graph:
    """States by number: rest, space, then each word's letters and blanks."""

    def __init__(
        self, alphabet: Sequence[str], blank: int, vocabulary: Sequence[str]
    ) -> None:
        symbols = {symbol: index for index, symbol in enumerate(alphabet)}
        self.emits = [blank, symbols[" "]]
        self.first: list[int] = []
        self.ends: list[int] = []
        self._edges: list[tuple[int, int]] = [(REST, SPACE), (SPACE, REST)]
        for word in vocabulary:
            self._spell([symbols[letter] for letter in word], blank)
        for end in self.ends:
            self._edges += [(end, REST), (end, SPACE)]
        for first in self.first:
            self._edges += [(REST, first), (SPACE, first)]
            self._edges += [
                (end, first)
                for end in self.ends
                if self.emits[end] != self.emits[first]
            ]

    def _spell(self, letters: Sequence[int], blank: int) -> None:
        before: int | None = None
        for letter in letters:
            state = self._add(letter)
            if before is None:
                self.first.append(state)
            else:
                self._edges.append((before, state))
                if self.emits[before - 1] != letter:
                    self._edges.append((before - 1, state))
            before = self._add(blank)
            self._edges.append((state, before))
        self.emits.pop()  # no blank of its own behind the last letter: that is rest
        self._edges.pop()
        self.ends.append(len(self.emits) - 1)

    def _add(self, emits: int) -> int:
        self.emits.append(emits)
        return len(self.emits) - 1

    def before(self) -> NDArray[np.intp]:
        """Return, for each state, the states that may come before it, itself first.

        Rows are filled up with the state itself.
        """
        rows: list[list[int]] = [[state] for state in range(len(self.emits))]
        for source, target in self._edges:
            rows[target].append(source)
        width = max(len(row) for row in rows)
        return np.array([row + row[:1] * (width - len(row)) for row in rows], np.intp)
