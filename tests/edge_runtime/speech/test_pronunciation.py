"""Words that a network's own list has not, said by a file or by espeak-ng."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.decoder import Decoding
from edge_runtime.errors import GrammarError, SettingError
from edge_runtime.speech.grammar import parse_grammar, word_loop
from edge_runtime.speech.pronunciation import with_lexicon, with_words

ALPHABET = ("", " ", "a", "c", "t")
PHONES = PhonesSpec(("", " ", "k", "t", "æ"), {"act": ("æ", "k", "t")})


@pytest.fixture
def espeak() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")


def test_espeak_says_a_word_that_is_not_known(espeak: None) -> None:
    """Those that are known stay as they are."""
    found = with_words(PHONES, ["act", "cat"])

    assert {"act": ("æ", "k", "t"), "cat": ("k", "æ", "t")} == found.words
    assert {"act"} == set(PHONES.words)


def test_without_espeak_an_unknown_word_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Letters would be a guess, and wrong more often than not."""
    monkeypatch.setenv("PATH", "")

    assert PHONES is with_words(PHONES, ["act"])
    with pytest.raises(SettingError) as caught:
        with_words(PHONES, ["act", *"abcdefg"])

    assert (
        "words 'a', 'b', 'c', 'd', 'e' and 2 more: no pronunciation is known; run:"
        " apt-get install espeak-ng, or write each with its phones into a file for"
        " --lexicon" == str(caught.value)
    )


def test_a_file_says_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are found by their sounds, before all that the bundle has."""
    monkeypatch.setenv("PATH", "")
    lexicon = tmp_path / "names.txt"
    lexicon.write_text("tac k k æ\n\nact t æ k\n", "utf-8")

    found = with_lexicon(PHONES, lexicon)

    assert {"tac": ("k", "k", "æ"), "act": ("t", "æ", "k")} == found.words
    logits = np.full((3, len(ALPHABET) + len(PHONES.symbols)), -9.0, np.float32)
    said = [PHONES.symbols.index(phone) for phone in ("t", "æ", "k")]
    logits[range(3), [len(ALPHABET) + place for place in said]] = 9.0
    decoding = Decoding(word_loop(("act", "tac")), lexicon=lexicon)
    decoder = decoding.maker(ALPHABET, 0, (), PHONES)()
    decoder.feed(logits)
    assert "act" == decoder.finish()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cat k q t\n", "names.txt, line 1: found 'cat k q t', expected a word and"),
        (b"act k\ncat\n", "line 2: found 'cat', expected a word and its phones, of k"),
        (b"\xff", "names.txt: cannot be read: "),
    ],
)
def test_a_file_that_says_something_else_is_told(
    tmp_path: Path, content: bytes, told: str
) -> None:
    lexicon = tmp_path / "names.txt"
    lexicon.write_bytes(content)

    with pytest.raises(SettingError, match=told):
        with_lexicon(PHONES, lexicon)


def test_a_file_is_of_no_use_to_a_network_of_letters(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="hears letters alone; leave it out"):
        with_lexicon(None, tmp_path / "names.txt")


def test_a_word_of_a_grammar_without_sound_is_told() -> None:
    """With its line."""
    silent = PhonesSpec(PHONES.symbols, {"tact": ()})
    grammar = parse_grammar("#JSGF V1.0;\npublic <go> =\n tact;", "g.gram")

    with pytest.raises(GrammarError, match=r"g\.gram, line 3: word 'tact': has no"):
        Decoding(grammar).maker(ALPHABET, 0, (), silent)
