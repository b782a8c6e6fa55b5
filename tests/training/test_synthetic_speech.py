"""Clips by espeak-ng and flite: made once, kept in a cache, what may go wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import DataError, SettingError
from training import synthetic_speech
from training.accents import SPELLINGS
from training.recipes.digits import DIGITS
from training.synthetic_speech import (
    ESPEAK,
    FLITE,
    FLITE_VOICES,
    Voice,
    draw_flite_voice,
    draw_voice,
    speak,
)

RATE_HZ = 8000


def installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture
def espeak() -> str:
    return installed(ESPEAK)


@pytest.fixture
def flite() -> str:
    return installed(FLITE)


def test_synthetic_speech_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, espeak: str
) -> None:
    """The second call reads the cache, so it needs no espeak-ng."""
    rng = np.random.default_rng(0)
    jobs = [("one", draw_voice(rng)), ("two three", draw_voice(rng))]
    made = speak(jobs, RATE_HZ, cache=tmp_path)
    monkeypatch.setenv("PATH", "")

    found = speak(jobs, RATE_HZ, cache=tmp_path)

    assert len(jobs) == len(made)
    assert all(np.array_equal(a, b) for a, b in zip(made, found, strict=True))
    assert all(0.1 < len(clip) / RATE_HZ < 4.0 for clip in made)
    assert len(made[1]) > len(made[0])


@pytest.mark.parametrize("language", SPELLINGS)
def test_every_accent_can_be_heard(language: str, tmp_path: Path, espeak: str) -> None:
    """Each language reads each of its ten spellings as one short word."""
    spelled = SPELLINGS[language]
    clips = speak(
        [(word, Voice(f"{language}+m3", 150, 50)) for word in spelled],
        RATE_HZ,
        cache=tmp_path,
    )

    assert len(DIGITS) == len(spelled)
    assert all(0.1 < len(clip) / RATE_HZ < 1.5 for clip in clips)


@pytest.mark.parametrize("name", FLITE_VOICES)
def test_every_voice_of_flite_can_be_heard(
    name: str, tmp_path: Path, flite: str
) -> None:
    """At twice the speed a word takes about half the time."""
    low, high = FLITE_VOICES[name]
    jobs = [
        ("seven", Voice(name, 100, low, FLITE)),
        ("seven", Voice(name, 200, high, FLITE)),
    ]

    slow, fast = speak(jobs, RATE_HZ, cache=tmp_path)

    assert 0.3 < len(fast) / len(slow) < 0.7
    assert 0.2 < len(fast) / RATE_HZ < 1.0


def test_a_voice_of_flite_stays_in_its_pitch() -> None:
    """A man's voice is not raised to a woman's, nor the other way round."""
    rng = np.random.default_rng(0)
    voices = [draw_flite_voice(rng) for _ in range(200)]

    assert set(FLITE_VOICES) == {voice.name for voice in voices}
    for voice in voices:
        low, high = FLITE_VOICES[voice.name]
        assert low <= voice.pitch < high


def test_without_espeak_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synthetic speech that can be neither made nor found says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DataError) as caught:
        speak([("one", Voice("en-us+f1", 150, 50))], RATE_HZ, cache=tmp_path)

    assert (
        "espeak-ng is not installed; run: apt-get install espeak-ng, or train without"
        " it: synthetic=0"
    ) == str(caught.value)


def test_a_voice_that_there_is_not_is_one_line(tmp_path: Path, espeak: str) -> None:
    """espeak-ng's own reason is passed on."""
    with pytest.raises(DataError) as caught:
        speak([("one", Voice("qq", 150, 50))], RATE_HZ, cache=tmp_path)

    assert (
        "espeak-ng qq: failed: Error: The specified espeak-ng voice does not exist.;"
        " train without it: synthetic=0" == str(caught.value)
    )


@pytest.mark.parametrize("n_bytes", [0, 99])
def test_a_damaged_cache_is_named(tmp_path: Path, espeak: str, n_bytes: int) -> None:
    """Deleting it is enough."""
    jobs = [("one", Voice("en-us+f1", 150, 50))]
    speak(jobs, RATE_HZ, cache=tmp_path)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(cached.read_bytes()[:n_bytes])

    with pytest.raises(DataError) as caught:
        speak(jobs, RATE_HZ, cache=tmp_path)

    assert f"{cached}: damaged; delete it, it is made again" == str(caught.value)


def test_clips_that_are_not_all_there_are_damage(tmp_path: Path, espeak: str) -> None:
    """Their lengths have to add up."""
    jobs = [("one", Voice("en-us+f1", 150, 50))]
    speak(jobs, RATE_HZ, cache=tmp_path)
    (cached,) = tmp_path.iterdir()
    np.savez(cached, samples=np.zeros(5, np.float32), lengths=np.array([6]))

    with pytest.raises(DataError, match="damaged; delete it"):
        speak(jobs, RATE_HZ, cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, espeak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is spoken."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(synthetic_speech, "speak_one", None)

    with pytest.raises(SettingError, match=r"cannot be written.*with XDG_CACHE_HOME"):
        speak([("one", Voice("en-us+f1", 150, 50))], RATE_HZ, tmp_path / "file")


def test_a_text_that_says_nothing_is_told(tmp_path: Path, espeak: str) -> None:
    """Silence would be cut away altogether."""
    with pytest.raises(DataError, match=r"failed: says nothing for \"''\"; train"):
        speak([("''", Voice("en-us+f1", 150, 50))], RATE_HZ, cache=tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_program_that_cannot_be_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, but it is none."""
    (tmp_path / ESPEAK).write_text("")
    (tmp_path / ESPEAK).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DataError, match="failed: Exec format error; train without it"):
        speak([("one", Voice("en-us+f1", 150, 50))], RATE_HZ, cache=tmp_path / "cache")
