"""CTC with a closed vocabulary, against an exhaustive search."""

from __future__ import annotations

import itertools
import re
import string
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.ctc import greedy_text
from edge_runtime.decoder import whole_text
from edge_runtime.errors import EngineError, GrammarError
from edge_runtime.speech.grammar import Grammar, Intent, parse_grammar, word_loop
from edge_runtime.speech.spelling import SpelledGrammar
from edge_runtime.speech.viterbi import GrammarDecoder

ALPHABET = ("", " ", "a", "b")
WORDS = ("ab", "ba", "a", "bb")


def logits(path: list[int], sure: float = 9.0) -> NDArray[np.float32]:
    return np.eye(len(ALPHABET), dtype=np.float32)[np.array(path, int)] * sure


def collapse(path: tuple[int, ...]) -> str:
    """Return the text of a path by the definition: merge, drop blanks."""
    merged = [symbol for symbol, _ in itertools.groupby(path)]
    return "".join(ALPHABET[symbol] for symbol in merged)


def best_letters(scores: NDArray[np.float32]) -> str:
    """Return the letters of the best of all paths that spell known words."""
    known = re.compile(" *((" + "|".join(WORDS) + ") *)*")
    paths = itertools.product(range(len(ALPHABET)), repeat=len(scores))
    legal = [path for path in paths if known.fullmatch(collapse(path))]
    best = max(legal, key=lambda path: scores[range(len(scores)), path].sum())
    return collapse(best).replace(" ", "")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([0, 0], ""),
        ([2, 3], "ab"),
        ([2, 3, 1, 3, 2], "ab ba"),
        ([3, 0, 3], "bb"),
        ([2, 2, 1, 2], "a a"),
    ],
)
def test_known_words_are_read_as_greedy_reads_them(path: list[int], text: str) -> None:
    """Where the best symbols spell known words, both decoders agree."""
    assert text == whole_text(logits(path), ALPHABET, 0, WORDS)
    assert text == greedy_text(logits(path), ALPHABET, 0)


def test_an_unknown_spelling_becomes_the_likeliest_word() -> None:
    """`bab` is no word: one of its letters has to give way."""
    scores = logits([3, 2, 3])
    scores[0, 0] = 8.0  # the first letter is the least certain

    assert "ab" == whole_text(scores, ALPHABET, 0, ("ab",))
    assert "bab" == greedy_text(scores, ALPHABET, 0)


def test_a_word_counts_once_its_last_letter_came() -> None:
    """Half a word is not shown, and does not stand in the final text."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(("ab",))))

    decoder.feed(logits([2]))
    half = decoder.text
    decoder.feed(logits([3]))

    assert ("", "ab") == (half, decoder.text)


def test_half_a_word_at_the_end_is_heard_as_whole_words() -> None:
    """The final text is the best one that ends with a whole word or in rest."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(("ab", "bb"))))
    scores = logits([2, 2, 3, 1, 2], sure=3.0)
    decoder.feed(scores)

    assert "ab" == decoder.finish()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_best_path_is_found(seed: int, n_steps: int) -> None:
    """The letters are those of an exhaustive search over all paths."""
    random = np.random.default_rng(seed)
    scores = random.normal(0.0, 2.0, (n_steps, len(ALPHABET))).astype(np.float32)

    found = whole_text(scores, ALPHABET, 0, WORDS)

    assert best_letters(scores) == found.replace(" ", "")


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 12), max_size=6))
def test_cuts_do_not_show(seed: int, cuts: list[int]) -> None:
    """The text is the same however the logits are cut into blocks."""
    scores = np.random.default_rng(seed).normal(0.0, 2.0, (12, 4)).astype(np.float32)
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(WORDS)))

    for block in np.split(scores, sorted(cuts)):
        decoder.feed(block)

    assert whole_text(scores, ALPHABET, 0, WORDS) == decoder.finish()


GRAMMAR = parse_grammar(
    "#JSGF V1.0; public <set> = ab (ba | bb) {side} [ab {more}]; public <go> = bb;"
)


def sentence(text: str, sure: float = 9.0) -> NDArray[np.float32]:
    """Return logits that spell a text, a blank behind each letter."""
    path = [s for letter in text for s in (ALPHABET.index(letter), 0)]
    return logits(path, sure)


@pytest.mark.parametrize(
    ("text", "name", "slots"),
    [
        ("ab ba", "set", {"side": "ba"}),
        ("ab bb ab", "set", {"side": "bb", "more": "ab"}),
        ("bb", "go", {}),
    ],
)
def test_a_sentence_of_the_grammar_is_understood(
    text: str, name: str, slots: dict[str, str]
) -> None:
    """The public rule is the intent, and what tags stand behind are its slots."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, GRAMMAR))
    decoder.feed(sentence(text))

    assert text == decoder.finish()
    assert Intent(name, slots) == decoder.intent()


@pytest.mark.parametrize("text", ["ba ba ba", "a a b", ""])
def test_what_does_not_fit_has_no_intent(text: str) -> None:
    """A sentence that the grammar has not is heard as the nearest one, and refused."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, GRAMMAR))
    decoder.feed(sentence(text) if text else logits([0, 0, 0]))

    assert decoder.intent() is None


def test_silence_is_no_sentence() -> None:
    """Nor is a sound that is less of any sentence than of silence."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, GRAMMAR))
    rows = logits([0] * 8)
    rows[4, 2] = 8.0  # nearly a letter

    decoder.feed(rows)

    assert (decoder.finish(), decoder.intent()) == ("", None)


def test_words_have_times_and_confidence() -> None:
    """A word lasts from its first letter to its last; what is unclear is less sure."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(WORDS)))
    decoder.feed(logits([0, 2, 3, 1, 0]))
    decoder.feed(logits([3, 0, 2], sure=1.0))

    first, second = decoder.words(whole=True)

    assert ("ab", 1, 3) == (first.text, first.start, first.end)
    assert ("ba", 5, 8) == (second.text, second.start, second.end)
    assert first.confidence > 0.99
    assert 0.0 < second.confidence <= 1.0


Place = tuple[str, int, int]
"""A kind of state, its node or word, and how many letters came."""


def ways_from(grammar: Grammar, place: Place) -> list[tuple[Place, int]]:
    """Return what may follow a place, each with its symbol, word by word."""
    kind, index, n_letters = place
    word = "" if kind in ("rest", "space") else grammar.arcs[index].word
    spelled = [ALPHABET.index(letter) for letter in word]
    following: list[tuple[Place, int]] = []
    if kind == "gap":
        following.append((place, 0))
    if kind == "letter":
        following.append((place, spelled[n_letters - 1]))
    if word and n_letters < len(word):
        if kind == "letter":
            following.append((("gap", index, n_letters), 0))
        if kind == "gap" or spelled[n_letters] != spelled[n_letters - 1]:
            following.append(
                (("letter", index, n_letters + 1), spelled[n_letters]),
            )
        return following
    node = grammar.arcs[index].target if word else index
    following += [(("rest", node, 0), 0), (("space", node, 0), 1)]
    for number, arc in enumerate(grammar.arcs):
        first = ALPHABET.index(arc.word[0])
        if node in arc.sources and not (word and first == spelled[-1]):
            following.append((("letter", number, 1), first))
    return following


def words_of_the_best_path(
    grammar: Grammar, scores: NDArray[np.float64]
) -> tuple[float, tuple[str, ...]]:
    """Return the score of the best path that ends a sentence, and what was said.

    Those are its words, or none where the best path that says nothing scores higher.
    """
    paths: dict[Place, tuple[float, tuple[str, ...]]] = {("rest", 0, 0): (0.0, ())}
    for row in scores:
        longer: dict[Place, tuple[float, tuple[str, ...]]] = {}
        for place, (score, words) in paths.items():
            for following, symbol in ways_from(grammar, place):
                begins = following[0] == "letter" and following[2] == 1
                begins = begins and following != place
                said = words
                if begins:
                    said = (*words, grammar.arcs[following[1]].word)
                found = score + row[symbol], said
                longer[following] = max(longer.get(following, found), found)
        paths = longer
    whole = [
        found
        for (kind, index, n_letters), found in paths.items()
        if (kind in ("rest", "space") and index in grammar.finals)
        or (
            kind == "letter"
            and n_letters == len(grammar.arcs[index].word)
            and grammar.arcs[index].target in grammar.finals
        )
    ]
    score, words = max(whole, default=(-np.inf, ()))
    silence = max(paths.get((kind, 0, 0), (-np.inf, ())) for kind in ("rest", "space"))
    return score, words if score >= silence[0] else ()


GRAMMARS_OF_MANY_WAYS = [
    word_loop(WORDS),
    GRAMMAR,
    parse_grammar("#JSGF V1.0; public <a> = [a] [ab] [ba] b* (a | bb | b)+ [aa];"),
    parse_grammar("#JSGF V1.0; public <a> = (a | aa)+; public <b> = (b | ab) [ba];"),
]


@pytest.mark.parametrize("grammar", GRAMMARS_OF_MANY_WAYS)
@given(seed=st.integers(0, 2**32 - 1), n_steps=st.integers(0, 9))
def test_hubs_find_what_ways_between_all_words_find(
    grammar: Grammar, seed: int, n_steps: int
) -> None:
    """The score and the letters are those of a search along every single way."""
    random = np.random.default_rng(seed)
    scores = random.normal(0.0, 2.0, (n_steps, len(ALPHABET))).astype(np.float32)
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, grammar))
    decoder.feed(scores)

    lost = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    score, words = words_of_the_best_path(grammar, lost)

    n_heard = max(1, int(np.count_nonzero(scores.argmax(axis=1))))
    assert score / n_heard == pytest.approx(decoder.fit(), abs=1e-4)
    assert "".join(words) == decoder.finish().replace(" ", "")  # "a a" may be "aa"


LETTERS = ("", " ", *string.ascii_lowercase)


def test_a_list_of_thousands_of_words_costs_their_letters() -> None:
    """Its words meet in one hub: memory and time do not grow with their square."""
    random = np.random.default_rng(0)
    letters = random.choice([*string.ascii_lowercase], (5000, 8))
    words = ["".join(row) for row in letters]
    path = [LETTERS.index(letter) for letter in f"{words[17]} {words[4000]}"]
    logits = np.eye(len(LETTERS), dtype=np.float32)[path] * 9.0
    tracemalloc.start()

    decoder = GrammarDecoder(SpelledGrammar(LETTERS, 0, word_loop(words)))
    decoder.feed(logits)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert f"{words[17]} {words[4000]}" == decoder.finish()
    assert peak_bytes < 50 * 2**20


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (word_loop(("abc",)), "word 'abc': found 'c', expected letters of 'ab'"),
        (word_loop(("",), "--words"), "--words: word '': is empty, expected letters"),
        (word_loop(("a7",)), "found '7', expected letters of 'ab'; write numbers as"),
        (word_loop(("a b",)), "found ' ', expected letters of 'ab'; put commas"),
        (word_loop(("x" * 10**6,)), f"word '{'x' * 40}…': found 'x', expected"),
        (
            parse_grammar("#JSGF V1.0;\npublic <a> = ab\n| Bä;", "my.gram"),
            "my.gram, line 3: word 'bä': found 'ä', expected letters of 'ab'",
        ),
        (word_loop(("ab" * 100_001,), "--words"), "--words: spelled out, its words"),
    ],
)
def test_a_word_that_cannot_be_spelled_is_named(grammar: Grammar, message: str) -> None:
    """Where it stands, which of its letters is strange, and which are known."""
    with pytest.raises(GrammarError) as caught:
        SpelledGrammar(ALPHABET, 0, grammar)

    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_network_without_a_space_takes_no_words() -> None:
    """Nothing would stand between them."""
    with pytest.raises(GrammarError, match="--words: the network writes no spaces"):
        SpelledGrammar(("", "a", "b"), 0, word_loop(("ab",), "--words"))


def test_capital_letters_of_a_network_spell_small_ones() -> None:
    """Words are asked for in small letters, and written so."""
    decoder = GrammarDecoder(SpelledGrammar(("", " ", "A", "B"), 0, word_loop(WORDS)))
    decoder.feed(sentence("ab ba"))

    assert "ab ba" == decoder.finish()


@pytest.mark.parametrize("n_steps", [0, 1])
def test_what_is_too_short_for_a_sentence_has_no_words(n_steps: int) -> None:
    """No path through the grammar ends: no text, no intent, and the worst of fits."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, GRAMMAR))
    decoder.feed(logits([2] * n_steps))

    assert ("", "", None) == (decoder.text, decoder.finish(), decoder.intent())
    assert -np.inf == decoder.fit()


def test_a_grammar_without_words_hears_nothing() -> None:
    """An empty list of words is none."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(())))
    decoder.feed(logits([2, 3, 1]))

    assert "" == decoder.finish()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused(value: float) -> None:
    """A damaged model is told of, and what was heard before is kept."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(WORDS)))
    decoder.feed(logits([2, 3]))
    broken = logits([2, 3])
    broken[1, 2] = value

    with pytest.raises(EngineError, match=f"logits: found {value}, expected finite"):
        decoder.feed(broken)

    assert "ab" == decoder.finish()


def test_logits_of_another_alphabet_are_refused() -> None:
    """Three symbols, where four are known."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(WORDS)))

    with pytest.raises(EngineError, match=r"shape is \(1, 3\), expected \(steps, 4\)"):
        decoder.feed(np.zeros((1, 3), np.float32))


def test_the_largest_numbers_are_taken() -> None:
    """Symbols that are as good as impossible leave the others as they are."""
    decoder = GrammarDecoder(SpelledGrammar(ALPHABET, 0, word_loop(WORDS)))
    most = float(np.finfo(np.float32).max)
    decoder.feed(logits([2, 3, 1, 3], sure=most))

    assert "ab" == decoder.text


def test_sentences_are_found_by_their_phones() -> None:
    """Letters are what is left where the network hears no phones."""
    phones = PhonesSpec(("", " ", "x", "y"), {"ab": ("x", "y"), "bb": ("y",)})
    n_letters = len(ALPHABET)
    scores = np.zeros((4, n_letters + 4), np.float32)
    scores[range(4), [n_letters + place for place in (2, 3, 1, 3)]] = 9.0  # x y _ y
    scores[range(4), [ALPHABET.index(c) for c in "bbab"]] = 5.0

    for words, heard, own_scores, expected in (
        (("ab", "bb"), phones, scores, "ab bb"),
        (("ab", "ba", "bab"), None, scores[:, :n_letters], "bab"),
    ):
        graph = SpelledGrammar(ALPHABET, 0, word_loop(words), heard)
        decoder = GrammarDecoder(graph)
        decoder.feed(own_scores)
        assert expected == decoder.finish()
