"""Audio files, read in blocks.

WAV by the standard library; FLAC, Ogg, Opus and MP3 by soundfile; whatever it does not
know, sound of videos too, by the program ffmpeg.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
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
from edge_runtime.ogg import ends_early

BLOCK_SAMPLES = 4096
"""Samples per channel that are read at once."""
BLOCK_BYTES = 1 << 20
"""Not more than that, however many channels a WAV header says there are."""
FFMPEG = "ffmpeg"
FFMPEG_RATE_HZ = 48_000
"""What it is asked for, whatever a file has."""
_PLACE_IN_FFMPEG = re.compile(r"\[[^\]]*\] ")
"""Which of its parts speaks, and at which address."""
WAV_UNKNOWN_BYTES = (
    range(0x7FFF_F000, 0x8000_0000),  # SoX, arecord
    range(0xFFFF_F000, 0x1_0000_0000),  # ffmpeg
)
"""Lengths that a WAV header gives when it was written into a pipe."""
MOST_HEADER_BYTES = 4096
"""Of a WAV file, and what may follow its samples, as a rule."""


@dataclass(frozen=True)
class Audio:
    """An open file: its rate, and its samples once, in order."""

    sample_rate_hz: int
    blocks: Iterator[NDArray[np.float32]]
    """Blocks of at most BLOCK_SAMPLES samples, (S,), mono, in ±1 or a little beyond as
    `check_samples` says."""
    duration_s: float | None
    """As the file says it; None where it does not."""
    remark: str | None = None
    """What is wrong with a file that can be read nevertheless."""


@contextmanager
def open_audio(path: Path) -> Iterator[Audio]:
    """Open an audio file; stereo is mixed to mono, memory does not grow with length.

    Raises AudioError if there is no such file or it holds no audio, here or, where
    it is empty, cut short or not in ±1, while the blocks are read.
    """
    _check_file(path)
    if _is_pcm_wav(path):
        with wave.open(str(path), "rb") as file:
            rate_hz, n_said = file.getframerate(), _frames_said(file)
            if not rate_hz:
                raise AudioError(f"{path}: its header says 0 samples a second")
            duration_s = None if n_said is None else n_said / rate_hz
            blocks = _checked(path, _wav_blocks(path, file))
            yield Audio(rate_hz, blocks, duration_s)
        return
    remark = _remark(path)
    opened = _open_soundfile(path)
    if opened is None:
        with _open_ffmpeg(path) as blocks:
            blocks = _checked(path, blocks, remark)
            yield Audio(FFMPEG_RATE_HZ, blocks, None, remark)
        return
    with opened as file:
        blocks = _checked(path, _soundfile_blocks(path, file), remark)
        duration_s = file.frames / file.samplerate
        yield Audio(file.samplerate, blocks, duration_s, remark)


def read_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return a file's samples, (S,), and rate in Hz; raises as `open_audio` does."""
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks)), audio.sample_rate_hz


def write_opus(path: Path, samples: NDArray[np.float32], sample_rate_hz: int) -> None:
    """Write samples, (S,) in ±1, as an Ogg file with Opus inside.

    `sample_rate_hz` is one that Opus knows: 8, 12, 16, 24 or 48 kHz. Raises
    SettingError if soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise missing_package("soundfile", "evaluate") from error
    soundfile.write(path, samples, sample_rate_hz, format="OGG", subtype="OPUS")


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
        raise _unreadable(path, error) from error


def _wav_blocks(path: Path, file: wave.Wave_read) -> Iterator[NDArray[np.float32]]:
    n_channels = file.getnchannels()
    n_frame_bytes = n_channels * file.getsampwidth()
    n_at_once = max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // n_frame_bytes))
    n_read = 0
    while data := file.readframes(n_at_once):
        whole = len(data) // n_frame_bytes * n_frame_bytes
        samples = pcm_to_float(data[:whole], file.getsampwidth())
        n_read += whole // n_frame_bytes
        yield _mono(samples.reshape(-1, n_channels))
    n_said = _frames_said(file)
    if n_said is not None:
        _check_whole(path, n_read, n_said)
    if n_said == 0 and path.stat().st_size > MOST_HEADER_BYTES + n_frame_bytes:
        raise AudioError(
            f"{path}: its header says 0 samples, though more follows: its recorder was"
            " stopped before it wrote the length; mend it, as sox --ignore-length IN"
            " OUT does"
        )


def _frames_said(file: wave.Wave_read) -> int | None:
    """Return how many samples the header promises; None if it was written too early."""
    n_frame_bytes = file.getnchannels() * file.getsampwidth()
    n_said = file.getnframes()
    longest = (n_said + 1) * n_frame_bytes - 1  # the length, and what it is short of it
    for unknown in WAV_UNKNOWN_BYTES:
        if n_said * n_frame_bytes < unknown.stop and longest >= unknown.start:
            return None
    return n_said


def _remark(path: Path) -> str | None:
    try:
        is_cut = ends_early(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not is_cut:
        return None
    return "its last page is not marked as the last: it was cut short, or grows still"


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
    """Return the file; None where it is to be tried with ffmpeg, which is there."""
    has_ffmpeg = shutil.which(FFMPEG) is not None
    try:
        import soundfile
    except ImportError as error:
        if has_ffmpeg:
            return None
        raise AudioError(
            f"{path}: no PCM WAV file; for other formats:"
            f" {missing_package('soundfile', 'listen')}, or install ffmpeg"
        ) from error
    try:
        with silenced(MPG123_LINE):
            return soundfile.SoundFile(os.fsencode(path))  # names need not be UTF-8
    except (soundfile.LibsndfileError, TypeError) as error:
        if has_ffmpeg:
            return None
        # Its own reason misleads: to libsndfile, a damaged MP3 "does not exist". The
        # TypeError is for raw samples, of which nobody knows rate and channels.
        raise _no_audio(path) from error


@contextmanager
def _open_ffmpeg(path: Path) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Yield the blocks that ffmpeg makes of a file; it ends with the context."""
    command = [
        # Without the list, a file that is a playlist would have it fetch others.
        FFMPEG, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe",
        "-i", f"file:{path}", "-map", "0:a:0", "-ac", "1", "-ar", str(FFMPEG_RATE_HZ),
        "-f", "f32le", "-",
    ]  # fmt: skip
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            yield _ffmpeg_blocks(path, process, log)
        finally:
            process.kill()


def _ffmpeg_blocks(
    path: Path, process: subprocess.Popen[bytes], log: Any
) -> Iterator[NDArray[np.float32]]:
    assert process.stdout is not None
    n_bytes = BLOCK_SAMPLES * np.dtype(np.float32).itemsize
    n_read = 0
    while data := process.stdout.read(n_bytes):
        block = np.frombuffer(data, "<f4").astype(np.float32)
        check_samples(f"{path}: samples", block)
        n_read += len(block)
        yield block
    status = process.wait()
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()
    if not n_read:
        raise _no_audio(path)
    if status or said:
        reason = _PLACE_IN_FFMPEG.sub("", said[0]) if said else f"status {status}"
        raise AudioError(f"{path}: damaged after {n_read} samples: ffmpeg: {reason}")


def _no_audio(path: Path) -> AudioError:
    return AudioError(
        f"{path}: not audio that can be read, or damaged; expected WAV, FLAC, Ogg, Opus"
        " or MP3, or, with ffmpeg installed, another format"
    )


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over channels, (S,), of (S, C)."""
    return np.asarray(samples.mean(axis=1), np.float32)


def _checked(
    path: Path, blocks: Iterator[NDArray[np.float32]], remark: str | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks; raises AudioError if there are none, or the disk fails."""
    n_read = 0
    try:
        for block in blocks:
            n_read += len(block)
            yield block
    except OSError as error:
        raise _unreadable(path, error) from error
    if not n_read:
        raise AudioError(
            f"{path}: holds no samples{'' if remark is None else f'; {remark}'}"
        )


def _unreadable(path: Path, error: OSError) -> AudioError:
    return AudioError(f"{path}: cannot be read: {error.strerror or error}")


def _check_whole(path: Path, n_read: int, n_said: int) -> None:
    if n_read < n_said:
        raise AudioError(
            f"{path}: truncated: holds {n_read} samples, its header says {n_said}"
        )
