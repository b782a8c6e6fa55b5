"""What the study of sharing in speech makes of its trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import DataError
from training.checkpoint import save_weights
from training.recipe import override
from training.recipes.lm import LmRecipe
from training.recipes.transcribe import TranscribeRecipe
from training.speech_study import QUESTIONS, Question, Variant, summarize, write

ENDS = (30.0, 31.0, 35.0)
"""Last perplexity of each seed."""
QUESTION = Question(
    "words",
    "lm",
    "words=4 hidden=2",
    (Variant("one table", ""), Variant("two tables", "tied=false")),
    ("perplexity_ljspeech",),
)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return runs of three seeds, as `tiedge train` leaves them."""
    recipe = LmRecipe(words=4, hidden=2)
    found = []
    for seed, end in enumerate(ENDS):
        folder = tmp_path / f"{seed}"
        save_weights(folder, "lm", recipe, recipe.network().state_dict(), 2, {})
        rows = f"step,perplexity_ljspeech\n1,90\n2,{end}\n"
        (folder / "log.csv").write_text(rows)
        found.append(folder)
    return found


def test_a_variant_is_its_mean_over_seeds(folders: list[Path]) -> None:
    """With Student's interval, and the curve of each seed."""
    row = summarize(QUESTION, QUESTION.variants[0], folders)

    n_weights = sum(
        p.numel() for p in LmRecipe(words=4, hidden=2).network().parameters()
    )
    assert 32.0 == row["perplexity_ljspeech"]
    assert 6.572 == pytest.approx(row["perplexity_ljspeech_half_interval"], abs=1e-3)
    assert [[1, 90.0], [2, 35.0]] == row["curves"][2]
    assert (3, n_weights) == (row["n_seeds"], row["n_parameters"])


def test_results_table_and_plot_keep_other_questions(
    folders: list[Path], tmp_path: Path
) -> None:
    """A question that is measured anew takes the place of its rows alone."""
    for name in ("results", "docs"):
        (tmp_path / name).mkdir()
    document = tmp_path / "docs" / "speech.md"
    document.write_text("a <!-- table:speech_study --> <!-- /table:speech_study --> b")
    row = summarize(QUESTION, QUESTION.variants[0], folders)
    other = {**row, "question": "layers", "variant": "one cell"}

    write(tmp_path, "words", [row])
    write(tmp_path, "layers", [other])
    write(tmp_path, "words", [{**row, "variant": "one table of words"}])

    found = json.loads((tmp_path / "results" / "speech_study.json").read_text())
    assert ["one cell", "one table of words"] == [r["variant"] for r in found["rows"]]
    shown = document.read_text()
    assert "| one table of words | 56 | 32.0 ± 6.6 |" in shown
    assert "| layers | parameters | perplexity, ljspeech |" in shown
    assert b"PNG" in (tmp_path / "docs" / "speech_study.png").read_bytes()[:4]


def test_without_a_place_for_the_table_nothing_is_written(
    folders: list[Path], tmp_path: Path
) -> None:
    """The results would not be those that the document shows."""
    for name in ("results", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "docs" / "speech.md").write_text("no marks")
    row = summarize(QUESTION, QUESTION.variants[0], folders)

    with pytest.raises(DataError, match="no place for a table"):
        write(tmp_path, "words", [row])

    assert [] == list((tmp_path / "results").iterdir())


def test_variants_of_equal_size_have_it() -> None:
    """Within two percent of the shared one."""
    kinds = {"transcribe": TranscribeRecipe, "lm": LmRecipe}
    for question in QUESTIONS:
        for variant in question.variants:
            if "equal size" not in variant.name:
                continue
            sizes = [
                sum(
                    parameter.numel()
                    for parameter in _recipe(kinds[question.recipe], question, settings)
                    .network()
                    .parameters()
                )
                for settings in ("", variant.settings)
            ]
            assert sizes[0] == pytest.approx(sizes[1], rel=0.02), variant.name


def _recipe(kind: Any, question: Question, settings: str) -> Any:
    named = [*question.common.split(), *settings.split()]
    if kind is TranscribeRecipe:
        named.append("phones=0")
    return override(kind(), named)
