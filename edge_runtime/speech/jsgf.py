"""The JSpeech Grammar Format (W3C note, June 2000): its text, read into rules.

Imports, weights and the rules <NULL> and <VOID> are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_runtime.errors import GrammarError
from edge_runtime.speech.words import fold, shortened

DEEPEST = 100
"""Brackets within brackets."""
MOST_TOKENS = 100_000
"""Words, marks, tags and rule names of a text."""
HEADER = "#JSGF V1.0;"
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)|(?P<rule><[^<>\s;]+>)"""
    r"""|(?P<tag>\{[^{}\n]*\})|(?P<mark>[;=|()\[\]*+])|(?P<weight>/[^/\n]*/)"""
    r"""|"(?P<quoted>[^"\n]*)\"|(?P<word>[^\s;=|()\[\]*+<>{}/"]+)""",
    re.DOTALL,
)


@dataclass(frozen=True)
class SaidWord:
    """A word in small letters."""

    text: str
    line: int


@dataclass(frozen=True)
class RuleName:
    """What another rule says."""

    name: str
    line: int


@dataclass(frozen=True)
class InTurn:
    """Parts that are said one behind the other."""

    parts: tuple[Expansion, ...]


@dataclass(frozen=True)
class OneOf:
    """Parts of which one is said."""

    choices: tuple[Expansion, ...]


@dataclass(frozen=True)
class Repeat:
    """A part that may be left out, or is repeated."""

    part: Expansion
    least: int
    """0 or 1."""
    is_endless: bool


@dataclass(frozen=True)
class Tagged:
    """A part that fills a slot."""

    part: Expansion
    tag: str


Expansion = SaidWord | RuleName | InTurn | OneOf | Repeat | Tagged


@dataclass(frozen=True)
class Rules:
    """A text's rules."""

    expansions: dict[str, Expansion]
    """By name."""
    public: tuple[str, ...]
    """Names of those that may be said."""


def parse_rules(text: str, where: str) -> Rules:
    """Return the rules of JSGF text.

    Raises GrammarError, which begins with `where` and the line, for text that is no
    JSGF, names that no rule has, and where no rule is public.
    """
    return _Parser(text, where).rules()


def repeated(part: Expansion, least: int, *, is_endless: bool) -> Repeat:
    """Return the repetition of a part; that of a repetition is one of its part.

    >>> word = SaidWord("very", line=1)
    >>> some = repeated(word, 1, is_endless=True)
    >>> repeated(some, 0, is_endless=False) == Repeat(word, 0, is_endless=True)
    True
    """
    if isinstance(part, Repeat):
        least, is_endless = min(least, part.least), is_endless or part.is_endless
        part = part.part
    return Repeat(part, least, is_endless)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


class _Parser:
    """Recursive descent over the tokens of a grammar."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._depth = 0
        self._names: list[RuleName] = []
        """All that were found within rules."""
        self._tokens = self._split(text)
        self._token = next(self._tokens)
        """What comes next."""

    def rules(self) -> Rules:
        self._header()
        found: dict[str, Expansion] = {}
        lines: dict[str, int] = {}
        public: list[str] = []
        while not self._is("end"):
            if self._is("word", "import"):
                raise self._wrong("a rule; imports are not supported")
            is_public = self._take_if("word", "public")
            token = self._take("rule", "a rule, <name> = …;")
            if token.text in found:
                first = lines[token.text]
                raise self._error(
                    token.line, f"<{token.text}> is there twice, first in line {first}"
                )
            lines[token.text] = token.line
            self._take("mark", "=", "=")
            found[token.text] = self._choice()
            self._take("mark", "; behind the rule", ";")
            if is_public:
                public.append(token.text)
        if not public:
            raise self._error(
                self._token.line,
                "no public rule, expected one, such as public <order> = make me a"
                " coffee;",
            )
        self._check_names(found)
        return Rules(found, tuple(public))

    def _header(self) -> None:
        for part in HEADER.strip(";").split():
            self._take("word", HEADER, part)
        while not self._take_if("mark", ";"):
            self._take("word", f"; behind {HEADER.strip(';')}")
        if self._take_if("word", "grammar"):
            self._take("word", "the grammar's name")
            self._take("mark", "; behind the grammar's name", ";")

    def _check_names(self, found: dict[str, Expansion]) -> None:
        for name in self._names:
            if name.name in ("NULL", "VOID"):
                raise self._error(
                    name.line,
                    f"<{name.name}> is not supported; put what may be left out in [ ]",
                )
            if name.name not in found:
                known = shortened(" ".join(f"<{rule}>" for rule in found), 200)
                raise self._error(
                    name.line,
                    f"no rule <{shortened(name.name)}>, expected one of {known}",
                )

    def _choice(self) -> Expansion:
        choices = [self._sequence()]
        while self._take_if("mark", "|"):
            choices.append(self._sequence())
        return choices[0] if len(choices) == 1 else OneOf(tuple(choices))

    def _sequence(self) -> Expansion:
        parts = [self._item()]
        while self._token.kind in ("word", "quoted", "rule") or (
            self._token.kind == "mark" and self._token.text in "(["
        ):
            parts.append(self._item())
        return parts[0] if len(parts) == 1 else InTurn(tuple(parts))

    def _item(self) -> Expansion:
        token = self._token
        part: Expansion
        if token.kind in ("word", "quoted"):
            part = self._words(self._taken())
        elif token.kind == "rule":
            part = RuleName(token.text, self._taken().line)
            self._names.append(part)
        elif token.kind == "mark" and token.text in "([":
            part = self._bracket(self._taken())
        else:
            raise self._wrong("a word, a <rule>, ( or [")
        return self._repeated(part)

    def _words(self, token: _Token) -> Expansion:
        words = [SaidWord(word, token.line) for word in fold(token.text).split()]
        if not words or not token.text.isprintable():
            found = shortened(token.text)
            raise self._error(token.line, f"found {found!r}, expected words")
        return words[0] if len(words) == 1 else InTurn(tuple(words))

    def _bracket(self, opening: _Token) -> Expansion:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(opening.line, f"more than {DEEPEST} brackets open")
        part = self._choice()
        self._depth -= 1
        closing = {"(": ")", "[": "]"}[opening.text]
        at = "" if self._token.line == opening.line else f" of line {opening.line}"
        self._take("mark", f"{closing} for the {opening.text}{at}", closing)
        return repeated(part, 0, is_endless=False) if opening.text == "[" else part

    def _repeated(self, part: Expansion) -> Expansion:
        while True:
            if self._take_if("mark", "*"):
                part = repeated(part, 0, is_endless=True)
            elif self._take_if("mark", "+"):
                part = repeated(part, 1, is_endless=True)
            elif self._is("tag"):
                token = self._take("tag", "a tag")
                if not token.text:
                    raise self._error(token.line, "found {}, expected {name}")
                if isinstance(part, Tagged):
                    raise self._error(
                        token.line,
                        f"found {{{shortened(token.text)}}} behind"
                        f" {{{shortened(part.tag)}}}, expected one tag",
                    )
                part = Tagged(part, token.text)
            else:
                return part

    def _split(self, text: str) -> Iterator[_Token]:
        place, line, n_tokens = 0, 1, 0
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                found = text[place : place + 20].partition("\n")[0]
                raise self._error(line, f"found {found!r}, expected JSGF")
            kind = str(match.lastgroup)
            if kind == "weight":
                found = shortened(match[0])
                raise self._error(line, f"found {found}; weights are not supported")
            if kind != "space":
                n_tokens += 1
                yield _Token(kind, match[kind].strip("<>{} \t"), line)
            if n_tokens > MOST_TOKENS:
                raise self._error(
                    line, f"more than {MOST_TOKENS} words and marks; use fewer"
                )
            place, line = match.end(), line + match[0].count("\n")
        yield _Token("end", "", line)

    def _is(self, kind: str, text: str | None = None) -> bool:
        return self._token.kind == kind and text in (None, self._token.text)

    def _take_if(self, kind: str, text: str) -> bool:
        is_there = self._is(kind, text)
        if is_there:
            self._taken()
        return is_there

    def _take(self, kind: str, expected: str, text: str | None = None) -> _Token:
        if not self._is(kind, text):
            raise self._wrong(expected)
        return self._taken()

    def _taken(self) -> _Token:
        """Return the next token, and go on behind it."""
        token, self._token = self._token, next(self._tokens)
        return token

    def _wrong(self, expected: str) -> GrammarError:
        token = self._token
        found = "the end" if token.kind == "end" else repr(shortened(token.text))
        return self._error(token.line, f"found {found}, expected {expected}")

    def _error(self, line: int, text: str) -> GrammarError:
        return GrammarError(f"{self._where}, line {line}: {text}")
