"""Sound to features: PCM samples in, normalized log-mel frames out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_runtime.errors import AudioError

MILLISECONDS_PER_SECOND = 1000
POWER_FLOOR = 1e-6
"""Added to each band's power (full scale = 1): a quiet room, so digital silence and a
quiet room look alike."""
LARGEST_SAMPLE = 16.0
"""Magnitude, full scale = 1. Float files and mixers overshoot by some decibels; 24 dB
above full scale, samples are on another scale, like that of 16-bit integers."""


@dataclass(frozen=True)
class FrontEnd:
    """Constants of the features; training and every device compute with the same."""

    sample_rate_hz: int = 8000
    window_samples: int = 200
    """Samples under one Hann window."""
    hop_samples: int = 80
    """Samples from one frame's start to the next one's."""
    fft_samples: int = 256
    n_mels: int = 40
    low_hz: float = 60.0
    high_hz: float = 3800.0
    feature_mean: float = -9.0
    """Taken from each log power, natural logarithm."""
    feature_scale: float = 0.4
    """Multiplied with what is left."""

    def __post_init__(self) -> None:
        if not 0 < self.hop_samples <= self.window_samples <= self.fft_samples:
            raise AudioError(
                f"front end: hop {self.hop_samples}, window {self.window_samples},"
                f" FFT {self.fft_samples} samples; expected 0 < hop <= window <= FFT"
            )
        if not 0.0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise AudioError(
                f"front end: band {self.low_hz:g}–{self.high_hz:g} Hz; expected"
                f" 0 <= low < high <= {self.sample_rate_hz / 2:g} Hz"
            )

    @property
    def hop_ms(self) -> float:
        """Milliseconds from one frame to the next."""
        return self.hop_samples * MILLISECONDS_PER_SECOND / self.sample_rate_hz

    @cached_property
    def window(self) -> NDArray[np.float32]:
        """Hann window, (window_samples,), under which white noise keeps its power."""
        phase = 2.0 * np.pi * np.arange(self.window_samples) / self.window_samples
        hann = 0.5 - 0.5 * np.cos(phase)
        return np.asarray(hann / np.sqrt(np.sum(hann**2)), np.float32)

    @property
    def corners_mel(self) -> NDArray[np.float64]:
        """Mel values, (M + 2,): from corner m filter m rises, and falls to m + 2."""
        low_mel, high_mel = hz_to_mel(np.array([self.low_hz, self.high_hz]))
        return np.linspace(low_mel, high_mel, self.n_mels + 2)

    @cached_property
    def filters(self) -> NDArray[np.float32]:
        """Mel filters, (fft_samples // 2 + 1, M), each summing to one."""
        return self.warped_filters(1.0)

    def warped_filters(self, warp: float) -> NDArray[np.float32]:
        """Return the mel filters with every corner frequency times `warp`.

        Training varies it, as a vocal tract of another length would.
        """
        top_hz = self.sample_rate_hz / 2
        corners_hz = np.minimum(mel_to_hz(self.corners_mel) * warp, top_hz)  # (M + 2,)
        peak_hz = corners_hz[1:-1]
        n_bins = self.fft_samples // 2 + 1
        bin_hz = np.linspace(0.0, top_hz, n_bins)[:, None]
        # A side narrower than the bins' distance could leave a filter empty.
        sides_hz = np.maximum(np.diff(corners_hz), top_hz / (n_bins - 1))
        rise = 1.0 + (bin_hz - peak_hz) / sides_hz[:-1]
        fall = 1.0 - (bin_hz - peak_hz) / sides_hz[1:]
        triangles = np.maximum(0.0, np.minimum(rise, fall))  # (bins, M)
        return np.asarray(triangles / triangles.sum(axis=0), np.float32)

    def n_frames(self, n_samples: int) -> int:
        """Return how many whole windows fit into `n_samples`."""
        return max(0, (n_samples - self.window_samples) // self.hop_samples + 1)

    def samples_of(self, n_frames: int) -> int:
        """Return how many samples `n_frames` frames cover."""
        return self.window_samples + (n_frames - 1) * self.hop_samples

    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features, (T, M), of samples in ±1, (S,), taken as a whole.

        Agrees with `FrontEndStream` within 1e-4: sums run in another order.
        """
        if not self.n_frames(len(samples)):
            return np.zeros((0, self.n_mels), np.float32)
        windows = sliding_window_view(samples, self.window_samples)
        return self.normalize(self.power(windows[:: self.hop_samples]) @ self.filters)

    def power(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power spectrum, (T, bins), of windows of samples, (T, window)."""
        spectrum = np.fft.rfft(windows * self.window, self.fft_samples, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(power, np.float32)

    def normalize(self, mel_power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features, (T, M), of the power in each mel band, (T, M)."""
        level = np.log(mel_power + np.float32(POWER_FLOOR))
        features = (level - self.feature_mean) * self.feature_scale
        return np.asarray(features, np.float32)


class FrontEndStream:
    """Samples in any chunks to blocks of a fixed number of frames.

    Each block is computed from the same samples in arrays of the same shape whatever
    the chunking, so it is the same to the bit.
    """

    def __init__(self, front_end: FrontEnd, block_frames: int) -> None:
        self._front_end = front_end
        self._step_samples = block_frames * front_end.hop_samples
        self._block_samples = front_end.samples_of(block_frames)
        self._pending = np.zeros(0, np.float32)

    def feed(self, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the blocks, (block_frames, M) each, that `samples`, (S,), complete."""
        pending = np.concatenate([self._pending, samples.astype(np.float32)])
        blocks = []
        start = 0
        while start + self._block_samples <= len(pending):
            block = pending[start : start + self._block_samples].copy()
            blocks.append(self._front_end.features(block))
            start += self._step_samples
        self._pending = pending[start:].copy()
        return blocks

    def missing_samples(self, n_more: int) -> int:
        """Return how many samples, at least `n_more`, complete a block."""
        behind = len(self._pending) + n_more - self._block_samples
        n_steps = max(0, -(-behind // self._step_samples))
        whole = self._block_samples + n_steps * self._step_samples
        return whole - len(self._pending)


def check_samples(where: str, samples: NDArray[np.float32]) -> None:
    """Refuse samples, of any shape, that are not in ±1 or a little beyond.

    Raises AudioError, which begins with `where`, for NaN, infinity and magnitudes
    above LARGEST_SAMPLE.
    """
    if not samples.size:
        return
    peak = max(float(samples.max()), -float(samples.min()))
    if not np.isfinite(peak):
        raise AudioError(f"{where}: hold NaN or infinity, expected numbers in ±1")
    if peak > LARGEST_SAMPLE:
        raise AudioError(
            f"{where}: reach {peak:g}, expected ±1, and at most ±{LARGEST_SAMPLE:g};"
            " scale them to ±1 first"
        )


FRONT_ENDS = {
    8000: FrontEnd(),
    16000: FrontEnd(16000, 400, 160, 512, n_mels=48, high_hz=7600.0),
}
"""By the rate of the sound in Hz: what the recipes use. Features of both have as many
mels to a filter, about, and the same frames."""


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mel values (O'Shaughnessy, 2595 log10(1 + f/700)) of frequencies."""
    return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0), np.float64)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frequencies of mel values; the inverse of `hz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0), np.float64)
