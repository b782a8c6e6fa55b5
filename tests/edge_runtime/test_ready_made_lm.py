"""The ready-made language model, as it is shipped."""

from __future__ import annotations

import numpy as np
import pytest

import tiedge
from edge_runtime.engines import installed_engines
from edge_runtime.speech.language_model import open_language_model

SAID = {"sherlock": "holmes", "united": "states", "cup": "of"}
"""A word of its texts, and what follows it as a rule."""


@pytest.mark.parametrize("engine", installed_engines())
def test_it_knows_what_follows(engine: str) -> None:
    """Among ten thousand words, the one that everybody would say."""
    model = open_language_model("lm", engine)
    with model.engine:
        places = [model.words.index(word) for word in SAID]
        found = model.extend([(model.start(), place) for place in places])

    following = [model.words[int(c.log_probabilities.argmax())] for c in found]
    assert list(SAID.values()) == following
    for context in found:
        assert 1.0 == pytest.approx(np.exp(context.log_probabilities).sum(), abs=1e-3)


def test_write_continues_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    """The same with the same seed."""
    texts = []
    for _ in range(2):
        assert 0 == tiedge.main(["write", "Once upon", "--seed", "3", "--words", "12"])
        texts.append(capsys.readouterr().out)

    assert texts[0] == texts[1]
    assert texts[0].startswith("Once upon ")
