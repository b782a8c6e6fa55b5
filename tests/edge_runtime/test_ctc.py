from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.ctc import GreedyDecoder, greedy_text
from edge_runtime.errors import EngineError

ALPHABET = ("", " ", "a", "b")


def logits(path: list[int]) -> np.ndarray:
    return np.eye(len(ALPHABET), dtype=np.float32)[np.array(path, int)]


def collapse(path: list[int]) -> str:
    """Return the text of a path by the definition: merge, drop blanks, tidy spaces."""
    merged = [symbol for symbol, _ in itertools.groupby(path)]
    return " ".join("".join(ALPHABET[symbol] for symbol in merged).split())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([], ""),
        ([0, 0, 0], ""),
        ([2, 2, 2], "a"),
        ([2, 0, 2], "aa"),
        ([2, 3, 2], "aba"),
        ([1, 2, 1, 0, 1, 3, 1], "a b"),
    ],
)
def test_repeats_merge_unless_a_blank_stands_between(
    path: list[int], text: str
) -> None:
    """A symbol that lasts is written once; spaces never double nor stand at ends."""
    assert text == greedy_text(logits(path), ALPHABET, blank=0)


@given(path=st.lists(st.integers(0, 3), max_size=40), data=st.data())
def test_chunking_does_not_show(path: list[int], data: st.DataObject) -> None:
    """Logits in blocks of any length, even none, give the text of the whole."""
    cuts = data.draw(st.lists(st.integers(0, len(path)), max_size=6))
    decoder = GreedyDecoder(ALPHABET, blank=0)

    for part in np.split(logits(path), sorted(cuts)):
        decoder.feed(part)

    assert collapse(path) == decoder.text


def test_a_tie_goes_to_the_first_symbol() -> None:
    """Equal logits are decided the same way everywhere."""
    even = np.zeros((1, 4), np.float32)

    assert "" == greedy_text(even, ALPHABET, blank=0)
    assert "" == greedy_text(even, ("", "a", " ", "b"), blank=0)
    assert "a" == greedy_text(even, ("a", "", " ", "b"), blank=1)


def test_logits_that_are_no_numbers_are_refused() -> None:
    """A damaged model is told of, where its text could not be true."""
    with pytest.raises(EngineError, match="logits: found nan, expected finite"):
        greedy_text(np.full((2, 4), np.nan, np.float32), ALPHABET, blank=0)
