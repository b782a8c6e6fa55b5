"""The long live run: how it is measured, and that the document agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.pictures import write_picture
from tests.demo_app.hand_made_bundles import blur_bundle
from tests.edge_runtime.live.frames import waves
from training.live_figures import second_half_growth
from training.live_results import (
    DOCUMENT,
    HEIGHT_PX,
    NAME,
    WIDTH_PX,
    Plan,
    fill_document,
    main,
    measure,
    write_video,
)
from training.result_sources import ROOT, sources_sha256
from training.results import Setup


def results() -> dict[str, Any]:
    """Return what results/live.json holds."""
    found: dict[str, Any] = json.loads(
        (ROOT / "results" / f"{NAME}.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two photographs, one upright, that pan under noise for a second each."""
    pytest.importorskip(
        "cv2", reason="the live extra is not installed", exc_type=ImportError
    )
    (tmp_path / "photos").mkdir()
    for name, shape in (("a", (321, 481)), ("b", (481, 321))):
        write_picture(tmp_path / "photos" / f"{name}.png", waves(*shape))
    write_video(tmp_path / "video.avi", tmp_path / "photos")
    return tmp_path / "video.avi"


def test_a_run_is_watched_from_outside(video: Path, tmp_path: Path) -> None:
    """A row for each part of it, and one of all, which its reader's count confirms."""
    plan = Plan(str(blur_bundle(tmp_path)), "fp32", seconds=3.0, row_s=1.0, threads=1)

    *parts, whole = measure(plan, video)

    assert {"part"} == {row["kind"] for row in parts}
    assert all(row["rss_bytes"] > 10**7 for row in parts)
    assert (WIDTH_PX, HEIGHT_PX, 30.0) == (
        whole["width_px"],
        whole["height_px"],
        whole["fps"],
    )
    assert whole["n_captured"] == whole["n_shown"] + whole["n_dropped"]
    assert 0 < whole["n_received"] <= whole["n_shown"]


def test_the_video_moves(video: Path) -> None:
    """Each photograph pans: its frames differ by more than their noise."""
    from edge_runtime.live.opencv import VideoFile

    source = VideoFile(video)
    frames = [shot.pixels.astype(int) for _ in range(60) if (shot := source.read())]

    assert 60 == len(frames)
    assert np.abs(frames[1] - frames[0]).mean() < np.abs(frames[29] - frames[0]).mean()


def test_the_document_is_that_of_the_results() -> None:
    """It holds what the command writes from the results as they stand."""
    written = (ROOT / DOCUMENT).read_text(encoding="utf-8")

    assert written == fill_document(written, results())


def test_ten_minutes_kept_what_is_promised() -> None:
    """Memory came to rest, no frame was over the bound, dropped ones are counted."""
    *parts, whole = results()["rows"]

    assert 600 <= whole["seconds"]
    assert whole["n_captured"] == whole["n_shown"] + whole["n_dropped"]
    assert 0 == whole["n_over_bound"]
    assert whole["age_ms"]["longest"] <= whole["age_bound_ms"]
    assert whole["rss_growth_bytes"] < 10 * 10**6
    assert second_half_growth(parts) < 2 * 10**6


def test_results_belong_to_these_sources() -> None:
    """The results were measured with the sources and bundle of this checkout."""
    assert results()["sources_sha256"] == sources_sha256(NAME, Setup()), (
        "results/live.json is stale; run python -m training.live_results"
    )


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
    assert capsys.readouterr().err.startswith("live_results: ")
    assert before == results()
