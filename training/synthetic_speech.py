"""Speech made by espeak-ng, flite and festival: many voices, kept in a cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.audio import read_audio
from edge_runtime.cache import cache_folder
from edge_runtime.errors import DataError
from edge_runtime.progress import Progress
from edge_runtime.resample import resample
from training.cached import alone, caching, damaged

ESPEAK = "espeak-ng"
FLITE = "flite"
FESTIVAL = "text2wave"
"""festival's own program for files."""
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
FLITE_VOICES = {
    "kal16": (80, 160),
    "awb": (90, 180),
    "rms": (70, 150),
    "slt": (130, 260),
}
"""flite's voices, made of the recordings of four people: kal of units, the others of
statistics. Mean pitches in Hz that sound like a person."""
PLAIN_WORDS_PER_MINUTE = 150
"""What the voices of flite and festival speak when they are not stretched."""
FESTIVAL_VOICES = ("kal_diphone",)
"""Of the same person as kal16, one of flite's."""
PACKAGES = {ESPEAK: "espeak-ng", FLITE: "flite", FESTIVAL: "festvox-kallpc16k"}
_WITHOUT = {ESPEAK: "synthetic=0", FLITE: "flite=0", FESTIVAL: "synthetic=0"}
TRIM_LEVEL = 0.02
"""Of the clip's peak; quieter samples at its ends are cut off."""


@dataclass(frozen=True)
class Voice:
    """How one clip is spoken."""

    name: str
    """As the program names it; espeak-ng: accent+variant."""
    speed: int
    """Words per minute."""
    pitch: int
    """espeak-ng: on its scale of 0–99; flite: Hz."""
    program: str = ESPEAK


def draw_voice(
    rng: np.random.Generator,
    variants: Sequence[str] = VARIANTS,
    languages: Sequence[str] = ACCENTS,
) -> Voice:
    """Return a random voice of espeak-ng."""
    return Voice(
        f"{rng.choice(languages)}+{rng.choice(variants)}",
        int(rng.integers(*SPEED_WORDS_PER_MINUTE)),
        int(rng.integers(*PITCH)),
    )


def draw_flite_voice(
    rng: np.random.Generator, names: Sequence[str] = tuple(FLITE_VOICES)
) -> Voice:
    """Return a random voice of flite."""
    name = str(rng.choice(list(names)))
    return Voice(
        name,
        int(rng.integers(*SPEED_WORDS_PER_MINUTE)),
        int(rng.integers(*FLITE_VOICES[name])),
        FLITE,
    )


def draw_festival_voice(rng: np.random.Generator) -> Voice:
    """Return a random voice of festival."""
    name = str(rng.choice(FESTIVAL_VOICES))
    return Voice(name, int(rng.integers(*SPEED_WORDS_PER_MINUTE)), 0, FESTIVAL)


def speak(
    jobs: Sequence[tuple[str, Voice]], sample_rate_hz: int, cache: Path | None = None
) -> list[NDArray[np.float32]]:
    """Return one clip, (S,) in ±1, per text and voice, without silence at its ends.

    A second call with the same jobs reads the clips from `cache`, a folder (default:
    the user's cache folder).

    Raises DataError if a voice's program is not installed and the clips are not in the
    cache, if it fails, or if the cache is damaged; SettingError where the cache cannot
    be written.
    """
    folder = cache_folder() if cache is None else cache
    key = hashlib.sha256(repr((jobs, sample_rate_hz, TRIM_LEVEL)).encode()).hexdigest()
    path = folder / f"speech-{key[:16]}.npz"
    if not path.exists():
        with alone(folder):
            if not path.exists():
                _speak_into(path, jobs, sample_rate_hz)
    try:
        with path.open("rb") as kept, np.load(kept) as stored:
            samples, lengths = stored["samples"], stored["lengths"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise damaged(path) from error
    if len(lengths) != len(jobs) or lengths.sum() != len(samples):
        raise damaged(path)
    return np.split(samples, np.cumsum(lengths)[:-1])


def _speak_into(
    path: Path, jobs: Sequence[tuple[str, Voice]], sample_rate_hz: int
) -> None:
    for program in sorted({voice.program for _, voice in jobs}):
        require(program)
    with caching(path) as temporary, temporary.open("wb") as file:
        clips = _spoken(jobs, sample_rate_hz)
        lengths = np.array([len(clip) for clip in clips])
        np.savez(file, samples=np.concatenate(clips), lengths=lengths)


def _spoken(
    jobs: Sequence[tuple[str, Voice]], sample_rate_hz: int
) -> list[NDArray[np.float32]]:
    programs = " and ".join(sorted({voice.program for _, voice in jobs}))
    clips = []
    with Progress(len(jobs)) as progress:
        for text, voice in jobs:
            clips.append(speak_one(text, voice, sample_rate_hz))
            progress.step(f"clips by {programs}")
    return clips


def require(program: str) -> None:
    """Raise DataError if a program that speaks is not installed."""
    if shutil.which(program) is None:
        raise DataError(
            f"{program} is not installed; run: apt-get install {PACKAGES[program]}, or"
            f" train without it: {_WITHOUT[program]}"
        )


def speak_one(text: str, voice: Voice, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return one clip as `speak` does, without a cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        try:
            done = subprocess.run(
                _command(text, voice, path),
                input=text.encode(),
                capture_output=True,
                check=False,
            )
        except OSError as error:  # one that cannot be run
            raise _failed(voice, error.strerror) from error
        if done.returncode or not path.exists():
            reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise _failed(voice, reason or done.returncode)
        samples, rate_hz = read_audio(path)
    loud = np.flatnonzero(np.abs(samples) > TRIM_LEVEL * np.abs(samples).max())
    if not len(loud):
        raise _failed(voice, f"says nothing for {text!r}")
    return resample(samples[loud[0] : loud[-1] + 1], rate_hz, sample_rate_hz)


def _failed(voice: Voice, reason: object) -> DataError:
    return DataError(
        f"{voice.program} {voice.name}: failed: {reason};"
        f" train without it: {_WITHOUT[voice.program]}"
    )


def _command(text: str, voice: Voice, path: Path) -> list[str]:
    if voice.program == FLITE:
        return [
            FLITE, "-voice", voice.name,
            "--setf", f"duration_stretch={PLAIN_WORDS_PER_MINUTE / voice.speed:.3f}",
            "--setf", f"int_f0_target_mean={voice.pitch}",
            "-t", text, "-o", str(path),
        ]  # fmt: skip
    if voice.program == FESTIVAL:  # it reads from standard input
        stretch = PLAIN_WORDS_PER_MINUTE / voice.speed
        return [
            FESTIVAL, "-o", str(path), "-eval", f"(voice_{voice.name})",
            "-eval", f"(Parameter.set 'Duration_Stretch {stretch:.3f})",
        ]  # fmt: skip
    return [
        ESPEAK, "-w", str(path), "-v", voice.name, "-s", str(voice.speed),
        "-p", str(voice.pitch), text,
    ]  # fmt: skip
