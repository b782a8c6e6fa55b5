"""Texts at hand, spoken by the programs that are installed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from edge_runtime.audio import read_audio
from edge_runtime.errors import DataError
from training.corpora import DEV, TRAIN
from training.synthetic_corpus import main, make_corpus
from training.synthetic_speech import FESTIVAL, PACKAGES
from training.texts import TRAINING_TEXTS

N_CLIPS, SEED = 15, 2
"""Festival has one of them."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with the four texts."""
    folder = tmp_path / "data"
    for number, name in enumerate(TRAINING_TEXTS):
        path = folder / "text" / name
        path.parent.mkdir(parents=True)
        unknown = "It <unk> sleeps.\n" if number == 0 else ""
        path.write_text(f"The {'big ' * number}dog runs home.\n{unknown}")
    monkeypatch.setenv("TIEDGE_DATA", str(folder))
    return folder


def test_a_corpus_is_spoken_once(data: Path, tmp_path: Path) -> None:
    """In three programs' voices, one held out; a second call keeps the clips."""
    missing = [PACKAGES[p] for p in PACKAGES if shutil.which(p) is None]
    if missing:
        pytest.skip(f"{' '.join(missing)}: not installed")
    folder = tmp_path / "spoken"

    table = make_corpus(folder, N_CLIPS, SEED)

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    programs = {row["speaker"].partition(":")[0]: row["split"] for row in rows}
    assert {"espeak-ng": TRAIN, "flite": TRAIN, FESTIVAL: DEV} == programs
    assert all(row["text"] and "<unk>" not in row["text"] for row in rows)
    for row in rows:
        samples, rate_hz = read_audio(folder / row["path"])
        assert len(samples) > 0.1 * rate_hz, row
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.opus")}
    assert N_CLIPS == len(made)
    counts = ["--clips", f"{N_CLIPS}", "--seed", f"{SEED}"]
    assert 0 == main(["--output", str(folder), *counts])
    assert made == {path: path.stat().st_mtime_ns for path in folder.rglob("*.opus")}


def test_a_missing_program_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its package, before anything is spoken."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DataError, match="espeak-ng is not installed; run: apt-get"):
        make_corpus(tmp_path / "spoken", 2, seed=0)

    assert not (tmp_path / "spoken").exists()
