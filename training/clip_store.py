"""Clips of speech on disk, decoded once, with the features that a device computes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edge_runtime.cache import cache_folder
from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.progress import Progress
from edge_runtime.transcriber import FLUSH_MS
from training.cached import alone, caching, damaged
from training.sound_augmentation import PCM_PEAK, to_16_bits
from training.speech import STRIDE_FRAMES, Utterance, read_utterance
from training.table import check_files

SHARD_CLIPS = 512
"""Clips in one file; an interrupted run loses at most so many."""
QUIET_DB = 35.0
_VERSION = 3
_TENSORS = {"samples": 1, "features": 2, "ends": 2, "peaks": 1, "spoken": 2}
"""What a file holds, and its dimensions."""


class ClipStore:
    """Clips by number; decoding and features are paid for once and kept in a cache.

    Of `utterances`, each clip's samples at the front end's rate, and its features as a
    device computes them, the silence included that ends an utterance (`FLUSH_MS`).
    Files are mapped: memory holds what is used.

    Raises AudioError for a clip that cannot be read, DataError for one that is not
    there and for a damaged cache, SettingError where the cache cannot be written. The
    first two name the clip's table and line.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        front_end: FrontEnd,
        cache: Path | None = None,
    ) -> None:
        self.front_end = front_end
        folder = (cache_folder() if cache is None else cache) / "clips"
        check_files((u.place or "clips", u.path) for u in utterances)
        firsts = range(0, len(utterances), SHARD_CLIPS)
        parts = [utterances[first : first + SHARD_CLIPS] for first in firsts]
        paths = [folder / f"{_key(part, front_end)}.safetensors" for part in parts]
        if not all(path.exists() for path in paths):
            with alone(folder):
                self._make(list(zip(parts, paths, strict=True)))
        self._shards = [_open(path) for path in paths]
        ends = [shard.get_tensor("ends") for shard in self._shards]
        self._ends = np.concatenate(ends)  # (N, 2), in samples and frames
        self.peaks = np.concatenate([s.get_tensor("peaks") for s in self._shards])
        """Of each clip, (N,), in ±1."""
        self.spoken = np.concatenate([s.get_tensor("spoken") for s in self._shards])
        """First frame of each clip's speech, and the one behind its last, (N, 2)."""
        self._starts = np.concatenate([np.vstack([[0, 0], e[:-1]]) for e in ends])

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """Frames of each clip, (N,)."""
        return np.asarray(self._ends[:, 1] - self._starts[:, 1])

    @property
    def n_samples(self) -> NDArray[np.int64]:
        """Samples of each clip, (N,)."""
        return np.asarray(self._ends[:, 0] - self._starts[:, 0])

    def samples(self, number: int) -> NDArray[np.float32]:
        """Return a clip's samples, (S,), in ±1."""
        samples = self._part("samples", 0, number).astype(np.float32)
        return samples / np.float32(PCM_PEAK)

    def features(self, number: int) -> NDArray[np.float32]:
        """Return a clip's features, (T, M), T a multiple of STRIDE_FRAMES."""
        return self._part("features", 1, number).astype(np.float32)

    def _part(self, name: str, column: int, number: int) -> NDArray[Any]:
        stored = self._shards[number // SHARD_CLIPS].get_slice(name)
        start, end = self._starts[number, column], self._ends[number, column]
        part: NDArray[Any] = stored[int(start) : int(end)]
        return part

    def _make(self, shards: Sequence[tuple[Sequence[Utterance], Path]]) -> None:
        """Write the files that are missing."""
        missing = [(part, path) for part, path in shards if not path.exists()]
        with Progress(sum(len(part) for part, _ in missing)) as progress:
            for part, path in missing:
                with caching(path) as temporary:
                    temporary.write_bytes(save(self._made(part, progress)))

    def _made(
        self, utterances: Sequence[Utterance], progress: Progress
    ) -> dict[str, NDArray[Any]]:
        """Return what is kept of some clips, by _TENSORS."""
        front_end = self.front_end
        n_flush = FLUSH_MS * front_end.sample_rate_hz // MILLISECONDS_PER_SECOND
        clips, blocks = [], []
        for utterance in utterances:
            clip = read_utterance(utterance, front_end.sample_rate_hz)
            features = front_end.features(np.pad(clip, (0, n_flush)))
            n_whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
            clips.append(to_16_bits(clip))
            blocks.append(features[:n_whole].astype(np.float16))
            progress.step(f"clips decoded: {utterance.path.name}")
        lengths = [[len(c), len(b)] for c, b in zip(clips, blocks, strict=True)]
        return {
            "samples": np.concatenate(clips),
            "features": np.concatenate(blocks),
            "ends": np.cumsum(lengths, axis=0, dtype=np.int64),
            "peaks": np.array([np.abs(c / PCM_PEAK).max() for c in clips]),
            "spoken": np.array([spoken_frames(c, front_end) for c in clips], np.int64),
        }


def spoken_frames(clip: NDArray[np.int16], front_end: FrontEnd) -> tuple[int, int]:
    """Return the first frame of a clip's speech, (S,), and the one behind its last.

    Speech is what is less than QUIET_DB below the loudest frame.
    """
    hop = front_end.hop_samples
    n_frames = max(1, len(clip) // hop)
    sound = np.zeros(n_frames * hop)
    sound[: len(clip)] = clip[: len(sound)]
    power = np.square(sound).reshape(n_frames, hop).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10.0 ** (-QUIET_DB / 10.0))
    return int(loud[0]), int(loud[-1]) + 1


def _key(utterances: Sequence[Utterance], front_end: FrontEnd) -> str:
    """Return a name for what the clips, as they stand now, become."""
    digest = hashlib.sha256(repr((_VERSION, front_end, FLUSH_MS)).encode())
    for utterance in utterances:
        status = utterance.path.stat()
        seen = (str(utterance.path.resolve()), status.st_size, status.st_mtime_ns)
        digest.update(repr(seen).encode())
    return digest.hexdigest()[:24]


def _open(path: Path) -> Any:
    """Return a file of the cache; raises DataError where it is damaged."""
    try:
        shard = safe_open(path, framework="numpy")
        found = {name: len(shard.get_slice(name).get_shape()) for name in _TENSORS}
        last = shard.get_tensor("ends")[-1]
        held = [
            shard.get_slice(name).get_shape()[0] for name in ("samples", "features")
        ]
    except (OSError, SafetensorError, IndexError) as error:
        raise damaged(path) from error
    if found != _TENSORS or last.tolist() != held:
        raise damaged(path)
    return shard
