"""Hours of speech in one recording: the row of results/long_recording.json.

Memory of a process that does nothing else over the whole time, how fast it is, and
whether times drift. The recording is clips at hand, one after the other, again and
again, so that it is known when what is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import SettingError
from edge_runtime.first_run import BYTES_PER_KIB
from training.data import data_folder
from training.result_rows import ENGINE, THREADS, Row, precision_of
from training.result_sources import ROOT
from training.sound_augmentation import to_16_bits
from training.speech import Utterance, read_clip, read_table

if TYPE_CHECKING:
    from training.results import Setup

RATE_HZ = 16_000
PAUSE_S = 1.2
"""Behind each clip; an utterance ends in it."""
ROOM = 1e-3
"""Noise of the pauses, of full scale."""
TENTH = 10
LOOKED_AT_EVERY_S = 1.0


@dataclass(frozen=True)
class Placed:
    """A clip in the recording."""

    name: str
    start_s: float
    end_s: float


def long_rows(setup: Setup) -> Iterator[Row]:
    """Yield the one row."""
    clips = read_table(data_folder() / setup.strings, [("split", "test")])
    yield measure(setup.transcribe, clips.utterances, setup.hours)


def measure(bundle: str, clips: Sequence[Utterance], hours: float) -> Row:
    """Transcribe a recording of so many hours in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        placed = write_recording(folder / "long.wav", clips, hours)
        began = time.perf_counter()
        rss_bytes = list(_watched(bundle, folder))
        spent_s = time.perf_counter() - began
        found = json.loads((folder / "texts" / "long.json").read_text("utf-8"))
    starts_s = [segment["start_s"] for segment in found["segments"]]
    tenth = max(1, len(rss_bytes) // TENTH)
    return {
        "bundle": bundle,
        "engine": ENGINE,
        "precision": precision_of(bundle),
        "threads": THREADS,
        "audio_s": placed[-1].end_s + PAUSE_S,
        "rtf": spent_s / (placed[-1].end_s + PAUSE_S),
        "n_clips": len(placed),
        "n_utterances": len(starts_s),
        "peak_rss_bytes": max(rss_bytes),
        "growth_bytes": median(rss_bytes[-tenth:])
        - median(rss_bytes[tenth : 2 * tenth] or rss_bytes),
        "drift_ms": drift_ms(placed, starts_s),
        "rss_bytes": rss_bytes,
    }


def write_recording(
    path: Path, clips: Sequence[Utterance], hours: float
) -> list[Placed]:
    """Write clips, with pauses between, until the time is full; return their places."""
    rng = np.random.default_rng(0)
    n_pause = round(PAUSE_S * RATE_HZ)
    n_samples = 0
    placed: list[Placed] = []
    kept: dict[Path, bytes] = {}
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for clip in cycle(clips):
            if clip.path not in kept:
                kept[clip.path] = to_16_bits(read_clip(clip.path, RATE_HZ)).tobytes()
            n_clip = len(kept[clip.path]) // 2
            if n_samples + n_clip + n_pause > hours * 3600 * RATE_HZ:
                return placed
            pause = rng.normal(0.0, ROOM, n_pause).astype(np.float32)
            file.writeframes(kept[clip.path] + to_16_bits(pause).tobytes())
            start_s, end_s = n_samples / RATE_HZ, (n_samples + n_clip) / RATE_HZ
            placed.append(Placed(str(clip.path), start_s, end_s))
            n_samples += n_clip + n_pause
    return placed


def drift_ms(placed: Sequence[Placed], starts_s: Sequence[float]) -> float:
    """Return by how much later utterances begin towards the end than at first.

    For each clip in the last tenth, how long after its own start its first utterance
    begins, less the same where the clip stands for the first time; the median.
    """
    times = np.array(starts_s)
    first: dict[str, float] = {}
    found = []
    for number, clip in enumerate(placed):
        place = int(np.searchsorted(times, clip.start_s))
        if place == len(times) or times[place] >= clip.end_s + PAUSE_S:
            continue
        delay_s = float(times[place]) - clip.start_s
        if number >= len(placed) * (TENTH - 1) // TENTH and clip.name in first:
            found.append(delay_s - first[clip.name])
        first.setdefault(clip.name, delay_s)
    if not found:
        raise SettingError(
            "long_recording: no clip of its end stands at its beginning too"
        )
    return median(found) * 1000


def _watched(bundle: str, folder: Path) -> Iterator[int]:
    """Yield resident memory, in bytes, while `tiedge transcribe` is at work."""
    command = [
        *(sys.executable, "-m", "tiedge", "transcribe", str(folder / "long.wav")),
        *("--bundle", bundle, "--engine", ENGINE, "--precision", precision_of(bundle)),
        *("--threads", str(THREADS), "--format", "json"),
        *("--output", str(folder / "texts")),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            resident = _resident_bytes(status)
            if resident:
                yield resident
            time.sleep(LOOKED_AT_EVERY_S)
    if process.returncode:
        raise SettingError("tiedge transcribe: failed, see above")


def _resident_bytes(status: Path) -> int:
    """Return VmRSS of /proc/PID/status; 0 for a process that is over."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(found[0]) * BYTES_PER_KIB if found else 0
