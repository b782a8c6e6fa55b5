"""Sound as it comes in: from a microphone, or as PCM from standard input."""

from __future__ import annotations

import io
import os
import queue
import select
import sys
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.audio import pcm_to_float
from edge_runtime.errors import AudioError, missing_package

RATE_HZ = 16_000
"""Of sound that nothing says the rate of."""
RIFF = b"RIFF"
"""What a WAV stream begins with; as samples, they would be a loud click."""
EXPECTED = "expected 16-bit little-endian mono PCM, or WAV"
BLOCK_S = 0.06
"""Seconds of sound that are handed on at once."""
BOUND_S = 3.0
"""Seconds of sound that may wait to be heard; what comes then is lost, and counted."""
SAMPLE_BYTES = 2
_END = None

Block = NDArray[np.float32]


@dataclass
class Waiting:
    """Blocks of sound between a microphone, which cannot wait, and who hears them."""

    sample_rate_hz: int
    bound_s: float = BOUND_S
    lost_s: float = 0.0
    """Seconds that came while the queue was full, or that the sound card lost."""
    _blocks: queue.SimpleQueue[Block | None] = field(default_factory=queue.SimpleQueue)

    def put(self, block: Block) -> None:
        """Take a block, (S,), if there is room; never waits."""
        if self._blocks.qsize() < max(1, round(self.bound_s / BLOCK_S)):
            self._blocks.put(block)
        else:
            self.lose(len(block))

    def lose(self, n_samples: int) -> None:
        """Count samples that nobody will hear."""
        self.lost_s += n_samples / self.sample_rate_hz

    def end(self) -> None:
        """Say that no more will come; never waits."""
        self._blocks.put(_END)

    def __iter__(self) -> Iterator[Block]:
        while (block := self._blocks.get()) is not _END:
            yield block


@contextmanager
def open_microphone(device: str | None, sample_rate_hz: int) -> Iterator[Waiting]:
    """Yield what a microphone hears, which goes on until the context ends.

    `device` is a name or number of `sounddevice`, None for the system's choice. Raises
    AudioError where there is none, or it cannot be opened; SettingError without
    sounddevice.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise missing_package("sounddevice", "listen") from error
    except OSError as error:  # the package is there, the system's library is not
        raise AudioError(
            "microphone: PortAudio is not installed; run: apt-get install libportaudio2"
        ) from error
    waiting = Waiting(sample_rate_hz)

    def heard(data: Any, n_samples: int, _: Any, status: Any) -> None:
        if status.input_overflow:  # PortAudio does not say how much
            waiting.lose(n_samples)
        waiting.put(np.array(data[:, 0], np.float32))

    with ExitStack() as stack:
        try:
            stream = sounddevice.InputStream(
                samplerate=sample_rate_hz,
                blocksize=round(BLOCK_S * sample_rate_hz),
                device=_number_or_name(device),
                channels=1,
                dtype="float32",
                callback=heard,
                finished_callback=waiting.end,
            )
            stack.enter_context(stream)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                f"microphone{'' if device is None else f' {device}'}: cannot be opened:"
                f" {str(error).partition(chr(10))[0]}; there are: {_known(sounddevice)}"
            ) from error
        yield waiting


def _number_or_name(device: str | None) -> int | str | None:
    """Return a device as sounddevice takes it; raises ValueError for a long number."""
    if device is not None and device.isascii() and device.isdigit():
        return int(device)
    return device


def _known(sounddevice: Any) -> str:
    """Return the microphones that there are, in a line."""
    try:
        found = list(sounddevice.query_devices())
    except sounddevice.PortAudioError:
        found = []
    names = [
        f"{number} {device['name']}"
        for number, device in enumerate(found)
        if device["max_input_channels"]
    ]
    return ", ".join(names) or "none"


def standard_input(sample_rate_hz: int | None) -> tuple[int, Iterator[Block]]:
    """Return the rate in Hz of what comes on standard input, and its samples, (S,).

    That is 16-bit little-endian mono PCM at `sample_rate_hz` (None: RATE_HZ), or a WAV
    stream, which says itself what it is. Its writer waits where it is faster than it is
    heard; nothing is lost. Raises AudioError where it is closed, a terminal, empty, or
    a WAV stream of another kind; and while it is read, where a last sample is cut.
    """
    if sys.stdin is None:
        raise AudioError(f"stdin: is closed, {EXPECTED}")
    descriptor = sys.stdin.fileno()
    if os.isatty(descriptor):
        raise AudioError(f"stdin: is a terminal, {EXPECTED} from a file or a pipe")
    stream = io.BufferedReader(_Descriptor(descriptor))
    beginning = stream.peek(len(RIFF))
    if not beginning:
        raise AudioError(f"stdin: ends without a sample, {EXPECTED}")
    if beginning.startswith(RIFF):
        return _wav(stream, sample_rate_hz)
    rate_hz = RATE_HZ if sample_rate_hz is None else sample_rate_hz
    return rate_hz, _samples(stream, rate_hz)


def _samples(stream: io.BufferedReader[Any], rate_hz: int) -> Iterator[Block]:
    n_bytes = round(BLOCK_S * rate_hz) * SAMPLE_BYTES
    rest = b""
    while data := stream.read1(n_bytes):
        data = rest + data
        n_whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        rest = data[n_whole:]
        yield pcm_to_float(data[:n_whole], SAMPLE_BYTES)
    if rest:
        raise AudioError(f"stdin: ends within a sample, {EXPECTED}")


def _wav(
    stream: io.BufferedReader[Any], asked_hz: int | None
) -> tuple[int, Iterator[Block]]:
    """Return rate and samples of a WAV stream; its header may not know its length."""
    try:
        file = wave.Wave_read(stream)
    except (wave.Error, EOFError) as error:
        why = str(error) or "ends within its header"
        raise AudioError(f"stdin: a WAV stream, but {why}; {EXPECTED}") from error
    rate_hz, n_channels = file.getframerate(), file.getnchannels()
    if asked_hz not in (None, rate_hz):
        raise AudioError(
            f"stdin: a WAV stream at {rate_hz} Hz, expected --rate {asked_hz}; leave"
            " out --rate"
        )
    return rate_hz, _frames(file, max(1, round(BLOCK_S * rate_hz)), n_channels)


def _frames(file: wave.Wave_read, n_frames: int, n_channels: int) -> Iterator[Block]:
    width = file.getsampwidth()
    while data := file.readframes(n_frames):
        n_whole = len(data) // (width * n_channels) * width * n_channels
        samples = pcm_to_float(data[:n_whole], width).reshape(-1, n_channels)
        yield np.asarray(samples.mean(axis=1), np.float32)


class _Descriptor(io.RawIOBase):
    """A descriptor that may have been asked not to wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = _read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read(descriptor: int, n_bytes: int) -> bytes:
    """Return what has come, at most so much; nothing at the end."""
    while True:
        try:
            return os.read(descriptor, n_bytes)
        except BlockingIOError:  # its other end asked for that
            select.select([descriptor], [], [])
        except OSError as error:
            raise AudioError(f"stdin: cannot be read: {error.strerror}") from error
