"""A language model from its checkpoint to a bundle that writes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiedge
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, SettingError
from edge_runtime.speech.language_model import open_language_model
from export.plans import plan_of
from training.checkpoint import save_weights
from training.data import DATA_DEFAULT, DATA_VARIABLE
from training.evaluation_language import perplexity
from training.recipes.lm import LmRecipe
from training.texts import (
    TRAINING_TEXTS,
    WORDS_FILE,
    known_words,
    numbered,
    read_sentences,
)
from training.trained import TrainedLanguage, open_checkpoint

TEXTS = Path(os.environ.get(DATA_VARIABLE, DATA_DEFAULT)) / "text"
RECIPE = LmRecipe(words=300, hidden=16, layers=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 300 words with random weights, spread so that words differ."""
    if not TEXTS.is_dir():
        pytest.skip("the texts are not there; set TIEDGE_DATA")
    folder = tmp_path_factory.mktemp("checkpoint")
    words = known_words(read_sentences(TEXTS / TRAINING_TEXTS[0]), RECIPE.words)
    torch.manual_seed(0)
    weights = RECIPE.network(len(words)).state_dict()
    weights["words.bias"].normal_(0.0, 2.0)
    files = {WORDS_FILE: "".join(f"{word}\n" for word in words)}
    save_weights(folder, "lm", RECIPE, weights, 1, {}, files=files)
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "lm"
    assert 0 == tiedge.main(["export", str(checkpoint), "-o", str(folder)])
    return folder


def trained(checkpoint: Path) -> TrainedLanguage:
    found = open_checkpoint(checkpoint)
    assert isinstance(found, TrainedLanguage)
    return found


def test_the_table_is_stored_once_in_every_file(bundle: Path) -> None:
    """It is read and written with, in both formats, at both precisions."""
    opened = Bundle.open(bundle)

    assert opened.language is not None
    assert RECIPE.words == len(opened.language.words)
    assert {
        ("tflite", "fp32"),
        ("tflite", "int8"),
        ("pte", "fp32"),
        ("pte", "int8"),
    } == {(model.format, model.precision) for model in opened.models}
    for model in opened.models:
        assert 0 == model.sharing.duplicate_bytes
        (table,) = [w for w in model.sharing.weights if w.name == "words.weight"]
        assert 2 == table.uses
        n_bytes = 1 if model.precision == "int8" else 4
        assert table.stored_bytes < RECIPE.words * (RECIPE.hidden + 4) * n_bytes + 1


@pytest.mark.parametrize("engine", ["litert", "executorch"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_texts_are_as_likely_as_in_training(
    checkpoint: Path, bundle: Path, engine: str, precision: str
) -> None:
    """Word by word, several texts at once, against whole sentences in torch."""
    source = trained(checkpoint)
    text = read_sentences(TEXTS / "ljspeech-sentences/dev.txt")[:11]
    sentences = numbered(text, source.words)

    model = open_language_model(str(bundle), engine, precision)
    with model.engine:
        found = perplexity(model, sentences)

    tolerance = 1e-4 if precision == "fp32" else 0.02
    assert source.perplexity(sentences) == pytest.approx(found, rel=tolerance)


def test_the_likeliest_words_are_those_of_the_network(
    checkpoint: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At temperature 0, a text goes on as torch has it; what is unknown is named."""
    source = trained(checkpoint)
    place = {word: number for number, word in enumerate(source.words)}
    text = [0, place["the"], 1, place["of"]]
    expected = []
    with torch.no_grad():
        while len([word for word in expected if word]) < 6:
            likely = source.network(torch.tensor([text]))[0, -1].numpy().copy()
            likely[1] = -np.inf
            word = int(likely.argmax())
            expected.append(source.words[word] if word else "")
            text = [*text, word] if word else [0]
    shown = " ".join(word or "." for word in expected).replace(" .", ".")

    asked = ["the Xyzzy of", "--bundle", str(bundle), "--precision", "fp32"]
    status = tiedge.main(["write", *asked, "--words", "6", "--temperature", "0"])

    output = capsys.readouterr()
    assert (0, f"the Xyzzy of {shown}\n") == (status, output.out)
    assert "tiedge write: lm does not know: Xyzzy\n" == output.err


def test_a_seed_writes_the_same_again(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one writes something else."""
    texts = []
    for seed in ("1", "1", "2"):
        tiedge.main(["write", "", "--bundle", str(bundle), "--seed", seed, "--json"])
        texts.append(json.loads(capsys.readouterr().out)["text"])

    assert texts[0] == texts[1] != texts[2]


def test_what_cannot_be_is_told(
    checkpoint: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A twin with two tables, bundles of another task, odd options: one line each."""
    recipe = replace(RECIPE, tied=False)
    source = trained(checkpoint)
    weights = recipe.network(len(source.words)).state_dict()
    files = {WORDS_FILE: (checkpoint / WORDS_FILE).read_text()}
    untied = checkpoint.parent / "untied"
    save_weights(untied, "lm", recipe, weights, 1, {}, files=files)
    with pytest.raises(SettingError, match="tied=false: is there to compare with"):
        plan_of(untied)
    with pytest.raises(BundleError, match='task is "speech", expected "language"'):
        open_language_model("digits")

    for arguments, message in (
        (["--temperature", "-1"], "--temperature: found -1, expected 0.0 to 10.0"),
        (["--words", "0"], "--words: found 0, expected 1 to 100000"),
    ):
        assert 1 == tiedge.main(["write", "a", "--bundle", str(bundle), *arguments])
        assert message in capsys.readouterr().err
