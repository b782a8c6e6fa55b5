"""The figures of shared values: how they are made, and that documents agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import DataError
from training.clustering_results import (
    DOCUMENT,
    NAME,
    fill_document,
    fine_tuning_settings,
    main,
)
from training.recipe import override
from training.recipes import RECIPES
from training.record import read_record
from training.results import ROOT, Setup, sources_sha256
from training.subject import CHECKPOINTS

CHANGED = {"steps", "validate_steps", "warmup_steps", "learning_rate", "clusters"}


def results() -> dict[str, Any]:
    """Return what results/clustering.json holds."""
    path = ROOT / "results" / f"{NAME}.json"
    if not path.is_file():
        pytest.skip(f"results/{NAME}.json: not measured yet; run make campaign")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["denoise", "digits"])
def test_fine_tuning_keeps_the_checkpoints_settings(name: str) -> None:
    """Written out and read again, only length, rate and clusters are others."""
    kind = RECIPES[name].settings
    checkpoint = CHECKPOINTS / name

    recipe = override(kind(), fine_tuning_settings(checkpoint, 16))

    recorded = read_record(checkpoint)["settings"]
    kept = {k: tuple(v) if isinstance(v, list) else v for k, v in recorded.items()}
    assert 16 == recipe.clusters
    assert {} == {
        k: v for k, v in kept.items() if k not in CHANGED and getattr(recipe, k) != v
    }


def test_no_file_holds_more_values_than_were_asked_for() -> None:
    """In every file the reduced weights stay reduced."""
    clustered = [row for row in results()["rows"] if row["clusters"]]

    assert {(name, n) for name in ("denoise", "digits") for n in (16, 32)} == {
        (row["checkpoint"], row["clusters"]) for row in clustered
    }
    assert [] == [r for r in clustered if r["most_distinct_values"] > r["clusters"]]


def test_the_table_is_that_of_the_results() -> None:
    """The document holds what the command writes from the results as they stand."""
    written = (ROOT / DOCUMENT).read_text(encoding="utf-8")

    assert written == fill_document(written, results())


def test_results_belong_to_these_sources() -> None:
    """The results were measured with the sources and bundles of this checkout."""
    assert results()["sources_sha256"] == sources_sha256(NAME, Setup()), (
        "results/clustering.json is stale; run python -m training.clustering_results"
    )


def test_a_document_without_a_place_is_refused() -> None:
    """The line shows the marks that are expected."""
    with pytest.raises(
        DataError,
        match=r"^docs/recipes\.md: no place for a table, expected"
        r" <!-- table:clustering --> <!-- /table:clustering -->$",
    ):
        fill_document("# Recipes\n", results())


def test_a_failed_measurement_leaves_all_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without data there is one line on stderr, status 1, and no results file."""
    monkeypatch.setenv("TIEDGE_DATA", str(tmp_path / "nowhere"))
    before = results()

    status = main([])

    assert 1 == status
    assert capsys.readouterr().err.startswith("clustering_results: ")
    assert before == results()
