"""JSGF: what it accepts, against an enumeration, and how mistakes are told."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edge_runtime.errors import GrammarError
from edge_runtime.speech.grammar import (
    DEEPEST,
    Grammar,
    Intent,
    parse_grammar,
    read_grammar,
    understand,
)
from edge_runtime.speech.options import GRAMMARS

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
        ("", "line 1: found '', expected #JSGF V1.0;"),
        ("public <a> = b;", "line 1: found 'public', expected #JSGF V1.0;"),
        (HEAD, "no public rule, expected one, such as public <order> = make me a"),
        (f"{HEAD}<a> = b;", "no public rule, expected one"),
        (f"{HEAD}public <a> = b", "line 3: found the end, expected ; behind the rule"),
        (f"{HEAD}public <a> = ;", "line 3: found ';', expected a word, a <rule>, ( or"),
        (f"{HEAD}public <a> = (b;", "line 3: found ';', expected ) for the ("),
        (f"{HEAD}public <a> = <b>;", "line 3: no rule <b>, expected one of <a>"),
        (f"{HEAD}public <a> = b;\n<a> = c;", "line 4: <a> is there twice"),
        (f"{HEAD}public <a> = b <a>;", "line 3: <a> is part of itself; use * or +"),
        (f"{HEAD}public <a> = /2/ b;", "line 3: found /2/; weights are not supported"),
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


def test_a_grammar_that_grows_too_large_is_refused() -> None:
    """Rules that double rules are spelled out only so far."""
    rules = [f"<r{n}> = <r{n - 1}> <r{n - 1}>;" for n in range(1, 40)]

    with pytest.raises(GrammarError, match="more than 20000 words"):
        parse_grammar(f"{HEAD}<r0> = a; {' '.join(rules)} public <go> = <r39>;")


def test_a_file_is_read_or_named(tmp_path: Path) -> None:
    """A missing file, and bytes that are no text."""
    path = tmp_path / "g.gram"
    with pytest.raises(GrammarError, match=r"g\.gram: cannot be read: No such file"):
        read_grammar(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GrammarError, match="not UTF-8 text"):
        read_grammar(path)
    path.write_text(f"{HEAD}public <go> = on;", encoding="utf-8-sig")
    assert ("on",) == tuple(arc.word for arc in read_grammar(path).arcs)


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
