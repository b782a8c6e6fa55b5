"""Sentences to be spoken, out of grammars and texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import DataError
from edge_runtime.speech.grammar import parse_grammar, understand
from training.sentences import LONGEST_WORDS, draw_sentence, read_source


def test_every_sentence_of_a_grammar_can_be_drawn() -> None:
    """And no other."""
    grammar = parse_grammar("#JSGF V1.0; public <a> = go [far] (left | right) [now];")
    rng = np.random.default_rng(0)

    drawn = {draw_sentence(grammar, rng) for _ in range(200)}

    sides = ("left", "right")
    assert drawn == {
        f"go {far}{side}{now}"
        for far in ("", "far ")
        for side in sides
        for now in ("", " now")
    }


def test_endless_grammars_end() -> None:
    """At the first end behind so many words."""
    grammar = parse_grammar("#JSGF V1.0; public <a> = (very very)+;")
    rng = np.random.default_rng(0)

    lengths = {len(draw_sentence(grammar, rng).split()) for _ in range(300)}

    assert max(lengths) <= LONGEST_WORDS
    assert all(length % 2 == 0 for length in lengths)


def test_the_ready_made_grammar_is_drawn_from() -> None:
    """Each sentence is understood."""
    source = read_source("coffee")
    grammar = parse_grammar(source.text)
    rng = np.random.default_rng(0)

    for _ in range(50):
        sentence = source.draw(rng)
        assert understand(grammar, sentence.split()) is not None, sentence


@pytest.mark.parametrize("seed", [0, 1])
def test_a_text_gives_its_lines(tmp_path: Path, seed: int) -> None:
    """As they are spoken."""
    path = tmp_path / "a.txt"
    path.write_text("Switch 2 on!\n\n")

    assert "switch two on" == read_source(str(path)).draw(np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["tea", "t" * 300])
def test_what_is_not_there_is_told(name: str) -> None:
    """Also where a name is too long to be one."""
    with pytest.raises(DataError, match=r"no such file, nor a ready-made grammar \("):
        read_source(name)
