"""Clips that are decoded once."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from edge_runtime.errors import AudioError, DataError, SettingError
from edge_runtime.front_end import FrontEnd
from training import clip_store
from training.clip_store import ClipStore
from training.speech import STRIDE_FRAMES, Utterance

RATE_HZ = 16_000


def clip(path: Path, seconds: float, seed: int) -> Utterance:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.0, 0.1, int(seconds * RATE_HZ))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return Utterance(path, "one", {})


@pytest.fixture
def clips(tmp_path: Path) -> list[Utterance]:
    return [clip(tmp_path / f"{n}.wav", 0.3 + 0.2 * n, n) for n in range(5)]


def contents(store: ClipStore) -> list[NDArray[np.float32]]:
    return [
        part
        for n in range(len(store))
        for part in (store.samples(n), store.features(n))
    ]


def test_clips_come_back_from_the_cache(
    tmp_path: Path, clips: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several files, clips of any length; the second time no clip is decoded."""
    monkeypatch.setattr(clip_store, "SHARD_CLIPS", 2)
    made = ClipStore(clips, FrontEnd(), tmp_path / "cache")
    monkeypatch.setattr(clip_store, "read_utterance", None)
    found = ClipStore(clips, FrontEnd(), tmp_path / "cache")

    assert 3 == len(list((tmp_path / "cache" / "clips").iterdir()))
    assert all(map(np.array_equal, contents(made), contents(found)))
    assert [0.3, 0.5, 0.7, 0.9, 1.1] == [len(found.samples(n)) / 8000 for n in range(5)]


def test_features_are_those_of_a_device(tmp_path: Path, clips: list[Utterance]) -> None:
    """With the silence that ends an utterance, whole steps, to half precision."""
    store = ClipStore(clips, FrontEnd(), tmp_path / "cache")
    samples = np.pad(store.samples(2), (0, 480 * 8))
    expected = FrontEnd().features(samples)

    found = store.features(2)

    assert len(found) == len(expected) // STRIDE_FRAMES * STRIDE_FRAMES
    assert len(found) == store.n_frames[2]
    assert np.allclose(expected[: len(found)], found, atol=0.02)


def test_a_clip_that_changed_is_decoded_again(
    tmp_path: Path, clips: list[Utterance]
) -> None:
    """The cache knows it by size and time."""
    before = ClipStore(clips, FrontEnd(), tmp_path / "cache").samples(0)
    clip(clips[0].path, 0.4, 9)

    after = ClipStore(clips, FrontEnd(), tmp_path / "cache").samples(0)

    assert len(before) < len(after)


def test_what_cannot_be_read_is_told(tmp_path: Path, clips: list[Utterance]) -> None:
    """A missing clip, junk, with table and line; nothing half-written is left."""
    missing = Utterance(tmp_path / "none.wav", "one", {}, "a.tsv, line 3")
    with pytest.raises(DataError, match=r"^a\.tsv, line 3: no such file: .*none\.wav"):
        ClipStore([missing], FrontEnd(), tmp_path / "cache")
    (tmp_path / "junk.wav").write_bytes(b"junk")
    junk = Utterance(tmp_path / "junk.wav", "", {}, "a.tsv, line 4")
    with pytest.raises(AudioError, match=r"^a\.tsv, line 4: .*junk\.wav: not audio"):
        ClipStore([*clips, junk], FrontEnd(), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_damaged_cache_is_told(tmp_path: Path, clips: list[Utterance]) -> None:
    """Cut short, of another kind, or with other clips in it."""
    ClipStore(clips, FrontEnd(), tmp_path / "cache")
    (cached,) = (tmp_path / "cache" / "clips").iterdir()
    whole = load_file(cached)
    for content in (
        b"",
        b"{}",
        cached.read_bytes()[:-9],
        save({"a": np.zeros(1)}),
        save(whole | {"samples": whole["samples"][:-1]}),
        save(whole | {"ends": whole["ends"][:0]}),
    ):
        cached.write_bytes(content)

        with pytest.raises(DataError, match="damaged; delete it, it is made again"):
            ClipStore(clips, FrontEnd(), tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, clips: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any clip is decoded."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(clip_store, "read_utterance", None)

    with pytest.raises(SettingError, match=r"cannot be written.*with XDG_CACHE_HOME"):
        ClipStore(clips, FrontEnd(), tmp_path / "file")


def test_lengths_and_peaks_are_at_hand(tmp_path: Path, clips: list[Utterance]) -> None:
    """Without reading the sound."""
    store = ClipStore(clips, FrontEnd(), tmp_path / "cache")

    samples = [store.samples(n) for n in range(len(store))]
    assert [len(s) for s in samples] == store.n_samples.tolist()
    assert np.allclose([np.abs(s).max() for s in samples], store.peaks)
