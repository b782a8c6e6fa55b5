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

from edge_runtime.errors import DataError
from edge_runtime.files import replacing
from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.progress import Progress
from edge_runtime.transcriber import FLUSH_MS
from training.sound_augmentation import PCM_PEAK, to_16_bits
from training.speech import STRIDE_FRAMES, Utterance, read_clip
from training.synthetic_speech import cache_folder

SHARD_CLIPS = 512
"""Clips in one file; an interrupted run loses at most so many."""
_VERSION = 1


class ClipStore:
    """Clips by number; decoding and features are paid for once and kept in a cache.

    Of `utterances`, each clip's samples at the front end's rate, and its features as a
    device computes them, the silence included that ends an utterance (`FLUSH_MS`).
    Files are mapped: memory holds what is used.

    Raises AudioError for a clip that cannot be read, DataError for a damaged cache.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        front_end: FrontEnd,
        cache: Path | None = None,
    ) -> None:
        self.front_end = front_end
        folder = (cache_folder() if cache is None else cache) / "clips"
        firsts = range(0, len(utterances), SHARD_CLIPS)
        parts = [utterances[first : first + SHARD_CLIPS] for first in firsts]
        paths = [folder / f"{_key(part, front_end)}.safetensors" for part in parts]
        missing = [(u, p) for u, p in zip(parts, paths, strict=True) if not p.exists()]
        with Progress(sum(len(part) for part, _ in missing)) as progress:
            for part, path in missing:
                self._write(part, path, progress)
        self._shards = [_open(path) for path in paths]
        ends = [shard.get_tensor("ends") for shard in self._shards]
        self._ends = np.concatenate(ends)  # (N, 2), in samples and frames
        self._starts = np.concatenate([np.vstack([[0, 0], e[:-1]]) for e in ends])

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """Frames of each clip, (N,)."""
        return np.asarray(self._ends[:, 1] - self._starts[:, 1])

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

    def _write(
        self, utterances: Sequence[Utterance], path: Path, progress: Progress
    ) -> None:
        front_end = self.front_end
        n_flush = FLUSH_MS * front_end.sample_rate_hz // MILLISECONDS_PER_SECOND
        clips, blocks = [], []
        for utterance in utterances:
            clip = read_clip(utterance.path, front_end.sample_rate_hz)
            features = front_end.features(np.pad(clip, (0, n_flush)))
            n_whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
            clips.append(to_16_bits(clip))
            blocks.append(features[:n_whole].astype(np.float16))
            progress.step(f"clips decoded: {utterance.path.name}")
        lengths = [[len(c), len(b)] for c, b in zip(clips, blocks, strict=True)]
        tensors: dict[str, NDArray[Any]] = {
            "samples": np.concatenate(clips),
            "features": np.concatenate(blocks),
            "ends": np.cumsum(lengths, axis=0, dtype=np.int64),
        }
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors))


def _key(utterances: Sequence[Utterance], front_end: FrontEnd) -> str:
    """Return a name for what the clips, as they stand now, become."""
    digest = hashlib.sha256(repr((_VERSION, front_end, FLUSH_MS)).encode())
    for utterance in utterances:
        try:
            status = utterance.path.stat()
        except OSError as error:
            raise DataError(f"{utterance.path}: no such clip") from error
        seen = (str(utterance.path.resolve()), status.st_size, status.st_mtime_ns)
        digest.update(repr(seen).encode())
    return digest.hexdigest()[:24]


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged; delete it, it is made again") from error
