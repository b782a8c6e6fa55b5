"""Texts at hand, spoken by the programs that are installed."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.audio import read_audio
from edge_runtime.errors import DataError, SettingError
from training import synthetic_corpus
from training.corpora import DEV, TRAIN
from training.synthetic_corpus import PLAN_FILE, main, make_corpus
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


@pytest.fixture
def programs() -> None:
    missing = [PACKAGES[p] for p in PACKAGES if shutil.which(p) is None]
    if missing:
        pytest.skip(f"{' '.join(missing)}: not installed")


def test_a_corpus_is_spoken_once(data: Path, tmp_path: Path, programs: None) -> None:
    """In three programs' voices, one held out; a second call keeps the clips."""
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "0"], "clips: found 0, expected 1 to 10000000"),
        (["--clips", "-3"], "clips: found -3, expected 1 to 10000000"),
        (["--seed", "-1"], "seed: found -1, expected 0 or more"),
    ],
)
def test_numbers_have_limits(
    data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """One line, and no folder."""
    with pytest.raises(SettingError, match=message):
        main(["--output", str(tmp_path / "spoken"), *arguments])

    assert not (tmp_path / "spoken").exists()


def test_a_file_is_no_folder_to_write_to(
    data: Path, tmp_path: Path, programs: None
) -> None:
    """Told before anything is spoken."""
    (tmp_path / "file").touch()

    with pytest.raises(SettingError, match="file: is no folder, expected one for"):
        make_corpus(tmp_path / "file", 1, seed=0)


def test_another_corpus_is_not_mixed_in(
    data: Path, tmp_path: Path, programs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of another seed would say other texts; more clips of the same may come."""
    folder = tmp_path / "spoken"
    make_corpus(folder, 2, seed=0)
    before = (folder / "transcripts.tsv").read_text()

    with pytest.raises(SettingError, match="holds other texts or voices than are"):
        make_corpus(folder, 2, seed=1)
    assert before == (folder / "transcripts.tsv").read_text()
    make_corpus(folder, 3, seed=0)
    assert (folder / "transcripts.tsv").read_text().startswith(before)
    monkeypatch.setenv("PATH", "")
    make_corpus(folder, 3, seed=0)  # all is there: no program is needed
    (folder / "0" / "1.opus").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.opus: damaged; delete it, it is made"):
        make_corpus(folder, 3, seed=0)


def test_a_call_that_was_stopped_goes_on(
    data: Path, tmp_path: Path, programs: None
) -> None:
    """It ends at once, in one line, and the same call makes the rest alone."""
    folder = tmp_path / "spoken"
    command = ["-m", "training.synthetic_corpus", "--output", str(folder)]
    root = Path(synthetic_corpus.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, *command, "--clips", "3000"],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not list(folder.rglob("[0-9]*.opus")):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)

    assert (130, "synthetic_corpus: stopped; the same call goes on") == (
        process.returncode,
        told.splitlines()[-1],
    )
    assert "Traceback" not in told
    assert not list(folder.rglob(".tiedge-*"))
    assert (folder / PLAN_FILE).exists()
    made = {p: p.stat().st_mtime_ns for p in folder.rglob("*.opus")}
    make_corpus(folder, 1, seed=0)
    assert made.items() <= {p: p.stat().st_mtime_ns for p in made}.items()
    assert not (folder / PLAN_FILE).exists()


def test_a_full_disk_is_told(data: Path, tmp_path: Path, programs: None) -> None:
    """Here, a limit on the size of files; nothing half-written is left."""
    folder = tmp_path / "spoken"
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from edge_runtime.errors import SettingError
from training import synthetic_corpus
noise = np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32)
synthetic_corpus.speak_one = lambda text, voice, rate_hz: noise
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    synthetic_corpus.make_corpus(Path(sys.argv[1]), 1, 0, draw=lambda rng: "one")
except SettingError as error:
    print(error)
"""

    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(synthetic_corpus.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"{folder}/0/0.opus: cannot be written" in done.stdout, done.stderr
    assert [] == [*folder.rglob("*.opus"), *folder.rglob(".tiedge-*")]
