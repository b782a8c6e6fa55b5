"""CTC with a grammar: the best path that spells sentences of it alone.

Viterbi search over the states of a spelled grammar (token passing; Young et al.,
CUED/F-INFENG/TR.38, 1989). One token per state, so the cost of a step is the same
however long the recording gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.speech.grammar import Intent, intent_of
from edge_runtime.speech.hubs import Indices
from edge_runtime.speech.spelling import REST, SpelledGrammar
from edge_runtime.speech.words import Word

LEAST_FIT = -1.3
"""Nats a step of speech, below which a recording is not of the grammar."""


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
        self._graph = graph
        n_states = len(graph.emits)
        self._states: Indices = np.arange(n_states)
        self._near = graph.near.copy()
        self._scores = np.full(n_states, -np.inf)
        self._scores[REST] = 0.0
        self._said: NDArray[np.object_] = np.full(n_states, None)
        """Words that each state's path has ended, the last one as a _Said."""
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
        """Take the logits, (T, V), of the next steps; ties go to the first state.

        Raises EngineError for logits that are not finite.
        """
        wide = self._graph.script.log_probabilities(logits)
        heard = wide.argmax(axis=1) != self._graph.script.blank
        for row, best, is_heard in zip(
            wide, wide.max(axis=1).tolist(), heard.tolist(), strict=True
        ):
            self._step(row)
            self._free += best
            self._n_heard += is_heard

    @property
    def text(self) -> str:
        """The words of the best path so far; a word counts once its last letter came.

        Later steps may replace words, until the recording ends.
        """
        return " ".join(word.text for word in self.words(whole=False))

    def finish(self) -> str:
        """Return the words of the best path that ends with a whole sentence.

        There are none where it is likelier that nothing was said at all.
        """
        return " ".join(word.text for word in self.words(whole=True))

    def words(self, *, whole: bool) -> list[Word]:
        """Return the words so far, or, as `finish` does, of a whole sentence."""
        best = self._best(whole=whole)
        if self._scores[best] == -np.inf:
            return []
        said = self._said[best]
        if self._graph.arc_ending[best] >= 0:
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

        0 where nothing else fits better; the more below, the less it is of the grammar,
        and minus infinity where it is too short for any sentence. Steps whose best
        symbol is a blank do not count.
        """
        whole = self._scores[self._graph.complete].max() + self._total - self._free
        return float(whole) / max(1, self._n_heard)

    def _best(self, *, whole: bool) -> int:
        if not whole:
            return int(np.argmax(self._scores))
        ends = self._graph.ends
        return int(ends[np.argmax(self._scores[ends])])

    def _step(self, log_probabilities: NDArray[np.float64]) -> None:
        scores, entries = self._scores, self._graph.entries
        came_from, reached = self._came_from()
        # Words that begin or end between the last step and this one.
        moved = entries[came_from[entries] != entries]
        said = self._said[came_from]
        left = moved[self._graph.arc_ending[came_from[moved]] >= 0]
        befores = came_from[left].tolist()
        ended = {
            state: self._with_word(
                self._said[state], state, self._n_steps, self._margin(state)
            )
            for state in {*befores}
        }
        said[left] = [ended[state] for state in befores]
        self._said = said
        begun = moved[2 * self.grammar.n_nodes <= moved]
        self._starts = self._starts[came_from]
        self._starts[begun] = self._n_steps
        self._margins = self._margins[came_from]
        self._margins[begun] = scores[came_from[begun]] + self._total - self._free
        reached += log_probabilities[self._graph.emits]
        best = float(reached.max())
        reached -= best
        self._scores = reached
        self._total += best
        self._n_steps += 1

    def _came_from(self) -> tuple[Indices, NDArray[np.float64]]:
        """Return the best state before each, itself before others, and its score."""
        scores, near, far = self._scores, self._near, self._graph.far
        self._graph.lead(near, scores)
        by_near = scores[near]
        came_from = np.where(by_near > scores, near, self._states)
        reached = np.maximum(scores, by_near)
        by_far = scores[far]
        came_from = np.where(by_far > reached, far, came_from)
        return came_from, np.maximum(reached, by_far)

    def _margin(self, state: int) -> float:
        """Return by how much a state's path is less likely than the best symbols."""
        return float(self._scores[state]) + self._total - self._free

    def _with_word(
        self, before: _Said | None, state: int, end: int, margin: float
    ) -> _Said:
        start = int(self._starts[state])
        lost = margin - float(self._margins[state])
        confidence = math.exp(min(0.0, lost / max(1, end - start)))
        return _Said(before, int(self._graph.arc_ending[state]), start, end, confidence)
