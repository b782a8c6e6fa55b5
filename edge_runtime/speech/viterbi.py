"""CTC with a grammar: the best path that spells sentences of it alone.

Viterbi search over a graph of the words' letters (token passing; Young et al.,
CUED/F-INFENG/TR.38, 1989): rest and space at each of the grammar's nodes, and for each
word its letters with an optional blank behind each but the last. One token per state,
so the cost of a step is the same however long the recording gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import GrammarError
from edge_runtime.speech.grammar import Grammar, Intent, intent_of
from edge_runtime.speech.words import Word

LEAST_FIT = -1.0
"""Nats a step of speech, below which a recording is not of the grammar."""
REST, SPACE = 0, 1
"""The states of a node: blank, and the space symbol."""


@dataclass(frozen=True)
class _Said:
    """A word of a path, and those before it."""

    before: _Said | None
    arc: int
    start: int
    end: int
    confidence: float


class GrammarDecoder:
    """Grows a sentence of a grammar from logits that arrive in blocks of any length."""

    def __init__(self, graph: SpelledGrammar) -> None:
        self.grammar = graph.grammar
        self._blank = graph.blank
        self._emits = graph.emits
        self._before = graph.before
        self._complete = graph.complete
        self._arc_ending = graph.arc_ending
        self._arc_of = graph.arc_of
        self._ends_word = graph.arc_ending >= 0
        n_states = len(graph.emits)
        self._scores = np.full(n_states, -np.inf)
        self._scores[REST] = 0.0
        self._said: list[_Said | None] = [None] * n_states
        self._starts = np.zeros(n_states, np.int64)
        """Step in which each state's word began; its score against `_free` then."""
        self._margins = np.zeros(n_states)
        self._total = 0.0
        """What was taken from the scores so far."""
        self._free = 0.0
        """Log probability of the best symbols, whatever they spell."""
        self._n_steps = 0
        self._n_heard = 0

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
        return " ".join(word.text for word in self.words(whole=False))

    def finish(self) -> str:
        """Return the words of the best path that ends with a whole sentence."""
        return " ".join(word.text for word in self.words(whole=True))

    def words(self, *, whole: bool) -> list[Word]:
        """Return the words so far, or of the best path that ends with a sentence."""
        best = self._best(whole=whole)
        if self._scores[best] == -np.inf:
            return []
        said = self._said[best]
        if self._ends_word[best]:
            said = self._with_word(said, best, self._n_steps, self._margin(best))
        words = []
        while said is not None:
            arc = self.grammar.arcs[said.arc]
            tag = self.grammar.slots[arc.slot] if arc.slot >= 0 else ""
            words.append(
                Word(arc.word, said.start, said.end, said.confidence, tag, arc.intent)
            )
            said = said.before
        return words[::-1]

    def intent(self) -> Intent | None:
        """Return what is asked for; None where nothing is, or not in the grammar."""
        words = self.words(whole=True)
        if not words or words[0].intent < 0 or self.fit() < LEAST_FIT:
            return None
        name = self.grammar.intents[words[0].intent]
        return intent_of(name, [(word.text, word.tag) for word in words])

    def fit(self) -> float:
        """Return how well the recording fits the grammar, in nats a step of speech.

        0 where nothing else fits better; the more below, the less it is of the grammar.
        Steps whose best symbol is a blank do not count.
        """
        whole = self._scores[self._complete].max() + self._total - self._free
        return float(whole) / max(1, self._n_heard)

    def _best(self, *, whole: bool) -> int:
        if not whole:
            return int(np.argmax(self._scores))
        return int(self._complete[np.argmax(self._scores[self._complete])])

    def _step(self, log_probabilities: NDArray[np.float64]) -> None:
        candidates = self._scores[self._before]  # (state, choice)
        choice = np.argmax(candidates, axis=1)
        states = np.arange(len(choice))
        came_from = self._before[states, choice]
        # Words that end between the last step and this one.
        left = np.flatnonzero(self._ends_word[came_from] & (came_from != states))
        said = [self._said[state] for state in came_from]
        for state in left:
            before = int(came_from[state])
            said[state] = self._with_word(
                self._said[before], before, self._n_steps, self._margin(before)
            )
        margins = self._scores[came_from] + self._total - self._free
        begins = (self._arc_of >= 0) & (self._arc_of[came_from] != self._arc_of)
        again = self._ends_word[came_from] & (came_from != states)
        begins |= again & (self._arc_of >= 0)
        self._starts = np.where(begins, self._n_steps, self._starts[came_from])
        self._margins = np.where(begins, margins, self._margins[came_from])
        scores = candidates[states, choice] + log_probabilities[self._emits]
        best = scores.max()
        self._scores = scores - best
        self._total += best
        self._free += log_probabilities.max()
        self._n_steps += 1
        self._n_heard += int(np.argmax(log_probabilities)) != self._blank
        self._said = said

    def _margin(self, state: int) -> float:
        """Return by how much a state's path is less likely than the best symbols."""
        return float(self._scores[state]) + self._total - self._free

    def _with_word(
        self, before: _Said | None, state: int, end: int, margin: float
    ) -> _Said:
        start = int(self._starts[state])
        lost = margin - float(self._margins[state])
        confidence = math.exp(min(0.0, lost / max(1, end - start)))
        return _Said(before, int(self._arc_ending[state]), start, end, confidence)


class SpelledGrammar:
    """A grammar in letters: states, and which may follow which.

    States by number: each node's rest and space, then each word's letters. Raises
    GrammarError for a word that the alphabet, which has a space, cannot spell.
    """

    def __init__(self, alphabet: Sequence[str], blank: int, grammar: Grammar) -> None:
        symbols = {symbol: index for index, symbol in enumerate(alphabet)}
        self.grammar = grammar
        self.blank = blank
        self._emits: list[int] = []
        self._arc_of: list[int] = []
        self._ends: list[int] = []
        self._edges: list[tuple[int, int]] = []
        for _ in range(grammar.n_nodes):
            rest = self._add(blank, -1)
            space = self._add(symbols[" "], -1)
            self._edges += [(rest, space), (space, rest)]
        firsts = []
        for index, arc in enumerate(grammar.arcs):
            spelled = [symbols.get(letter) for letter in arc.word]
            if not spelled or None in spelled or " " in arc.word:
                raise GrammarError(
                    f"word {arc.word!r}: expected letters of"
                    f" {''.join(symbols).strip()!r}"
                )
            letters = [symbol for symbol in spelled if symbol is not None]
            firsts.append(self._spell(letters, index))
        ending: dict[int, list[int]] = {}
        for arc, end in zip(grammar.arcs, self._ends, strict=True):
            ending.setdefault(arc.target, []).append(end)
            self._edges += [(end, state + 2 * arc.target) for state in (REST, SPACE)]
        for arc, first in zip(grammar.arcs, firsts, strict=True):
            for node in arc.sources:
                self._edges += [(state + 2 * node, first) for state in (REST, SPACE)]
                self._edges += [
                    (end, first)
                    for end in ending.get(node, ())
                    if self._emits[end] != self._emits[first]
                ]
        self.emits = np.array(self._emits)
        """Symbol of each state."""
        self.arc_of = np.array(self._arc_of)
        """The word that a state is part of, by its arc; −1 between words."""
        self.arc_ending = np.full(len(self._emits), -1)
        """The word whose last letter a state is, by its arc; −1 for others."""
        self.arc_ending[self._ends] = np.arange(len(self._ends))
        self.before = self._states_before()
        """States that may come before each, (state, choice)."""
        self.complete = self._complete_states()
        """States in which a sentence may end."""

    def _complete_states(self) -> NDArray[np.intp]:
        finals = self.grammar.finals
        states = [s + 2 * node for node in sorted(finals) for s in (REST, SPACE)]
        states += [
            end
            for arc, end in zip(self.grammar.arcs, self._ends, strict=True)
            if arc.target in finals
        ]
        return np.array(states, np.intp)

    def _spell(self, letters: Sequence[int], arc: int) -> int:
        """Add a word's states; return the first."""
        first = before = self._add(letters[0], arc)
        for letter in letters[1:]:
            gap = self._add(self.blank, arc)
            state = self._add(letter, arc)
            self._edges += [(before, gap), (gap, state)]
            if self._emits[before] != letter:
                self._edges.append((before, state))
            before = state
        self._ends.append(before)
        return first

    def _add(self, emits: int, arc: int) -> int:
        self._emits.append(emits)
        self._arc_of.append(arc)
        return len(self._emits) - 1

    def _states_before(self) -> NDArray[np.intp]:
        """Return, for each state, the states that may come before it, itself first.

        Rows are filled up with the state itself.
        """
        rows: list[list[int]] = [[state] for state in range(len(self._emits))]
        for source, target in self._edges:
            rows[target].append(source)
        width = max(len(row) for row in rows)
        return np.array([row + row[:1] * (width - len(row)) for row in rows], np.intp)
