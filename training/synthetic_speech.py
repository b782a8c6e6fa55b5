"""Speech made by espeak-ng: many voices, speeds and pitches, kept in a cache."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.audio import pcm_to_float
from edge_runtime.errors import DataError
from edge_runtime.files import replacing
from edge_runtime.progress import Progress
from edge_runtime.resample import resample

PROGRAM = "espeak-ng"
ACCENTS = (
    "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
    "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
)  # fmt: skip
VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2",
    "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Storm",
    "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb",
    "david", "ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa",
    "gustave", "iven", "iven2", "john", "kaukovalta", "klatt", "klatt2", "klatt3",
    "klatt4", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo",
    "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "rob",
    "robert", "sandro", "shelby", "steph", "steph2", "travis", "victor", "zac",
)  # fmt: skip
SPEED_WORDS_PER_MINUTE = (100, 220)
PITCH = (15, 85)
"""On espeak-ng's scale of 0–99."""
TRIM_LEVEL = 0.02
"""Of the clip's peak; quieter samples at its ends are cut off."""


@dataclass(frozen=True)
class Voice:
    """How one clip is spoken."""

    name: str
    """As espeak-ng names it: accent+variant."""
    speed: int
    """Words per minute."""
    pitch: int


def draw_voice(
    rng: np.random.Generator,
    variants: Sequence[str] = VARIANTS,
    languages: Sequence[str] = ACCENTS,
) -> Voice:
    """Return a random voice."""
    return Voice(
        f"{rng.choice(languages)}+{rng.choice(variants)}",
        int(rng.integers(*SPEED_WORDS_PER_MINUTE)),
        int(rng.integers(*PITCH)),
    )


def speak(
    jobs: Sequence[tuple[str, Voice]], sample_rate_hz: int, cache: Path | None = None
) -> list[NDArray[np.float32]]:
    """Return one clip, (S,) in ±1, per text and voice, without silence at its ends.

    A second call with the same jobs reads the clips from `cache`, a folder (default:
    the user's cache folder).

    Raises DataError if espeak-ng is not installed and the clips are not in the cache,
    if it fails, or if the cache is damaged.
    """
    folder = cache_folder() if cache is None else cache
    key = hashlib.sha256(repr((jobs, sample_rate_hz, TRIM_LEVEL)).encode()).hexdigest()
    path = folder / f"espeak-{key[:16]}.npz"
    if not path.exists():
        _require_program()
        clips = []
        with Progress(len(jobs)) as progress:
            for text, voice in jobs:
                clips.append(_speak_one(text, voice, sample_rate_hz))
                progress.step(f"clips by {PROGRAM}")
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                samples=np.concatenate(clips),
                lengths=np.array([len(clip) for clip in clips]),
            )
    try:
        with path.open("rb") as kept, np.load(kept) as stored:
            ends = np.cumsum(stored["lengths"])
            return np.split(stored["samples"], ends[:-1])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: damaged; delete it, it is made again") from error


def cache_folder() -> Path:
    """Return the folder for things that can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tiedge"


def _require_program() -> None:
    if shutil.which(PROGRAM) is None:
        raise DataError(
            f"{PROGRAM} is not installed; run: apt-get install {PROGRAM}, or train on"
            " recordings alone with synthetic=0"
        )


def _speak_one(text: str, voice: Voice, sample_rate_hz: int) -> NDArray[np.float32]:
    command = [
        PROGRAM, "--stdout", "-v", voice.name, "-s", str(voice.speed),
        "-p", str(voice.pitch), text,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise DataError(
            f"{PROGRAM} {voice.name}: failed: {reason or done.returncode}; train on"
            " recordings alone with synthetic=0"
        )
    with wave.open(io.BytesIO(done.stdout), "rb") as file:
        rate_hz = file.getframerate()
        # The header tells an endless stream's length; this reads what is there.
        data = file.readframes(file.getnframes())
        samples = pcm_to_float(data, file.getsampwidth())
    loud = np.flatnonzero(np.abs(samples) > TRIM_LEVEL * np.abs(samples).max())
    return resample(samples[loud[0] : loud[-1] + 1], rate_hz, sample_rate_hz)
