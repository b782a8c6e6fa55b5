"""Grammars: which words may follow which, written as JSGF.

The JSpeech Grammar Format (`jsgf`): rules of words, alternatives, optional parts,
groups, repetitions and tags. Each public rule is an intent, and what a
tag stands behind is a slot of it:

    #JSGF V1.0;
    grammar coffee;
    public <order> = (make | brew) [me] a [<size> {size}] <drink> {drink};
    <size> = small | large | sixteen ounce;
    <drink> = latte | espresso;

Recursion is refused, and what would be slow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import GrammarError
from edge_runtime.files import check_regular
from edge_runtime.speech.jsgf import (
    Expansion,
    InTurn,
    OneOf,
    RuleName,
    Rules,
    SaidWord,
    Tagged,
    parse_rules,
)
from edge_runtime.speech.words import shortened

MOST_ARCS = 20_000
"""Words of a grammar whose rules are spelled out; larger ones would be slow."""
MOST_WAYS = 200_000
"""Ways between its words; many parts in a row that may be left out make many."""
DEEPEST_PARTS = 250
"""Rules, brackets and repetitions within each other, over all rules."""
MOST_BYTES = 2**20
"""Of a file."""


@dataclass(frozen=True)
class Arc:
    """A word, and between which of the grammar's nodes it is said."""

    word: str
    sources: tuple[int, ...]
    target: int
    slot: int = -1
    """Index of its slot; words of one slot are its value."""
    intent: int = -1
    line: int = field(default=0, compare=False)
    """Of the grammar's text; 0 where there is none."""


@dataclass(frozen=True)
class Grammar:
    """Nodes, the first of which is where a sentence begins, and words between them."""

    n_nodes: int
    arcs: tuple[Arc, ...]
    finals: frozenset[int]
    """Nodes where a sentence may end."""
    intents: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    where: str = field(default="", compare=False)
    """What errors begin with: a file, or an option."""


@dataclass(frozen=True)
class Intent:
    """What a sentence of a grammar asks for."""

    name: str
    """Of the public rule."""
    slots: Mapping[str, str]
    """Words said, by tag."""


def intent_of(name: str, words: Iterable[tuple[str, str]]) -> Intent:
    """Return the intent of words, each with its tag, which may be empty."""
    slots: dict[str, str] = {}
    for word, tag in words:
        if tag:
            slots[tag] = f"{slots.get(tag, '')} {word}".strip()
    return Intent(name, slots)


def understand(grammar: Grammar, words: Sequence[str]) -> Intent | None:
    """Return the intent of a sentence in writing; None where the grammar has it not.

    >>> grammar = parse_grammar("#JSGF V1.0; public <go> = go (left | right) {way};")
    >>> understand(grammar, ["go", "left"])
    Intent(name='go', slots={'way': 'left'})
    """
    ways: dict[int, tuple[Arc, ...]] = {0: ()}
    for word in words:
        longer: dict[int, tuple[Arc, ...]] = {}
        for arc in grammar.arcs:
            source = next((s for s in arc.sources if s in ways), None)
            if arc.word == word and source is not None:
                longer.setdefault(arc.target, (*ways[source], arc))
        ways = longer
    for node, arcs in ways.items():
        if node in grammar.finals and arcs:
            tags = [grammar.slots[arc.slot] if arc.slot >= 0 else "" for arc in arcs]
            said = zip(words, tags, strict=True)
            return intent_of(grammar.intents[arcs[0].intent], said)
    return None


def word_loop(words: Sequence[str], where: str = "") -> Grammar:
    """Return the grammar of any of the words in any order, as often as one likes.

    Errors about a word begin with `where`.
    """
    arcs = tuple(Arc(word, (0,), 0) for word in dict.fromkeys(words))
    return Grammar(1, arcs, frozenset({0}), where=where)


def read_grammar(path: Path) -> Grammar:
    """Return the grammar of a JSGF file.

    Raises GrammarError, with the line, for one that cannot be read or understood.
    """
    check_regular(path, "a grammar", GrammarError)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise GrammarError(
            f"{path}: cannot be read: {error.strerror}; expected a file in JSGF, or the"
            " name of a ready-made grammar"
        ) from error
    if len(data) > MOST_BYTES:
        raise GrammarError(f"{path}: larger than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise GrammarError(
            f"{path}, line {line}: not UTF-8 text, expected a grammar in UTF-8"
        ) from error
    return parse_grammar(text, str(path))


def parse_grammar(text: str, where: str = "grammar") -> Grammar:
    """Return the grammar of JSGF text; raises GrammarError, which begins with `where`.

    >>> grammar = parse_grammar("#JSGF V1.0; grammar g; public <go> = go [left] now;")
    >>> [(arc.word, arc.sources, arc.target) for arc in grammar.arcs]
    [('go', (0,), 1), ('left', (1,), 2), ('now', (1, 2), 3)]
    """
    return _Compiler(parse_rules(text, where), where).grammar()


@dataclass(frozen=True)
class _Way:
    """A word between two nodes before silent ways are taken out."""

    word: SaidWord
    source: int
    target: int
    slot: int
    intent: int


@dataclass(frozen=True)
class _Kind:
    """What a node is: where two have the same, one of them can stand for both."""

    speaking: frozenset[int]
    """Nodes with words that may be said next."""
    may_end: bool


class _Compiler:
    """Makes nodes and words of rules (Thompson, 1968), then takes silent ways out."""

    def __init__(self, rules: Rules, where: str) -> None:
        self._rules = rules
        self._where = where
        self._silent: list[list[int]] = [[]]
        """Of each node, those that are reached from it without a word."""
        self._n_ways = 0
        self._ways: list[_Way] = []
        self._slots: dict[str, int] = {}
        self._slot = -1
        self._intent = -1
        self._open: list[str] = []
        self._line = 1
        """Of what was added last."""

    def grammar(self) -> Grammar:
        ends = set()
        for intent, name in enumerate(self._rules.public):
            self._intent = intent
            ends.add(self._add(RuleName(name, 1), 0, 1))
        place, kinds = self._merged(ends)
        sources: dict[int, list[int]] = defaultdict(list)
        for index, kind in enumerate(kinds):
            for node in kind.speaking:
                sources[node].append(index)
        before = {node: tuple(found) for node, found in sources.items()}
        arcs = dict.fromkeys(
            Arc(
                way.word.text,
                before[way.source],
                place[way.target],
                way.slot,
                way.intent,
                way.word.line,
            )
            for way in self._ways
        )
        finals = frozenset(n for n, kind in enumerate(kinds) if kind.may_end)
        intents, slots = self._rules.public, tuple(self._slots)
        return Grammar(len(kinds), tuple(arcs), finals, intents, slots, self._where)

    def _merged(self, ends: set[int]) -> tuple[dict[int, int], list[_Kind]]:
        """Return the place of the nodes that stay, and what each place is.

        Those stay where a sentence begins and behind each word; equal ones share a
        place.
        """
        speaking = {way.source for way in self._ways}
        staying = speaking | ends
        place: dict[int, int] = {}
        kinds: dict[_Kind, int] = {}
        for node in [0, *(way.target for way in self._ways)]:
            beyond = self._beyond(node, staying)
            if beyond not in place:
                reached = self._silently(beyond)
                kind = _Kind(
                    frozenset(reached & speaking), not ends.isdisjoint(reached)
                )
                place[beyond] = kinds.setdefault(kind, len(kinds))
            place[node] = place[beyond]
        return place, list(kinds)

    def _add(self, part: Expansion, start: int, depth: int) -> int:
        """Add an expansion behind a node; return the node at its end."""
        if depth > DEEPEST_PARTS:
            raise self._error(
                f"more than {DEEPEST_PARTS} rules, brackets and repetitions within"
                " each other; use fewer"
            )
        if isinstance(part, SaidWord):
            return self._add_word(part, start)
        if isinstance(part, RuleName):
            return self._add_rule(part, start, depth)
        if isinstance(part, InTurn):
            for item in part.parts:
                start = self._add(item, start, depth + 1)
            return start
        if isinstance(part, OneOf):
            ends = []
            for choice in part.choices:
                ends.append(self._add(choice, start, depth + 1))
            return self._join(ends)
        if isinstance(part, Tagged):
            before = self._slot
            self._slot = self._slots.setdefault(part.tag, len(self._slots))
            end = self._add(part.part, start, depth + 1)
            self._slot = before
            return end
        first = self._join([start])
        last = self._add(part.part, first, depth + 1)
        if part.is_endless:
            self._silent[last].append(first)
        return self._join([last] if part.least else [first, last])

    def _add_word(self, word: SaidWord, start: int) -> int:
        self._line = word.line
        if len(self._ways) == MOST_ARCS:
            raise GrammarError(
                f"{self._where}: spelled out, its rules have more than {MOST_ARCS}"
                " words; use fewer"
            )
        end = self._join([])
        self._ways.append(_Way(word, start, end, self._slot, self._intent))
        return end

    def _add_rule(self, rule: RuleName, start: int, depth: int) -> int:
        self._line = rule.line
        if rule.name in self._open:
            raise self._error(
                f"<{shortened(rule.name)}> is part of itself; use * or + to repeat"
            )
        self._open.append(rule.name)
        end = self._add(self._rules.expansions[rule.name], start, depth + 1)
        self._open.pop()
        return end

    def _join(self, nodes: Sequence[int]) -> int:
        """Return a new node that is reached from all of `nodes` without a word."""
        self._count(1)
        self._silent.append([])
        new = len(self._silent) - 1
        for node in nodes:
            self._silent[node].append(new)
        return new

    def _beyond(self, node: int, staying: set[int]) -> int:
        """Return the node that a node is the same as: the only one that it leads to."""
        while node not in staying and len(self._silent[node]) == 1:
            node = self._silent[node][0]
        return node

    def _silently(self, node: int) -> set[int]:
        """Return the nodes that are reached from one without a word, itself too."""
        found, waiting = {node}, [node]
        while waiting:
            for following in self._silent[waiting.pop()]:
                if following not in found:
                    found.add(following)
                    waiting.append(following)
        self._count(len(found))
        return found

    def _count(self, n_more: int) -> None:
        self._n_ways += n_more
        if self._n_ways > MOST_WAYS:
            raise GrammarError(
                f"{self._where}: spelled out, its rules have more than {MOST_WAYS} ways"
                " from word to word; leave out fewer parts, or use fewer words"
            )

    def _error(self, text: str) -> GrammarError:
        return GrammarError(f"{self._where}, line {self._line}: {text}")
