"""Speech made harder: other voices, rooms, levels, noises and microphones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_runtime.front_end import POWER_FLOOR, FrontEnd, hz_to_mel, mel_to_hz
from edge_runtime.resample import resample

OVERSAMPLING = 4
"""Clips are held at this many times their rate; between those samples a straight line
is a good interpolation (images 40 dB down at 2 kHz)."""
PCM_PEAK = 32767.0
LEVEL_DB = (-15.0, 6.0)
"""Change of loudness where there are features alone."""
WARPS = tuple(float(warp) for warp in np.linspace(0.86, 1.16, 11))


TELEPHONE_HZ = (300.0, 3600.0)
TELEPHONE_RATE_HZ = 8000


@dataclass(frozen=True)
class Augmentation:
    """How far each property may stray; probabilities are per utterance."""

    speed: tuple[float, float] = (0.85, 1.2)
    """Playback speed: pitch, formants and tempo together."""
    tempo: tuple[float, float] = (0.8, 1.2)
    """Tempo alone."""
    warp: bool = True
    """Whether formants are moved alone, by WARPS."""
    peak: tuple[float, float] = (0.03, 1.0)
    """Of the speech, full scale = 1."""
    snr_db: tuple[float, float] = (8.0, 45.0)
    noise_probability: float = 0.5
    room_probability: float = 0.15
    tilt_db: float = 6.0
    """Standard deviation of the slope of the frequency response, over the band."""
    band_probability: float = 0.2
    """Of a low or high cut."""
    telephone_probability: float = 0.1
    """Of a telephone's band, where the front end hears more."""
    n_masks: int = 1
    mask_mels: int = 6
    mask_frames: int = 6


def oversample(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.int16]:
    """Return a clip as it is held in memory, (OVERSAMPLING · S,), 16 bits."""
    return to_16_bits(resample(samples, rate_hz, OVERSAMPLING * rate_hz))


def to_16_bits(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return samples in ±1 as 16-bit PCM; louder ones are clipped."""
    return np.asarray(np.clip(samples, -1.0, 1.0) * PCM_PEAK, np.int16)


def play(clip: NDArray[np.int16], speed: float) -> NDArray[np.float32]:
    """Return an oversampled clip at its own rate, `speed` times as fast, peak 1."""
    n_samples = int(len(clip) / (OVERSAMPLING * speed))
    position = np.arange(n_samples) * (OVERSAMPLING * speed)
    samples = np.interp(position, np.arange(len(clip)), clip)
    return np.asarray(samples / max(1.0, np.abs(samples).max(initial=0.0)), np.float32)


def add_noise(
    speech: NDArray[np.float32],
    noises: Sequence[NDArray[np.int16]],
    how: Augmentation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return speech, (S,), in a room, at a level and with a noise drawn by `rng`."""
    if rng.random() < how.room_probability:
        speech = _in_room(speech, rng)
    peak = np.exp(rng.uniform(*np.log(how.peak)))
    speech = speech * np.float32(peak / max(1e-6, np.abs(speech).max(initial=0.0)))
    if rng.random() >= how.noise_probability:
        return speech
    noise = _noise(len(speech), noises, rng)
    loud = speech[np.abs(speech) > 0.05 * peak]
    power = np.mean(loud**2) if len(loud) else peak**2 * 0.05
    wanted = power * 10.0 ** (-rng.uniform(*how.snr_db) / 10.0)
    return speech + noise * np.float32(np.sqrt(wanted / max(1e-12, np.mean(noise**2))))


def distorted_features(
    samples: NDArray[np.float32],
    front_end: FrontEnd,
    filter_bank: Sequence[NDArray[np.float32]],
    how: Augmentation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return features, (T, M), with tempo, formants and response drawn by `rng`.

    `filter_bank` holds the mel filters of each of WARPS.
    """
    tempo = rng.uniform(*how.tempo) if rng.random() < 0.6 else 1.0
    windows = sliding_window_view(samples, front_end.window_samples)
    n_frames = int((len(windows) - 1) / (front_end.hop_samples * tempo)) + 1
    starts = (np.arange(n_frames) * front_end.hop_samples * tempo).astype(int)
    which = int(rng.integers(len(WARPS))) if how.warp else len(WARPS) // 2
    power = np.matmul(front_end.power(windows[starts]), filter_bank[which])
    features = front_end.normalize(power * _response(front_end, how, rng))
    mask(features, how, rng)
    return features


def redistorted(
    features: NDArray[np.float32],
    front_end: FrontEnd,
    how: Augmentation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return features, (T', M), of features, (T, M), with what needs no sound changed.

    That is tempo, formants, level and response, drawn by `rng`: much cheaper than
    `distorted_features`, but without noise and rooms.
    """
    tempo = rng.uniform(*how.tempo) if rng.random() < 0.6 else 1.0
    n_frames = int((len(features) - 1) / tempo) + 1
    kept = features[(np.arange(n_frames) * tempo).astype(int)]
    if how.warp:
        kept = warped(kept, front_end, rng.uniform(WARPS[0], WARPS[-1]))
    level = kept / front_end.feature_scale + front_end.feature_mean
    power = np.maximum(np.exp(level) - POWER_FLOOR, 0.0)
    gain = 10.0 ** (rng.uniform(*LEVEL_DB) / 10.0)
    return front_end.normalize(power * _response(front_end, how, rng) * gain)


def warped(
    features: NDArray[np.float32], front_end: FrontEnd, warp: float
) -> NDArray[np.float32]:
    """Return features, (T, M), as filters with corners `warp` times as high give them.

    Between filters a straight line stands; above the last one, its value.
    """
    corners = front_end.corners_mel
    wanted = hz_to_mel(mel_to_hz(corners[1:-1]) * warp)
    place = (wanted - corners[1]) / (corners[1] - corners[0])
    place = np.clip(place, 0, front_end.n_mels - 1)  # in filters
    below = np.minimum(place.astype(int), front_end.n_mels - 2)
    part = (place - below).astype(np.float32)
    return features[:, below] * (1 - part) + features[:, below + 1] * part


def _in_room(
    speech: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    n = int(rng.uniform(400, 2000))
    decay = np.exp(-np.arange(n) * (6.9 / n))
    echo = rng.standard_normal(n) * decay * rng.uniform(0.02, 0.15)
    echo[0] = 1.0
    size = 1 << (len(speech) + n).bit_length()  # a length that the FFT is fast at
    wet = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(echo, size), size)
    return np.asarray(wet[: len(speech)], np.float32)


def _noise(
    n: int, noises: Sequence[NDArray[np.int16]], rng: np.random.Generator
) -> NDArray[np.float32]:
    if not noises or rng.random() < 0.3:
        white = rng.standard_normal(n + 1)
        color = rng.uniform(0.0, 0.95)
        return np.asarray(white[1:] + color * np.cumsum(white)[1:] * 0.1, np.float32)
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(len(noise)))
    return noise[(start + np.arange(n)) % len(noise)].astype(np.float32)


def _response(
    front_end: FrontEnd, how: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a microphone's, or a telephone's, power gain per band, (M,)."""
    place = np.linspace(-0.5, 0.5, front_end.n_mels)
    gain_db = rng.normal(0.0, how.tilt_db) * place
    gain_db += rng.normal(0.0, 3.0) * np.cos(2 * np.pi * (place + rng.random()))
    if rng.random() < how.band_probability:
        gain_db -= 40.0 * np.clip(rng.uniform(0.0, 0.2) - (place + 0.5), 0, None) / 0.1
    if rng.random() < how.band_probability:
        gain_db -= 40.0 * np.clip(place + 0.5 - rng.uniform(0.8, 1.0), 0, None) / 0.1
    gain = 10.0 ** (gain_db / 10.0)
    hears_more = front_end.sample_rate_hz > TELEPHONE_RATE_HZ
    if hears_more and rng.random() < how.telephone_probability:
        peak_hz = mel_to_hz(front_end.corners_mel[1:-1])
        gain[(peak_hz < TELEPHONE_HZ[0]) | (peak_hz > TELEPHONE_HZ[1])] = 0.0
    return np.asarray(gain, np.float32)


def mask(
    features: NDArray[np.float32], how: Augmentation, rng: np.random.Generator
) -> None:
    """Blank bands and moments in place (SpecAugment, arXiv:1904.08779)."""
    for _ in range(rng.integers(how.n_masks + 1)):
        first = rng.integers(features.shape[1])
        features[:, first : first + rng.integers(how.mask_mels + 1)] = 0.0
    for _ in range(rng.integers(how.n_masks + 1)):
        first = rng.integers(features.shape[0])
        features[first : first + rng.integers(how.mask_frames + 1)] = 0.0
