"""JSGF: what it accepts, against an enumeration, and how mistakes are told."""

from __future__ import annotations

import itertools
import os
import string
from pathlib import Path

import pytest

from edge_runtime.errors import GrammarError
from edge_runtime.speech.choice import GRAMMARS
from edge_runtime.speech.grammar import (
    DEEPEST_PARTS,
    MOST_BYTES,
    MOST_WAYS,
    Grammar,
    Intent,
    parse_grammar,
    read_grammar,
    understand,
)
from edge_runtime.speech.jsgf import DEEPEST, MOST_TOKENS

HEAD = "#JSGF V1.0;\ngrammar g;\n"


def accepts(grammar: Grammar, words: tuple[str, ...]) -> bool:
    nodes = {0}
    for word in words:
        nodes = {
            arc.target
            for arc in grammar.arcs
            if arc.word == word and nodes & {*arc.sources}
        }
    return bool(nodes & grammar.finals)


def sentences(grammar: Grammar, longest: int) -> set[str]:
    words = sorted({arc.word for arc in grammar.arcs})
    return {
        " ".join(found)
        for n in range(longest + 1)
        for found in itertools.product(words, repeat=n)
        if accepts(grammar, found)
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("a b", {"a b"}),
        ("a | b c", {"a", "b c"}),
        ("[a] b", {"b", "a b"}),
        ("(a | b) c", {"a c", "b c"}),
        ("a*", {"", "a", "a a", "a a a"}),
        ("b a+", {"b a", "b a a"}),
        ("[a] [b]", {"", "a", "b", "a b"}),
        ("(a [b])* c", {"c", "a c", "a b c", "a a c"}),
        ('"a b" c', {"a b c"}),
        ("<x> <x>; <x> = a | b", {"a a", "a b", "b a", "b b"}),
        ("A B", {"a b"}),
    ],
)
def test_a_rule_means_its_sentences(rule: str, expected: set[str]) -> None:
    """Alternatives, optional parts, groups and repetitions, up to three words."""
    grammar = parse_grammar(f"{HEAD}public <go> = {rule};")

    assert expected == sentences(grammar, 3)


def test_several_public_rules_are_several_intents() -> None:
    """Each word knows which of them it is part of, and its slot."""
    grammar = parse_grammar(
        f"{HEAD}public <on> = lights (red | blue) {{colour}};"
        " /* the other\n one */ public <off> = lights out; // and no more"
    )

    found = {
        (arc.word, grammar.intents[arc.intent], arc.slot >= 0) for arc in grammar.arcs
    }

    assert {
        ("lights", "on", False),
        ("red", "on", True),
        ("blue", "on", True),
        ("lights", "off", False),
        ("out", "off", False),
    } == found
    assert ("colour",) == grammar.slots


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: found the end, expected #JSGF V1.0;"),
        ("\ufeff", "line 1: found the end, expected #JSGF V1.0;"),
        ("#JSGF;", "line 1: found ';', expected #JSGF V1.0;"),
        ("#JSGF V2.0; public <a> = b;", "line 1: found 'V2.0', expected #JSGF V1.0;"),
        ("#JSGFV1.0; public <a> = b;", "found '#JSGFV1.0', expected #JSGF V1.0;"),
        ("#ABNF 1.0;", "line 1: found '#ABNF', expected #JSGF V1.0;"),
        ("#JSGF V1.0 public <a> = b;", "found 'a', expected ; behind #JSGF V1.0"),
        (f"#{'x' * 10**6}", f"line 1: found '#{'x' * 39}…', expected #JSGF V1.0;"),
        ("public <a> = b;", "line 1: found 'public', expected #JSGF V1.0;"),
        (HEAD, "no public rule, expected one, such as public <order> = make me a"),
        (f"{HEAD}<a> = b;", "no public rule, expected one"),
        (f"{HEAD}public <a> = b", "line 3: found the end, expected ; behind the rule"),
        (f"{HEAD}public <a> = ;", "line 3: found ';', expected a word, a <rule>, ( or"),
        (f"{HEAD}public <a> = b |;", "line 3: found ';', expected a word, a <rule>"),
        (f"{HEAD}public <a> = b || c;", "line 3: found '|', expected a word, a <ru"),
        (f"{HEAD}public <a> = ();", "line 3: found ')', expected a word, a <rule>"),
        (f'{HEAD}public <a> = " ";', "line 3: found '', expected words"),
        (f"{HEAD}public <a> = (b;", "line 3: found ';', expected ) for the ("),
        (f"{HEAD}public <a> = [b\n\n;", "line 5: found ';', expected ] for the [ of"),
        (f"{HEAD}public <a> = b);", "line 3: found ')', expected ; behind the rule"),
        (f"{HEAD}public <a> = *;", "line 3: found '*', expected a word, a <rule>"),
        (f"{HEAD}public <a> = <b>;", "line 3: no rule <b>, expected one of <a>"),
        (f"{HEAD}public <a> = b;\n<c> = <d>;", "line 4: no rule <d>, expected one"),
        (f"{HEAD}public <a> = [<NULL>] b;", "line 3: <NULL> is not supported; put"),
        (
            f"{HEAD}public <a> = b;\n\n<a> = c;",
            "line 5: <a> is there twice, first in line 3",
        ),
        (f"{HEAD}public <a> = b {{x}}{{y}};", "found {y} behind {x}, expected one tag"),
        (f"{HEAD}public <a> = b <a>;", "line 3: <a> is part of itself; use * or +"),
        (f"{HEAD}public <a> = /2/ b;", "line 3: found /2/; weights are not supported"),
        (f"{HEAD}public <a> = b\r\n/0.5/ c;", "line 4: found /0.5/; weights are not"),
        (f"{HEAD}public <a> = /* b;", "line 3: found '/* b;', expected JSGF"),
        (f'{HEAD}public <a> = "b;\n";', "line 3: found '\"b;', expected JSGF"),
        (f"{HEAD}import <x>;", "line 3: found 'import', expected a rule; imports are"),
        (f"{HEAD}public <a> = b {{}};", "found {}, expected {name}"),
        (f"{HEAD}public <a> = b {{;", "line 3: found '{;', expected JSGF"),
        (
            f"{HEAD}public <a> = {'(' * (DEEPEST + 1)}b",
            f"more than {DEEPEST} brackets open",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    """One line: where, what was found, what was expected."""
    with pytest.raises(GrammarError) as caught:
        parse_grammar(text, "coffee.gram")

    assert str(caught.value).startswith("coffee.gram")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


LETTERS = string.ascii_lowercase


def doubled(first: str, times: int) -> str:
    """Return the text of a grammar that says something 2 ** times."""
    rules = [f"<r{n}> = <r{n - 1}> <r{n - 1}>;" for n in range(1, times + 1)]
    return f"{HEAD}<r0> = {first}; {' '.join(rules)} public <go> = <r{times}>;"


def chained(n_rules: int, rule: str) -> str:
    """Return the text of a grammar whose rules stand within each other."""
    rules = [f"<r{n}> = {rule.format(n - 1)};\n" for n in range(1, n_rules)]
    return f"{HEAD}<r0> = a;\n{''.join(rules)}public <go> = <r{n_rules - 1}>;"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (doubled("a", 40), "g.gram: spelled out, its rules have more than 20000 words"),
        (doubled("[a]", 14), f"have more than {MOST_WAYS} ways from word to word"),
        (doubled("[a [a [a [a [a]]]]]", 11), f"more than {MOST_WAYS} ways from word"),
        (doubled("(a | [b])*", 12), f"have more than {MOST_WAYS} ways from word"),
        (doubled("[" * 50 + "a" + " {t}]" * 50, 14), f"more than {MOST_WAYS} ways"),
        (chained(DEEPEST_PARTS, "<r{}>"), f"more than {DEEPEST_PARTS} rules, brackets"),
        (chained(1000, "[a (b | <r{}>)+]"), f"more than {DEEPEST_PARTS} rules, brack"),
        (chained(20_000, "<r{}>"), "g.gram, line 1"),
        (f"{HEAD}{'<r> = ' + 'a ' * MOST_TOKENS};", f"more than {MOST_TOKENS} words"),
        (f"{HEAD}public <a> = b <c>;\n<c> = [<a>];", "line 4: <a> is part of itself"),
    ],
)
def test_a_grammar_that_grows_too_large_is_refused(text: str, message: str) -> None:
    """Rules are spelled out only so far."""
    with pytest.raises(GrammarError) as caught:
        parse_grammar(text, "g.gram")

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "n_nodes", "n_ways"),
    [
        ("(a | b | c | d)+", 2, 8),
        ("(a | b | c | d) (e | f | g)", 3, 7),
        ("(a | b)*", 1, 2),
        ("a*" + "*+" * 10_000, 1, 1),
        ("a | a | (a | a)", 2, 1),
        ("(a {x} | b) (c | d) {x}", 3, 4),
    ],
)
def test_equal_nodes_are_one(rule: str, n_nodes: int, n_ways: int) -> None:
    """Words that the same words follow lead to one node, so ways do not multiply."""
    grammar = parse_grammar(f"{HEAD}public <go> = {rule};")

    assert n_nodes == grammar.n_nodes
    assert n_ways == sum(len(arc.sources) for arc in grammar.arcs)


def test_thousands_of_words_may_follow_each_other() -> None:
    """A loop of many words is quick to read, and small."""
    words = [f"{a}{b}{c}" for a in LETTERS for b in LETTERS for c in LETTERS][:5000]

    grammar = parse_grammar(f"{HEAD}public <go> = ({' | '.join(words)})+;")

    assert (2, 5000) == (grammar.n_nodes, len(grammar.arcs))


def test_words_are_folded_as_networks_write_them() -> None:
    """Small letters, plain apostrophes, accents in one piece."""
    grammar = parse_grammar(f"{HEAD}public <go> = I\u2019D LIKE CAFE\u0301;")

    assert ["i'd", "like", "caf\u00e9"] == [arc.word for arc in grammar.arcs]


def test_of_two_meanings_the_first_one_counts() -> None:
    """A sentence that two alternatives have is understood as the first one."""
    grammar = parse_grammar(f"{HEAD}public <a> = go {{x}} | go {{y}}; public <b> = go;")

    assert Intent("a", {"x": "go"}) == understand(grammar, ["go"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ", line 1: found the end, expected #JSGF V1.0;"),
        (b"\xff\xfe\x00", ", line 1: not UTF-8 text, expected a grammar in UTF-8"),
        (HEAD.encode() + b"public <a> = \xe9;", ", line 3: not UTF-8 text, expected a"),
        (bytes(range(128)) * 100, ", line 1: found '\\x00\\x01"),
        (
            HEAD.encode() + b"public <a> = \0;",
            ", line 3: found '\\x00', expected words",
        ),
        (HEAD.encode() + b" " * MOST_BYTES, f": larger than {MOST_BYTES} bytes"),
        (b'"""Python."""', """, line 1: found '', expected #JSGF V1.0;"""),
        (
            HEAD.encode() + b"x" * 10**6,
            f", line 3: found '{'x' * 40}…', expected a rule",
        ),
    ],
)
def test_a_file_that_is_no_grammar_is_named(
    tmp_path: Path, data: bytes, message: str
) -> None:
    """One line with the file, and where it can the line."""
    path = tmp_path / "g.gram"
    path.write_bytes(data)

    with pytest.raises(GrammarError) as caught:
        read_grammar(path)

    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_a_path_without_a_grammar_is_named(tmp_path: Path) -> None:
    """What is not there, a folder, a pipe that nobody writes to, a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = {
        tmp_path / "none.gram": "cannot be read: No such file",
        tmp_path: "is a folder, expected a grammar",
        pipe: "is a device or a pipe, expected a grammar",
        Path("/dev/zero"): "is a device or a pipe, expected a grammar",
        tmp_path / ("x" * 300): "cannot be read: File name too long",
    }

    for path, message in found.items():
        with pytest.raises(GrammarError) as caught:
            read_grammar(path)

        assert f"{path}: {message}" in str(caught.value)


def test_line_ends_and_marks_of_editors_do_not_matter(tmp_path: Path) -> None:
    """A byte order mark, and the line ends of other systems."""
    path = tmp_path / "g.gram"
    text = f"{HEAD}// on\npublic <go> = on;\n"

    for ending in ("\n", "\r\n", "\r"):
        path.write_bytes(text.replace("\n", ending).encode("utf-8-sig"))
        grammar = read_grammar(path)

        assert [("on", 4)] == [(arc.word, arc.line) for arc in grammar.arcs]


def test_the_ready_made_grammar_has_the_orders_at_hand() -> None:
    """What people said to a coffee machine, and what they did not."""
    grammar = read_grammar(GRAMMARS / "coffee.gram")

    def asked(text: str) -> Intent | None:
        return understand(grammar, text.split())

    slots = {
        "coffeeDrink": "house coffee",
        "size": "twelve ounce",
        "numberOfShots": "double shot",
        "sugarAmount": "a little bit of brown sugar",
        "milkAmount": "cream",
    }
    found = asked(
        "can i get a double shot twelve ounce house coffee with a little bit of brown"
        " sugar and cream"
    )
    assert Intent("orderDrink", slots) == found
    assert Intent("orderDrink", {"coffeeDrink": "latte"}) == asked("give me a latte")
    assert asked("give me a") is None
    assert asked("we call it bear") is None
