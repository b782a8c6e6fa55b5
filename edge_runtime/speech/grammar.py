"""Grammars: which words may follow which, written as JSGF.

The JSpeech Grammar Format (W3C note, June 2000): rules of words, alternatives,
optional parts, groups, repetitions and tags. Each public rule is an intent, and what a
tag stands behind is a slot of it:

    #JSGF V1.0;
    grammar coffee;
    public <order> = (make | brew) [me] a [<size> {size}] <drink> {drink};
    <size> = small | large | sixteen ounce;
    <drink> = latte | espresso;

Imports, weights and recursion are refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import GrammarError

MOST_ARCS = 20_000
"""Larger grammars are refused: they would be slow."""
MOST_BYTES = 2**20
DEEPEST = 100
"""Brackets within brackets."""
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)|(?P<rule><[^<>\s;]+>)|(?P<tag>\{[^{}]*\})"""
    r"""|(?P<mark>[;=|()\[\]*+])|(?P<weight>/[^/\n]*/)|"(?P<quoted>[^"\n]*)\""""
    r"""|(?P<word>[^\s;=|()\[\]*+<>{}/"]+)""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Arc:
    """A word, and between which of the grammar's nodes it is said."""

    word: str
    sources: tuple[int, ...]
    target: int
    slot: int = -1
    """Index of its slot; words of one slot that follow each other are its value."""
    intent: int = -1


@dataclass(frozen=True)
class Grammar:
    """Nodes, the first of which is where a sentence begins, and words between them."""

    n_nodes: int
    arcs: tuple[Arc, ...]
    finals: frozenset[int]
    """Nodes where a sentence may end."""
    intents: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()


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
        ways = {
            arc.target: (*ways[source], arc)
            for arc in grammar.arcs
            if arc.word == word
            for source in arc.sources
            if source in ways
        }
    for node, arcs in ways.items():
        if node in grammar.finals and arcs:
            tags = [grammar.slots[arc.slot] if arc.slot >= 0 else "" for arc in arcs]
            said = zip(words, tags, strict=True)
            return intent_of(grammar.intents[arcs[0].intent], said)
    return None


def word_loop(words: Sequence[str]) -> Grammar:
    """Return the grammar of any of the words in any order, as often as one likes."""
    return Grammar(1, tuple(Arc(word, (0,), 0) for word in words), frozenset({0}))


def read_grammar(path: Path) -> Grammar:
    """Return the grammar of a JSGF file.

    Raises GrammarError, with the line, for one that cannot be read or understood.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise GrammarError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GrammarError(f"{path}: not UTF-8 text, expected a grammar") from error
    if len(data) > MOST_BYTES:
        raise GrammarError(f"{path}: larger than {MOST_BYTES} bytes")
    return parse_grammar(text, str(path))


def parse_grammar(text: str, where: str = "grammar") -> Grammar:
    """Return the grammar of JSGF text; raises GrammarError, which begins with `where`.

    >>> grammar = parse_grammar("#JSGF V1.0; grammar g; public <go> = go [left] now;")
    >>> [(arc.word, arc.sources, arc.target) for arc in grammar.arcs]
    [('go', (0,), 1), ('left', (1,), 2), ('now', (1, 2), 3)]
    """
    rules, public = _Parser(text, where).rules()
    return _Compiler(rules, public, where).grammar()


@dataclass(frozen=True)
class _Word:
    text: str
    line: int


@dataclass(frozen=True)
class _Rule:
    name: str
    line: int


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[_Expansion, ...]


@dataclass(frozen=True)
class _Choice:
    choices: tuple[_Expansion, ...]


@dataclass(frozen=True)
class _Repeat:
    part: _Expansion
    least: int
    """0 or 1."""
    is_endless: bool


@dataclass(frozen=True)
class _Tagged:
    part: _Expansion
    tag: str


_Expansion = _Word | _Rule | _Sequence | _Choice | _Repeat | _Tagged


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


class _Parser:
    """Recursive descent over the tokens of a grammar."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._tokens = list(self._split(text))
        self._next = 0
        self._depth = 0

    def rules(self) -> tuple[dict[str, _Expansion], list[str]]:
        """Return each rule's expansion, and the names of those that are public."""
        self._header()
        found: dict[str, _Expansion] = {}
        public: list[str] = []
        while not self._is("end"):
            if self._is("word", "import"):
                raise self._wrong("a rule; imports are not supported")
            is_public = self._take_if("word", "public")
            token = self._take("rule", "a rule, <name> = …;")
            if token.text in found:
                raise self._error(token.line, f"<{token.text}> is there twice")
            self._take("mark", "=", "=")
            found[token.text] = self._choice()
            self._take("mark", "; behind the rule", ";")
            if is_public:
                public.append(token.text)
        if not public:
            raise GrammarError(
                f"{self._where}: no public rule, expected one, such as public <order> ="
                " make me a coffee;"
            )
        return found, public

    def _header(self) -> None:
        first = self._tokens[0]
        if not first.text.startswith("#JSGF"):
            raise self._error(first.line, f"found {first.text!r}, expected #JSGF V1.0;")
        while not self._take_if("mark", ";"):
            self._take("word", "; behind #JSGF V1.0")
        if self._take_if("word", "grammar"):
            self._take("word", "the grammar's name")
            self._take("mark", "; behind the grammar's name", ";")

    def _choice(self) -> _Expansion:
        choices = [self._sequence()]
        while self._take_if("mark", "|"):
            choices.append(self._sequence())
        return choices[0] if len(choices) == 1 else _Choice(tuple(choices))

    def _sequence(self) -> _Expansion:
        parts = [self._item()]
        while self._peek().kind in ("word", "quoted", "rule") or (
            self._peek().kind == "mark" and self._peek().text in "(["
        ):
            parts.append(self._item())
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _item(self) -> _Expansion:
        token = self._peek()
        self._next += 1
        part: _Expansion
        if token.kind in ("word", "quoted"):
            words = [_Word(word, token.line) for word in token.text.lower().split()]
            if not words:
                raise self._error(token.line, 'found "", expected words')
            part = words[0] if len(words) == 1 else _Sequence(tuple(words))
        elif token.kind == "rule":
            part = _Rule(token.text, token.line)
        elif token.kind == "mark" and token.text in "([":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._error(token.line, f"more than {DEEPEST} brackets open")
            part = self._choice()
            self._depth -= 1
            closing = {"(": ")", "[": "]"}[token.text]
            self._take("mark", f"{closing} for the {token.text}", closing)
            if token.text == "[":
                part = _Repeat(part, 0, is_endless=False)
        else:
            self._next -= 1
            raise self._wrong("a word, a <rule>, ( or [")
        return self._repeated(part)

    def _repeated(self, part: _Expansion) -> _Expansion:
        while True:
            if self._take_if("mark", "*"):
                part = _Repeat(part, 0, is_endless=True)
            elif self._take_if("mark", "+"):
                part = _Repeat(part, 1, is_endless=True)
            elif self._is("tag"):
                name = self._take("tag", "a tag").text
                if not name:
                    raise self._error(self._peek().line, "found {}, expected {name}")
                part = _Tagged(part, name)
            else:
                return part

    def _split(self, text: str) -> Iterator[_Token]:
        place, line = 0, 1
        text = text.removeprefix("\ufeff")
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                found = text[place : place + 20].partition("\n")[0]
                raise self._error(line, f"found {found!r}, expected JSGF")
            kind = str(match.lastgroup)
            if kind == "weight":
                raise self._error(line, f"found {match[0]}; weights are not supported")
            if kind != "space":
                yield _Token(kind, match[kind].strip("<>{} \t"), line)
            place, line = match.end(), line + match[0].count("\n")
        yield _Token("end", "", line)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _is(self, kind: str, text: str | None = None) -> bool:
        token = self._peek()
        return token.kind == kind and text in (None, token.text)

    def _take_if(self, kind: str, text: str) -> bool:
        if not self._is(kind, text):
            return False
        self._next += 1
        return True

    def _take(self, kind: str, expected: str, text: str | None = None) -> _Token:
        if not self._is(kind, text):
            raise self._wrong(expected)
        self._next += 1
        return self._tokens[self._next - 1]

    def _wrong(self, expected: str) -> GrammarError:
        token = self._peek()
        found = "the end" if token.kind == "end" else repr(token.text)
        return self._error(token.line, f"found {found}, expected {expected}")

    def _error(self, line: int, text: str) -> GrammarError:
        return GrammarError(f"{self._where}, line {line}: {text}")


@dataclass
class _Node:
    """A place between words, with ways to others that say nothing."""

    silent: list[int] = field(default_factory=list)


class _Compiler:
    """Makes nodes and words of rules (Thompson, 1968), then takes silent ways out."""

    def __init__(
        self, rules: dict[str, _Expansion], public: Sequence[str], where: str
    ) -> None:
        self._rules = rules
        self._public = public
        self._where = where
        self._nodes = [_Node()]
        self._arcs: list[tuple[str, int, int, int, int]] = []
        self._slots: list[str] = []
        self._slot = -1
        self._intent = -1
        self._open: list[str] = []

    def grammar(self) -> Grammar:
        ends = []
        for intent, name in enumerate(self._public):
            self._intent = intent
            ends.append(self._add(_Rule(name, 1), 0))
        # A node is kept where a sentence begins and behind each word.
        kept = [0, *dict.fromkeys(target for _, _, target, _, _ in self._arcs)]
        place = {node: index for index, node in enumerate(kept)}
        reached = {node: self._silently(node) for node in kept}
        sources: dict[int, list[int]] = defaultdict(list)
        for node in kept:
            for silent in reached[node]:
                sources[silent].append(place[node])
        arcs = tuple(
            Arc(
                word,
                tuple(sources[source]),
                place[target],
                slot,
                intent,
            )
            for word, source, target, slot, intent in self._arcs
        )
        finals = frozenset(place[n] for n in kept if reached[n] & set(ends))
        return Grammar(len(kept), arcs, finals, tuple(self._public), tuple(self._slots))

    def _add(self, part: _Expansion, start: int) -> int:
        """Add an expansion behind a node; return the node at its end."""
        if isinstance(part, _Word):
            return self._add_word(part, start)
        if isinstance(part, _Rule):
            return self._add_rule(part, start)
        if isinstance(part, _Sequence):
            for item in part.parts:
                start = self._add(item, start)
            return start
        if isinstance(part, _Choice):
            ends = [self._add(choice, start) for choice in part.choices]
            return self._join(ends)
        if isinstance(part, _Tagged):
            before = self._slot
            self._slots.append(part.tag)
            self._slot = len(self._slots) - 1
            end = self._add(part.part, start)
            self._slot = before
            return end
        first = self._join([start])
        last = self._add(part.part, first)
        if part.is_endless:
            self._nodes[last].silent.append(first)
        return self._join([last] if part.least else [first, last])

    def _add_word(self, word: _Word, start: int) -> int:
        end = self._join([])
        self._arcs.append((word.text, start, end, self._slot, self._intent))
        if len(self._arcs) > MOST_ARCS:
            raise GrammarError(
                f"{self._where}: spelled out, its rules have more than {MOST_ARCS}"
                " words; use fewer"
            )
        return end

    def _add_rule(self, rule: _Rule, start: int) -> int:
        if rule.name not in self._rules:
            raise GrammarError(
                f"{self._where}, line {rule.line}: no rule <{rule.name}>, expected one"
                f" of {' '.join(f'<{name}>' for name in self._rules)}"
            )
        if rule.name in self._open:
            raise GrammarError(
                f"{self._where}, line {rule.line}: <{rule.name}> is part of itself; use"
                " * or + to repeat"
            )
        self._open.append(rule.name)
        end = self._add(self._rules[rule.name], start)
        self._open.pop()
        return end

    def _join(self, nodes: Iterable[int]) -> int:
        """Return a new node that is reached from all of `nodes` without a word."""
        self._nodes.append(_Node())
        new = len(self._nodes) - 1
        for node in nodes:
            self._nodes[node].silent.append(new)
        return new

    def _silently(self, node: int) -> set[int]:
        """Return the nodes that are reached from one without a word, itself too."""
        found, waiting = {node}, [node]
        while waiting:
            for following in self._nodes[waiting.pop()].silent:
                if following not in found:
                    found.add(following)
                    waiting.append(following)
        return found
