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
    refused,
)
from training.recipe import override
from training.recipes import RECIPES
from training.record import read_record
from training.result_sources import ROOT, sources_sha256
from training.result_tables import clustering_table
from training.results import Setup
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
    """In every file that was not refused the reduced weights stay reduced."""
    clustered = [row for row in results()["rows"] if row["clusters"]]
    files = [row for row in clustered if "refused" not in row]

    assert {(name, n) for name in ("denoise", "digits") for n in (16, 32)} == {
        (row["checkpoint"], row["clusters"]) for row in clustered
    }
    assert [] == [r for r in files if r["most_distinct_values"] > r["clusters"]]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "denoise.int8.tflite: converting\n"
            "tiedge export: denoise.int8.tflite on litert: signal-to-noise ratio"
            " 23.7 dB, expected at least 25: int8 costs too much; give more calibration"
            " inputs, or choose int8-dynamic\n",
            "signal-to-noise ratio 23.7 dB, expected at least 25",
        ),
        (
            "tiedge export: denoise.int8.tflite on litert: psnr_db 29.5, the module's"
            " is 30.1; expected at most 0.15 worse\n",
            "psnr_db 29.5, the module's is 30.1; expected at most 0.15 worse",
        ),
        ("tiedge export: runs/a: no such folder, expected a checkpoint\n", None),
        ("denoise.int8.tflite on litert: psnr_db 30.11, module 30.18\n", None),
    ],
)
def test_a_refused_file_is_told_from_a_failed_export(
    said: str, expected: str | None
) -> None:
    """What lost too much is a row of the table; other failures end the command."""
    assert expected == refused(said)


def test_the_table_shows_what_was_refused() -> None:
    """Such a row has no file, and the reason in place of a quality."""
    shipped, *_ = results()["rows"]
    row = {"checkpoint": "denoise", "clusters": 16, "steps": 600, "refused": "5 dB"}

    table = clustering_table(results() | {"rows": [shipped, row]})

    assert "| denoise | 16 |  |  |  |  | refused: 5 dB |" in table


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
