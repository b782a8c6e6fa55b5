"""`tiedge write` with odd texts and settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiedge
from edge_runtime.commands.write import continued, known_words
from edge_runtime.speech.language_model import LanguageModel, open_language_model

ROOT = Path(tiedge.__file__).parent


@pytest.fixture(scope="module")
def lm() -> Iterator[LanguageModel]:
    model = open_language_model("lm")
    with model.engine:
        yield model


def written(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert 0 == tiedge.main(["write", *arguments, "--words", "6"])
    return capsys.readouterr().out


@pytest.mark.parametrize("temperature", ["5e-324", "1e-300", "1e-9", "-0.0"])
def test_the_lowest_temperatures_are_like_0(
    temperature: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The likeliest words, though divisions overflow."""
    texts = {
        written(capsys, "Once upon", f"--temperature={t}") for t in ("0", temperature)
    }

    assert 1 == len(texts)


@pytest.mark.parametrize("temperature", ["nan", "inf", "-1", "1e999", "warm"])
def test_temperatures_that_mean_nothing_are_refused(
    temperature: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, before anything is written."""
    status = tiedge.main(["write", "Once", f"--temperature={temperature}"])

    output = capsys.readouterr()
    assert (1, "", 1) == (status, output.out, output.err.count("\n"))
    assert output.err.startswith("tiedge write: argument --temperature: found ")


def test_no_sentence_is_empty(lm: LanguageModel) -> None:
    """Or a model for which an end follows an end would never come to a word."""
    words = list(continued(lm, [], 300, 1.5, 0))

    pairs = zip(["", *words], words, strict=False)
    assert ("", "") not in set(pairs)
    assert 300 == sum(map(bool, words))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the café, is naïve", "café naïve"),
        ("“xyzzy-holmes” said 42 times", "xyzzy-holmes 42"),
        ("cafe\u0301!", "café"),
        ("<unk> a\x1bq", "unk a\\x1bq"),
        ("Ωmega 日本", "Ωmega 日本"),
    ],
)
def test_words_that_are_not_known_are_named_as_typed(
    text: str, told: str, lm: LanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole, not the letters of them that are known."""
    places = known_words(lm, text)

    assert f"tiedge write: lm does not know: {told}\n" == capsys.readouterr().err
    assert lm.unknown in places


def test_quotes_and_dashes_do_not_hide_words(
    lm: LanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor are marks alone words."""
    places = known_words(lm, "'The' well-known “don’t” … -- & _of_")

    assert "" == capsys.readouterr().err
    words = ["the", "well", "known", "don't", "of"]
    assert words == [lm.words[place] for place in places]


def test_a_text_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes begins without a space; JSON has it, too."""
    assert written(capsys, "")[0].isalpha()
    assert not json.loads(written(capsys, " \n ", "--json"))["text"].startswith(" ")


@pytest.mark.parametrize("words", ["0", "-3", "1000000000", "1e3"])
def test_how_many_words_is_bounded(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    assert 1 == tiedge.main(["write", "Once", "--words", words])
    assert "tiedge write: argument --words: found " in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_ends_it() -> None:
    """Without a word on stderr."""
    command = [sys.executable, "tiedge.py", "write", "Once", "--words", "100000"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"Once" == process.stdout.read(4)
        process.stdout.close()

        assert b"" == process.stderr.read()
        assert 1 == process.wait()


def test_a_draw_is_as_likely_as_the_model_says(lm: LanguageModel) -> None:
    """At temperature 1, first words come as often as their probability has it."""
    n = 300
    drawn = [next(iter(continued(lm, [], 1, 1.0, seed))) for seed in range(n)]
    likely = np.exp(lm.start().log_probabilities.astype(np.float64))
    word = lm.words[int(np.argmax(np.where(np.arange(len(likely)) > 1, likely, 0.0)))]
    expected = likely[lm.words.index(word)] / (1 - likely[lm.end] - likely[lm.unknown])

    spread = np.sqrt(n * expected * (1 - expected))
    assert n * expected == pytest.approx(drawn.count(word), abs=4 * spread)
