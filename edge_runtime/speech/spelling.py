"""A grammar in letters: the states of a search, and which may follow which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.errors import GrammarError
from edge_runtime.speech.grammar import Arc, Grammar
from edge_runtime.speech.hubs import Hubs, Indices, Scores
from edge_runtime.speech.pronunciation import silent
from edge_runtime.speech.script import script_of
from edge_runtime.speech.words import symbol_places, wrong_letters

MOST_LETTERS = 200_000
"""Of all words; with more, steps would take longer than the sound that they hear."""
REST, SPACE = 0, 1
"""The states of a node: blank, and the space symbol."""


class SpelledGrammar:
    """A grammar in letters or phones: states, and which may follow which.

    States by number: each node's rest and space, then each word's symbols with an
    optional blank between two. Words meet in the nodes between them: each node is a
    hub of its rest, its space and the words that end there, and so is each set of nodes
    that words may follow.

    Raises GrammarError for a word that the alphabet cannot spell, for more than
    MOST_LETTERS, and for an alphabet without a space; SettingError as `script_of`.
    """

    def __init__(
        self,
        alphabet: Sequence[str],
        blank: int,
        grammar: Grammar,
        phones: PhonesSpec | None = None,
    ) -> None:
        _check(grammar, symbol_places(alphabet))
        self.grammar = grammar
        words = [arc.word for arc in grammar.arcs]
        self.script = script_of(words, alphabet, blank, phones)
        symbols = symbol_places(self.script.symbols)
        blank = self.script.blank
        self._emits: list[int] = []
        self._near: list[int] = []
        self._far: list[int] = []
        for _ in range(grammar.n_nodes):
            self._add(blank)
            self._add(symbols[" "])
        firsts, ends = [], []
        for arc in grammar.arcs:
            firsts.append(len(self._emits))
            spelled = [symbols[name] for name in self.script.spell(arc.word)]
            if not spelled:
                raise GrammarError(f"{_where(grammar, arc)}{silent(arc.word)}")
            self._spell(spelled)
            ends.append(len(self._emits) - 1)
        self.emits: Indices = np.array(self._emits, np.intp)
        """Symbol of each state."""
        self.near: Indices = np.array(self._near, np.intp)
        """What may come before each state: a letter's gap, a gap's letter; of states
        where words begin or end itself, as `leaders` changes from step to step."""
        self.far: Indices = np.array(self._far, np.intp)
        """What may come before instead: the letter before a letter's gap, or itself."""
        self.firsts: Indices = np.array(firsts, np.intp)
        """State of each word's first letter."""
        self.entries: Indices = np.append(np.arange(2 * grammar.n_nodes), self.firsts)
        """States that other words may come before: all of nodes, and first letters."""
        self.arc_ending: Indices = np.full(len(self.emits), -1, np.intp)
        """The word whose last letter a state is, by its arc; −1 for others."""
        self.arc_ending[np.array(ends, np.intp)] = np.arange(len(ends))
        self._connect(ends)

    def lead(self, near: Indices, scores: Scores) -> None:
        """Write what may best come before each entry from outside of its word."""
        states, n = self._nodes.members, 2 * self.grammar.n_nodes
        best, second = self._nodes.best_two(states, scores[states], self._node_symbols)
        near[REST:n:2] = near[SPACE:n:2] = best
        if self._gates is not None:
            ways = np.concatenate([self._rests, best, second])[self._gates.members]
            best, second = self._gates.best_two(ways, scores[ways], self.emits[ways])
        leader = best[self._gate_of]
        # A letter twice in a row needs a blank in between.
        is_twice = self.emits[leader] == self._first_symbols
        near[self.firsts] = np.where(is_twice, second[self._gate_of], leader)

    def _connect(self, ends: Sequence[int]) -> None:
        grammar = self.grammar
        meeting = [[REST + 2 * n, SPACE + 2 * n] for n in range(grammar.n_nodes)]
        for arc, end in zip(grammar.arcs, ends, strict=True):
            meeting[arc.target].append(end)
        self._nodes = Hubs(meeting)
        self._node_symbols = self.emits[self._nodes.members]
        self._rests: Indices = REST + 2 * np.arange(grammar.n_nodes)
        gates = {
            sources: n for n, sources in enumerate({a.sources for a in grammar.arcs})
        }
        self._gates: Hubs | None = None
        """Hubs of several nodes, where there are."""
        if all(len(sources) == 1 for sources in gates):
            gates = {sources: sources[0] for sources in gates}
        else:
            self._gates = Hubs([self._gate(sources) for sources in gates])
        gate_of = [gates[arc.sources] for arc in grammar.arcs]
        self._gate_of: Indices = np.array(gate_of, np.intp)
        self._first_symbols = self.emits[self.firsts]
        complete = [state for node in sorted(grammar.finals) for state in meeting[node]]
        self.complete: Indices = np.array(complete, np.intp)
        """States in which a sentence may end."""
        self.ends: Indices = np.union1d(self.complete, [REST, SPACE])
        """Those, and the states in which nothing was said yet."""

    def _gate(self, sources: Sequence[int]) -> list[int]:
        """Return ways into a gate, as `leaders` numbers them: a rest, then leaders."""
        n = self.grammar.n_nodes
        leaders = [way for node in sources for way in (n + node, 2 * n + node)]
        return [sources[0], *leaders]

    def _spell(self, letters: Sequence[int]) -> None:
        """Add a word's states."""
        before = self._add(letters[0])
        for last, letter in pairwise(letters):
            gap = self._add(self.script.blank, near=before)
            before = self._add(letter, gap, before if letter != last else None)

    def _add(self, emits: int, near: int | None = None, far: int | None = None) -> int:
        state = len(self._emits)
        self._emits.append(emits)
        self._near.append(state if near is None else near)
        self._far.append(state if far is None else far)
        return state


def _where(grammar: Grammar, arc: Arc) -> str:
    """Return what an error about a word begins with."""
    line = f", line {arc.line}" if arc.line else ""
    return f"{grammar.where}{line}: " if grammar.where else ""


def _check(grammar: Grammar, symbols: Collection[str]) -> None:
    """Raise GrammarError for what cannot be spelled in symbols."""
    begin = f"{grammar.where}: " if grammar.where else ""
    if " " not in symbols:
        raise GrammarError(
            f"{begin}the network writes no spaces, so no words; use one that does, or"
            " leave out words and grammar"
        )
    for arc in grammar.arcs:
        wrong = wrong_letters(arc.word, symbols)
        if wrong is not None:
            raise GrammarError(f"{_where(grammar, arc)}{wrong}")
    if sum(len(arc.word) for arc in grammar.arcs) > MOST_LETTERS:
        raise GrammarError(
            f"{begin}spelled out, its words have more than {MOST_LETTERS} letters; use"
            " fewer words"
        )
