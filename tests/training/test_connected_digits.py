from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from training.connected_digits import write_digit_strings, write_joined
from training.speech import read_clip, read_table

RATE_HZ = 8000
CLIP_SAMPLES = 800


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    folder = tmp_path / "spoken"
    folder.mkdir()
    rows = ["path\ttext\tsplit"]
    for name, text in (("a", "ONE"), ("b", "two, 3"), ("c", "call one"), ("d", "…")):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(np.full(CLIP_SAMPLES, 16384, "<i2").tobytes())
        rows.append(f"{name}.wav\t{text}\ttest")
    rows.append("a.wav\tnine\ttrain")
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_strings_of_digits_alone_are_kept(spoken: Path, tmp_path: Path) -> None:
    """Rows with any other word, without words or of another split are left out."""
    table = write_digit_strings(spoken, [("split", "test")], tmp_path / "out")

    assert [("a.wav", "one"), ("b.wav", "two three")] == [
        (u.path.name, u.text) for u in read_table(table).utterances
    ]
    assert all(u.path.is_file() for u in read_table(table).utterances)


def test_joined_clips_keep_their_words_in_order(spoken: Path, tmp_path: Path) -> None:
    """A string holds its clips whole, between gaps, and the same seed the same ones."""
    only = [("split", "train")]
    table = write_joined(spoken, only, tmp_path / "a", 5)
    again = write_joined(spoken, only, tmp_path / "b", 5)

    assert table.read_text() == again.read_text()
    for utterance in read_table(table).utterances:
        samples = read_clip(utterance.path, RATE_HZ)
        n_words = len(utterance.text.split())
        assert {"nine"} == set(utterance.text.split())
        assert 3 <= n_words <= 7
        assert n_words * CLIP_SAMPLES == np.count_nonzero(samples)
        assert len(samples) > n_words * CLIP_SAMPLES
