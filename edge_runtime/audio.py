"""Audio files, read in blocks: WAV by the standard library, the rest by soundfile."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import AudioError, missing_package
from edge_runtime.files import check_regular
from edge_runtime.front_end import check_samples
from edge_runtime.native_log import MPG123_LINE, silenced

BLOCK_SAMPLES = 4096
"""Samples per channel that are read at once."""
WAV_PCM = 1
WAV_UNKNOWN_BYTES = 0xFFFF_FFFF
"""Length that a WAV header gives when it was written into a pipe."""


@dataclass(frozen=True)
class Audio:
    """An open file: its rate, and its samples once, in order."""

    sample_rate_hz: int
    blocks: Iterator[NDArray[np.float32]]
    """Blocks of at most BLOCK_SAMPLES samples, (S,), mono, in ±1 or a little beyond as
    `check_samples` says."""


@contextmanager
def open_audio(path: Path) -> Iterator[Audio]:
    """Open an audio file; stereo is mixed to mono, memory does not grow with length.

    Raises AudioError if there is no such file or it holds no audio, here or, where
    it is empty, cut short or not in ±1, while the blocks are read.
    """
    _check_file(path)
    if _is_pcm_wav(path):
        with wave.open(str(path), "rb") as file:
            blocks = _wav_blocks(path, file)
            yield Audio(file.getframerate(), _never_empty(path, blocks))
    else:
        with _open_soundfile(path) as file:
            blocks = _soundfile_blocks(path, file)
            yield Audio(file.samplerate, _never_empty(path, blocks))


def read_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return a file's samples, (S,), and rate in Hz; raises as `open_audio` does."""
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks)), audio.sample_rate_hz


def pcm_to_float(data: bytes, sample_bytes: int) -> NDArray[np.float32]:
    """Return little-endian PCM of 1 (unsigned), 2, 3 or 4 bytes as samples in ±1."""
    if sample_bytes == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / 128.0
    if sample_bytes == 3:
        raw = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 1:] = raw
        return pcm_to_float(wide.tobytes(), 4)
    scale = 1.0 / (1 << (8 * sample_bytes - 1))
    samples = np.frombuffer(data, f"<i{sample_bytes}") * scale
    return np.asarray(samples, np.float32)


def _check_file(path: Path) -> None:
    check_regular(path, "an audio file", AudioError)
    if not os.path.exists(path):  # noqa: PTH110 (Path.exists raises for long names)
        raise AudioError(f"{path}: no such audio file")


def _is_pcm_wav(path: Path) -> bool:
    """Whether the standard library reads the file; it knows only plain PCM."""
    try:
        with wave.open(str(path), "rb") as file:
            return file.getsampwidth() <= 4
    except (wave.Error, EOFError, RuntimeError):  # the last: a chunk beyond the end
        return False
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from error


def _wav_blocks(path: Path, file: wave.Wave_read) -> Iterator[NDArray[np.float32]]:
    n_channels = file.getnchannels()
    n_frame_bytes = n_channels * file.getsampwidth()
    n_read = 0
    while data := file.readframes(BLOCK_SAMPLES):
        whole = len(data) // n_frame_bytes * n_frame_bytes
        samples = pcm_to_float(data[:whole], file.getsampwidth())
        n_read += whole // n_frame_bytes
        yield _mono(samples.reshape(-1, n_channels))
    n_said = file.getnframes()
    if n_said != WAV_UNKNOWN_BYTES // n_frame_bytes:
        _check_whole(path, n_read, n_said)


def _soundfile_blocks(path: Path, file: Any) -> Iterator[NDArray[np.float32]]:
    import soundfile

    n_read = 0
    try:
        while len(block := _read_soundfile(file)):
            check_samples(f"{path}: samples", block)
            n_read += len(block)
            yield _mono(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: damaged after {n_read} samples: {error}") from error
    _check_whole(path, n_read, file.frames)


def _read_soundfile(file: Any) -> NDArray[np.float32]:
    """Return the next samples, (S, C)."""
    with silenced(MPG123_LINE):
        block: NDArray[np.float32] = file.read(BLOCK_SAMPLES, "float32", always_2d=True)
    return block


def _open_soundfile(path: Path) -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise AudioError(
            f"{path}: no PCM WAV file; for other formats:"
            f" {missing_package('soundfile', 'evaluate')}"
        ) from error
    try:
        with silenced(MPG123_LINE):
            return soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, TypeError) as error:
        # Its own reason misleads: to libsndfile, a damaged MP3 "does not exist". The
        # TypeError is for raw samples, of which nobody knows rate and channels.
        raise AudioError(
            f"{path}: not audio that can be read, or damaged; expected WAV, FLAC, Ogg,"
            " Opus or MP3"
        ) from error


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over channels, (S,), of (S, C)."""
    return np.asarray(samples.mean(axis=1), np.float32)


def _never_empty(
    path: Path, blocks: Iterator[NDArray[np.float32]]
) -> Iterator[NDArray[np.float32]]:
    n_read = 0
    for block in blocks:
        n_read += len(block)
        yield block
    if not n_read:
        raise AudioError(f"{path}: holds no samples")


def _check_whole(path: Path, n_read: int, n_said: int) -> None:
    if n_read < n_said:
        raise AudioError(
            f"{path}: truncated: holds {n_read} samples, its header says {n_said}"
        )
