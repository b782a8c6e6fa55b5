"""Tables of connected digits, made out of data at hand."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.files import write_text
from training.speech import TABLE_FILE, Utterance, read_clip, read_table, speak_number

DIGITS = frozenset(speak_number(str(digit)) for digit in range(10))
JOINED_RATE_HZ = 8000
LONGEST_GAP_S = 0.4
SHORTEST, LONGEST = 3, 7
"""Clips in a joined string."""
PCM_PEAK = 32767
SAMPLE_BYTES = 2


def write_digit_strings(
    source: Path, where: Sequence[tuple[str, str]], folder: Path
) -> Path:
    """Write a table of the rows of `source` that are digits alone; return its path.

    Clips stay where they are; the table names them by their absolute paths.
    """
    rows = [
        (str(utterance.path.resolve()), utterance.text)
        for utterance in read_table(source, where).utterances
        if utterance.text and set(utterance.text.split()) <= DIGITS
    ]
    return _write_table(folder, rows)


def write_joined(
    source: Path,
    where: Sequence[tuple[str, str]],
    folder: Path,
    n_strings: int,
    seed: int = 0,
) -> Path:
    """Write clips of a table joined to strings with gaps, and a table of them.

    Each string is 3 to 7 clips, drawn at random, with up to LONGEST_GAP_S of silence
    around each. Returns the table's path.
    """
    utterances = read_table(source, where).utterances
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n_strings):
        n_clips = int(rng.integers(SHORTEST, LONGEST + 1))
        drawn = [utterances[i] for i in rng.integers(len(utterances), size=n_clips)]
        name = f"joined_{index}.wav"
        _write_wav(folder / name, _joined(drawn, rng))
        rows.append((name, " ".join(utterance.text for utterance in drawn)))
    return _write_table(folder, rows)


def _joined(
    utterances: Sequence[Utterance], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the clips with a gap before each and one at the end, (S,)."""
    parts = [_gap(rng)]
    for utterance in utterances:
        parts += [read_clip(utterance.path, JOINED_RATE_HZ), _gap(rng)]
    return np.concatenate(parts)


def _gap(rng: np.random.Generator) -> NDArray[np.float32]:
    return np.zeros(int(rng.uniform(0.0, LONGEST_GAP_S) * JOINED_RATE_HZ), np.float32)


def _write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.rint(np.clip(samples, -1.0, 1.0) * PCM_PEAK).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(JOINED_RATE_HZ)
        file.writeframes(pcm.tobytes())


def _write_table(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    path = folder / TABLE_FILE
    write_text(path, "".join(f"{p}\t{text}\n" for p, text in [("path", "text"), *rows]))
    return path
