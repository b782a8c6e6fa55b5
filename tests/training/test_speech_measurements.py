"""What is measured of speech, on sound of which all is known."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.errors import DataError, SettingError
from edge_runtime.transcriber import Transcriber
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle
from training import long_recording
from training.long_recording import Placed, drift_ms, write_recording
from training.sound_augmentation import to_16_bits
from training.speech import read_table
from training.speech_latency import RATE_HZ, Spoken, measure, read_keywords
from training.speech_results import interval
from training.speech_tables import latency_table, long_table, speech_table

TONES_S = 2.7
"""Length of `spoken_tones`."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a table of two test clips of tones, and when their words end."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = ["path\ttext\tsplit\tkind\tkw_end"]
    for name in ("a", "b"):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(to_16_bits(spoken_tones(RATE_HZ)).tobytes())
        rows.append(f"{name}.wav\tab\ttest\tkeyword\t2.0")
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def tones(tmp_path: Path) -> Bundle:
    """Return a bundle that writes low tones as a, high ones as b."""
    return Bundle.open(tones_bundle(tmp_path))


def test_a_keyword_is_followed_from_its_end(corpus: Path, tones: Bundle) -> None:
    """Text comes while it is said, and is final a pause behind it."""
    first, _ = read_keywords(corpus)

    with Transcriber(tones, open_engine("litert", tones.models[0]), RATE_HZ) as made:
        delays = measure(made, first)
        again = measure(made, Spoken(first.samples, "ab", first.end_s + 1.0))

    assert ("ab", 2.5) == (first.word, first.end_s)
    assert delays.first_partial is not None
    assert delays.final is not None
    assert delays.first_partial < delays.final
    assert len(delays.chunks) == len(again.chunks) > 0
    assert again.final == pytest.approx(delays.final - 1000, abs=100)


def test_a_table_without_times_is_told(corpus: Path) -> None:
    """It names the column."""
    table = corpus / "transcripts.tsv"
    table.write_text(table.read_text().replace("2.0", "soon"))

    with pytest.raises(DataError, match=r"a\.wav: no number in column kw_end"):
        list(read_keywords(corpus))


def test_clips_lie_in_a_long_recording_where_it_is_said(
    corpus: Path, tmp_path: Path
) -> None:
    """One after the other, again and again, with pauses between."""
    clips = read_table(corpus).utterances
    hours = 20 / 3600

    placed = write_recording(tmp_path / "long.wav", clips, hours)

    with wave.open(str(tmp_path / "long.wav"), "rb") as file:
        samples = np.frombuffer(file.readframes(2**30), "<i2")
        assert RATE_HZ == file.getframerate()
    assert 5 == len(placed)
    step_s = TONES_S + long_recording.PAUSE_S
    assert [n * step_s for n in range(5)] == pytest.approx([p.start_s for p in placed])
    for clip in placed:
        start, end = (round(s * RATE_HZ) for s in (clip.start_s, clip.end_s))
        said = to_16_bits(spoken_tones(RATE_HZ)).astype(int)
        np.testing.assert_allclose(said, samples[start:end], atol=1)


def test_a_long_recording_is_measured(
    corpus: Path, tones: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, whose memory is watched."""
    monkeypatch.setattr(long_recording, "LOOKED_AT_EVERY_S", 0.02)
    clips = read_table(corpus).utterances

    row = long_recording.measure(str(tones.folder), clips, hours=60 / 3600)

    assert row["n_clips"] == row["n_utterances"] > 10
    assert 10**7 < row["peak_rss_bytes"] < 10**9
    assert abs(row["drift_ms"]) < 50
    assert "0.0 hours" in long_table([row])


def test_a_drift_is_that_of_the_same_clips() -> None:
    """What differs from clip to clip is none."""
    placed = [Placed("xy"[n % 2], 10.0 * n, 10.0 * n + 5.0) for n in range(40)]
    starts_s = [p.start_s + (0.1 if p.name == "x" else 0.9) for p in placed]

    late = [start * 1.001 for start in starts_s]

    assert 0.0 == pytest.approx(drift_ms(placed, starts_s), abs=1e-6)
    assert 370 == pytest.approx(drift_ms(placed, late), abs=20)
    with pytest.raises(SettingError, match="no clip of its end stands"):
        drift_ms(placed, [])


def test_an_interval_holds_the_quotient() -> None:
    """And is narrow where all clips are alike."""
    alike = interval([(1, 4)] * 50)
    rng = np.random.default_rng(0)
    unlike = interval([(int(rng.integers(0, 5)), 4) for _ in range(50)])

    assert [0.25, 0.25] == alike
    assert unlike[0] < 0.5 < unlike[1]
    assert 0.05 < unlike[1] - unlike[0] < 0.3


def test_tables_have_both_cuts_in_a_line() -> None:
    """What is understood and rejected stands there as such."""
    same = {"engine": "litert", "engine_version": "2", "precision": "int8"}
    spoken = {
        **same,
        "data": "talk",
        "decoding": "greedy",
        "n_utterances": 9,
        "wer": 0.5,
        "cer": 0.25,
        "wer_interval": [0.4, 0.6],
        "rtf": 0.02,
    }
    ordered = {
        **same,
        "data": "orders",
        "decoding": "grammar",
        "n_utterances": 4,
        "accuracy": 0.75,
        "accuracy_interval": [0.5, 1.0],
        "rtf": 0.01,
    }
    rejected = {**spoken, "data": "talk, to be rejected", "n_understood": 0}

    shown = speech_table(
        [
            {**spoken, "cut": "whole"},
            {**spoken, "cut": "pieces of 10 ms", "rtf": 0.03},
            {**ordered, "cut": "whole"},
            {**rejected, "cut": "whole"},
        ]
    )

    assert (
        "| talk | greedy | litert 2 | int8 | 9 | 50.0% of words wrong (40.0% to 60.0%)"
        " | 50.0% of words wrong (40.0% to 60.0%) | 25.0% | 0.030 |"
    ) in shown
    assert "| 75.0% understood (50.0% to 100.0%) | – |  | 0.010 |" in shown
    assert "| 100.0% rejected | – |  | 0.020 |" in shown


def test_latencies_are_quantiles() -> None:
    """A way of decoding without partial texts has none."""
    row = {"decoding": "keywords", "n_clips": 3, "pause_ms": 600.0}
    for name, value in (("first_partial", None), ("final", 640.4), ("chunk", 1.25)):
        row |= {f"{name}_{share}_ms": value for share in ("p50", "p90", "p99")}

    assert "| keywords | 3 | – | 640 / 640 / 640 | 1.2 / 1.2 / 1.2 |" in latency_table(
        [row]
    )
