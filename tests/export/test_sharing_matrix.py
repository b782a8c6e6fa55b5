"""Every way of sharing, in both formats: right, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.files import write_text
from export.convert import convert
from export.order import PRECISIONS
from tests.export.sharing_matrix import (
    PAGE,
    RESULTS,
    RIGHT,
    WRONG,
    judged,
    measure,
    page,
    results,
    sources_sha256,
    totals,
)
from tests.export.sharing_patterns import PATTERNS, Pattern

LEAST_SHARE = {"tflite": 0.95, "pte": 0.85}
"""Of the cells whose untied twin exports, so many are right at least."""


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_every_pattern_is_kept(pattern: Pattern, tmp_path: Path) -> None:
    """Both formats, in fp32 and int8, hold each weight once and compute as it does.

    `convert` compares every file with the module on each engine, and refuses it where
    they differ.
    """
    precisions = ("fp32", "int8")

    bundle = convert(
        pattern.entries(tied=True),
        tmp_path / "pattern",
        precisions=precisions,
        say=lambda line: None,
    )

    files = [(model.format, model.precision) for model in bundle.models]
    assert [(f, p) for f in ("tflite", "pte") for p in precisions] == files
    assert [0] * 4 == [model.sharing.duplicate_bytes for model in bundle.models]


def test_untied_twins_share_nothing() -> None:
    """The twin has more parameters, unless nothing runs twice, and the same inputs."""
    for pattern in PATTERNS[1:]:
        n_parameters = [
            len(
                {
                    p
                    for e in pattern.entries(tied=tied).values()
                    for p in e.module.parameters()
                }
            )
            for tied in (True, False)
        ]

        assert n_parameters[0] < n_parameters[1], pattern.name


@pytest.mark.parametrize(
    ("snr_db", "twin_db", "n_in_turn", "expected"),
    [
        (35.9, 40.0, 1, WRONG),
        (36.0, 40.0, 1, RIGHT),
        (36.0, 90.0, 1, RIGHT),
        (29.9, 40.0, 4, WRONG),
        (30.0, 40.0, 4, RIGHT),
        (20.0, 22.0, 16, RIGHT),
        (19.9, 22.0, 16, WRONG),
    ],
)
def test_a_file_is_held_against_its_twin(
    snr_db: float, twin_db: float, n_in_turn: int, expected: str
) -> None:
    """More uses in turn allow for more noise, but never for more than the floor does.

    Of 4 uses alike, the noise is at most 4 times that of 4 unlike ones: 6 dB.
    """
    cells = [
        {"duplicate_bytes": 0, "engines": {"litert": {"snr_db": db}}}
        for db in (snr_db, twin_db)
    ]

    row = judged(cells[0], "int8", cells[1], n_in_turn)

    assert expected == row["verdict"]


@pytest.mark.campaign
def test_the_whole_matrix(tmp_path: Path, cache: pytest.Cache) -> None:
    """No cell is wrong, and most of what can be exported at all is right.

    Broken off, it goes on where it was at the next run.
    """
    kept = cache.mkdir("sharing_matrix")
    found = results(measure(PATTERNS, PRECISIONS, tmp_path, kept))

    write_text(RESULTS, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_text(PAGE, page(found))
    for format, least in LEAST_SHARE.items():
        counted = totals(found["rows"], format)
        assert 0 == counted[WRONG]
        assert 0 == counted["duplicate_bytes"]
        assert counted["right_of_those"] >= least * counted["twin_exports"]


def test_a_measurement_goes_on_where_it_was(tmp_path: Path) -> None:
    """Rows of a pattern that were kept are not measured again, unless more is asked."""
    kept = tmp_path / "kept"
    kept.mkdir()
    nothing: tuple[str, ...] = ()
    assert [] == list(measure(PATTERNS[:1], nothing, tmp_path, kept))
    (path,) = kept.iterdir()
    path.write_text('[{"pattern": "kept"}]')

    again = list(measure(PATTERNS[:2], nothing, tmp_path, kept))

    assert [{"pattern": "kept"}] == again
    assert 2 == len(list(kept.iterdir()))


@pytest.fixture
def committed() -> dict[str, Any]:
    """Return what the results file holds."""
    if not RESULTS.is_file():
        pytest.skip(f"results/{RESULTS.name}: not measured yet; run make campaign")
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def test_the_committed_matrix_is_of_these_sources(committed: dict[str, Any]) -> None:
    """A change of what decides a cell needs a new measurement: make campaign."""
    assert sources_sha256() == committed["sources_sha256"]
    assert len(PATTERNS) * len(PRECISIONS) * 2 == len(committed["rows"])


def test_the_page_shows_the_committed_matrix(committed: dict[str, Any]) -> None:
    """The documentation is made from the results file."""
    assert page(committed) == PAGE.read_text(encoding="utf-8")


def test_the_page_tells_of_what_is_refused_or_wrong(committed: dict[str, Any]) -> None:
    """A cell without a file has a number, and the reason stands below the table."""
    right = {"verdict": RIGHT, "duplicate_bytes": 0, "engines": {}}
    refused = {"verdict": "refused", "reason": "a.pte: cannot be had"}
    cell = {"pattern": "a", "n_in_turn": 1, "format": "pte", "precision": "int8"}
    rows = [cell | {"tied": refused, "untied": right}]

    text = page(committed | {"rows": rows})

    assert "| a | 1 | **refused** (1) [0 dB] |" in text
    assert "\n1. `a.pte: cannot be had`\n" in text
    assert "| .pte | 1 | 0 | 1 | 0 | 1 | 0% | 0 |" in text
