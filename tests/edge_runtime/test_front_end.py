from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import AudioError
from edge_runtime.front_end import (
    LARGEST_SAMPLE,
    FrontEnd,
    FrontEndStream,
    check_samples,
    hz_to_mel,
    mel_to_hz,
)

SMALL = FrontEnd(
    window_samples=20, hop_samples=8, fft_samples=32, n_mels=5, feature_mean=-3.0
)


def noise(n_samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(n_samples).astype(np.float32) / 10


def naive_features(
    front_end: FrontEnd, samples: NDArray[np.float32]
) -> list[list[float]]:
    """Return log-mel features by the definition, one sum at a time."""
    n, n_fft = front_end.window_samples, front_end.fft_samples
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * k / n) for k in range(n)]
    power_of_hann = sum(weight**2 for weight in hann)
    top, bottom = hz_to_mel(front_end.high_hz), hz_to_mel(front_end.low_hz)
    step = (top - bottom) / (front_end.n_mels + 1)
    corners = [
        700 * (10 ** ((bottom + step * k) / 2595) - 1)
        for k in range(front_end.n_mels + 2)
    ]
    frames = []
    for start in range(0, len(samples) - n + 1, front_end.hop_samples):
        power = []
        for k in range(n_fft // 2 + 1):
            terms = (
                samples[start + i] * hann[i] * cmath.exp(-2j * math.pi * k * i / n_fft)
                for i in range(n)
            )
            power.append(abs(sum(terms)) ** 2 / power_of_hann)
        frame = []
        for low, peak, high in zip(corners, corners[1:], corners[2:], strict=False):
            weights = []
            for k in range(n_fft // 2 + 1):
                hz = k * front_end.sample_rate_hz / n_fft
                slopes = (hz - low) / (peak - low), (high - hz) / (high - peak)
                weights.append(max(0.0, min(slopes)))
            band = sum(w * p for w, p in zip(weights, power, strict=True)) / sum(
                weights
            )
            level = math.log(band + 1e-6)
            frame.append((level - front_end.feature_mean) * front_end.feature_scale)
        frames.append(frame)
    return frames


def test_agrees_with_the_definition() -> None:
    """Features are the log power in mel bands, as a naive transform computes it."""
    front_end = FrontEnd(
        window_samples=120, hop_samples=50, fft_samples=128, n_mels=8, high_hz=3900.0
    )
    samples = noise(330)

    found = front_end.features(samples)

    np.testing.assert_allclose(naive_features(front_end, samples), found, atol=1e-4)


def test_a_tone_is_loudest_in_its_band() -> None:
    """The band whose centre lies nearest to a tone holds the most power."""
    front_end = FrontEnd()
    time_s = np.arange(8000) / 8000
    ends = hz_to_mel(front_end.low_hz), hz_to_mel(front_end.high_hz)
    centres_hz = mel_to_hz(np.linspace(*ends, front_end.n_mels + 2))[1:-1]
    for band in (3, 17, 36):
        tone = np.sin(2 * np.pi * centres_hz[band] * time_s).astype(np.float32)

        loudest = front_end.features(tone).argmax(axis=1)

        assert {band} == set(loudest.tolist())


def test_ten_times_the_amplitude_is_a_hundred_times_the_power() -> None:
    """Loud frames rise by ln 100 times the scale."""
    front_end = FrontEnd()
    loud = 10 * noise(4000)  # far above the floor, even a tenth of it

    rise = front_end.features(loud) - front_end.features(loud / 10)

    expected = math.log(100) * front_end.feature_scale
    np.testing.assert_allclose(rise, expected, atol=0.02)


def test_silence_is_the_floor() -> None:
    """Digital silence gives the lowest feature there is, not minus infinity."""
    front_end = FrontEnd()

    found = front_end.features(np.zeros(1000, np.float32))

    expected = (math.log(1e-6) - front_end.feature_mean) * front_end.feature_scale
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_every_filter_sums_to_one_whatever_the_warp() -> None:
    """No filter is empty, even where corners meet or leave the band."""
    front_end = FrontEnd()

    for warp in (0.8, 1.0, 1.25):
        sums = front_end.warped_filters(warp).sum(axis=0)

        np.testing.assert_allclose(sums, np.ones(front_end.n_mels), rtol=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "n_frames"),
    [(0, 0), (1, 0), (19, 0), (20, 1), (27, 1), (28, 2), (20 + 3 * 8, 4)],
)
def test_frames_are_whole_windows(n_samples: int, n_frames: int) -> None:
    """A frame needs its whole window; n_frames and features agree on that."""
    assert (n_frames, SMALL.n_mels) == SMALL.features(noise(n_samples)).shape
    assert n_frames == SMALL.n_frames(n_samples)


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(0, 300), max_size=30))
def test_chunking_does_not_show(sizes: list[int]) -> None:
    """Samples cut anywhere, even into nothing, give the same blocks to the bit."""
    samples = noise(1500)
    expected = FrontEndStream(SMALL, 4).feed(samples)
    stream = FrontEndStream(SMALL, 4)

    parts = np.split(samples, np.minimum(np.cumsum(sizes), len(samples)))
    found = [block for part in parts for block in stream.feed(part)]

    assert len(expected) == len(found)
    np.testing.assert_array_equal(expected, found)


def test_blocks_are_the_features_of_the_whole() -> None:
    """Blocks put together equal the features that training computes at once."""
    front_end = FrontEnd()
    samples = noise(9000)

    blocks = FrontEndStream(front_end, 12).feed(samples)

    expected = front_end.features(samples)[: 12 * len(blocks)]
    assert front_end.n_frames(9000) // 12 == len(blocks)
    np.testing.assert_allclose(expected, np.concatenate(blocks), atol=1e-4)


@pytest.mark.parametrize("n_fed", [0, 1, 43, 44, 45, 60, 61, 75, 76, 77, 300])
@pytest.mark.parametrize("n_more", [0, 1, 7, 32, 100])
def test_missing_samples_complete_a_block(n_fed: int, n_more: int) -> None:
    """So many samples complete a block, one less does not."""
    stream = FrontEndStream(SMALL, 4)
    stream.feed(noise(n_fed))
    n_missing = stream.missing_samples(n_more)

    n_before = len(stream.feed(noise(n_missing - 1)))
    n_after = len(stream.feed(noise(1)))

    assert 1 == n_after
    assert n_missing >= n_more
    assert n_before == max(0, n_before)


def test_impossible_windows_are_refused() -> None:
    """A window longer than its transform is refused with all three lengths."""
    with pytest.raises(AudioError) as caught:
        FrontEnd(window_samples=300, fft_samples=256)

    assert (
        "front end: hop 80, window 300, FFT 256 samples; expected 0 < hop <= window"
        " <= FFT"
    ) == str(caught.value)


def test_a_band_beyond_the_rate_is_refused() -> None:
    """A band above half the sample rate is refused with its limits."""
    with pytest.raises(AudioError) as caught:
        FrontEnd(high_hz=4100.0)

    assert ("front end: band 60–4100 Hz; expected 0 <= low < high <= 4000 Hz") == str(
        caught.value
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "a: hold NaN or infinity, expected numbers in ±1"),
        (-np.inf, "a: hold NaN or infinity, expected numbers in ±1"),
        (1e38, "a: reach 1e+38, expected ±1, and at most ±16; scale them to ±1 first"),
        (
            -32768,
            "a: reach 32768, expected ±1, and at most ±16; scale them to ±1 first",
        ),
    ],
)
def test_samples_on_another_scale_are_refused(value: float, message: str) -> None:
    """No number, and a magnitude no recorder reaches, are errors and no silence."""
    with pytest.raises(AudioError) as caught:
        check_samples("a", np.array([[0.5, value]], np.float32))

    assert message == str(caught.value)


def test_samples_may_overshoot() -> None:
    """Up to the stated bound, samples give finite features without a warning."""
    loud = np.full(400, LARGEST_SAMPLE, np.float32)

    check_samples("a", loud)
    check_samples("a", loud[:0])

    assert np.isfinite(SMALL.features(loud)).all()
