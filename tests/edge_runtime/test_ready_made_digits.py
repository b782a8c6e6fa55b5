"""The ready-made bundle `digits` on recordings of a speaker that it never heard."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.audio import read_audio
from edge_runtime.bundle import BUNDLES, Bundle
from edge_runtime.decoder import whole_text
from edge_runtime.engine import Engine
from edge_runtime.resample import resample
from edge_runtime.transcriber import (
    FLUSH_MS,
    Transcriber,
    front_end_of,
    open_speech,
    require_speech,
)

DATA = Path(os.environ.get("TIEDGE_DATA", "../shared/data"))
TABLE = DATA / "speech" / "free-spoken-digit" / "transcripts.tsv"
N_CLIPS = 25
"""Checked by every test run; the campaign checks all 500."""


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Bundle, Engine]]:
    if not (BUNDLES / "digits").is_dir():
        pytest.skip("the ready-made bundle digits is not built; run make bundles")
    bundle, engine = open_speech("digits", "litert", "int8", threads=1)
    with engine:
        yield bundle, engine


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Path]]:
    """Return text and path of every clip of the unseen speaker."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    if not TABLE.exists():
        pytest.skip("the free-spoken-digit recordings are not there; set TIEDGE_DATA")
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            (row["text"], TABLE.parent / row["path"])
            for row in rows
            if row["split_speaker_disjoint"] == "dev"
        ]


def offline_text(bundle: Bundle, engine: Engine, samples: NDArray[np.float32]) -> str:
    """Return the text of samples at the bundle's rate, with all of them at hand."""
    speech = require_speech(bundle)
    front_end = front_end_of(speech)
    step = speech.chunk_frames * front_end.hop_samples
    block = front_end.samples_of(speech.chunk_frames)
    n_wanted = len(samples) + FLUSH_MS * speech.sample_rate_hz // 1000
    n_blocks = max(1, -(-(n_wanted - block) // step) + 1)
    padded = np.zeros(block + (n_blocks - 1) * step, np.float32)
    padded[: len(samples)] = samples
    states = {s.input: np.full(s.shape, s.reset, np.float32) for s in bundle.states}
    logits = []
    for start in range(0, n_blocks * step, step):
        features = front_end.features(padded[start : start + block].copy())
        outputs = engine.run("step", {"features": features[None], **states})
        states = {s.input: outputs[s.output] for s in bundle.states}
        logits.append(outputs["logits"][0])
    return whole_text(
        np.concatenate(logits), speech.alphabet, speech.blank, speech.vocabulary
    )


def chunked_text(
    bundle: Bundle,
    engine: Engine,
    samples: NDArray[np.float32],
    rate_hz: int,
    seed: int,
) -> str:
    """Return the text of samples fed in random chunks, some of them empty."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(samples) + 1, rng.integers(0, 40)))
    transcriber = Transcriber(bundle, engine, rate_hz)
    events = [e for part in np.split(samples, cuts) for e in transcriber.feed(part)]
    said = [e.text for e in (*events, transcriber.finish()) if e.kind == "final"]
    return " ".join(text for text in said if text)


def check_chunkings(
    opened: tuple[Bundle, Engine], clips: list[tuple[str, Path]]
) -> None:
    bundle, engine = opened
    speech = require_speech(bundle)
    for seed, (_, path) in enumerate(clips):
        samples, rate_hz = read_audio(path)
        whole = resample(samples, rate_hz, speech.sample_rate_hz)

        expected = offline_text(bundle, engine, whole)

        assert expected == chunked_text(bundle, engine, samples, rate_hz, seed), path


def test_chunking_does_not_show_in_the_int8_file(
    opened: tuple[Bundle, Engine], clips: list[tuple[str, Path]]
) -> None:
    """Random chunks give the text of a computation that has the whole clip at hand."""
    check_chunkings(opened, clips[:: len(clips) // N_CLIPS])


@pytest.mark.campaign
def test_chunking_does_not_show_on_any_clip(
    opened: tuple[Bundle, Engine], clips: list[tuple[str, Path]]
) -> None:
    """Every clip of the unseen speaker keeps its text under random chunking."""
    check_chunkings(opened, clips)


def test_the_unseen_speaker_is_understood(
    opened: tuple[Bundle, Engine], clips: list[tuple[str, Path]]
) -> None:
    """Nine of ten clips, of all digits, come out right; the card has the exact rate."""
    bundle, engine = opened
    chosen = clips[:: len(clips) // N_CLIPS]

    right = 0
    for text, path in chosen:
        samples, rate_hz = read_audio(path)
        right += text == chunked_text(bundle, engine, samples, rate_hz, seed=0)

    assert right >= 0.9 * len(chosen)


def test_digital_silence_says_nothing(opened: tuple[Bundle, Engine]) -> None:
    """Three seconds of zeros give no text."""
    bundle, engine = opened

    assert "" == chunked_text(bundle, engine, np.zeros(24_000, np.float32), 8000, 0)
