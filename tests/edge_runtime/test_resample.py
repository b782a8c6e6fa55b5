from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import AudioError
from edge_runtime.resample import BLOCK_SAMPLES, Resampler, resample

EDGE_S = 0.02
"""Behind this much of a signal's ends, what lies outside it no longer matters."""


def tone(
    rate_hz: int, frequency_hz: float, seconds: float = 0.5
) -> NDArray[np.float32]:
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)


def cut(samples: NDArray[np.float32], sizes: list[int]) -> list[NDArray[np.float32]]:
    return np.split(samples, np.minimum(np.cumsum(sizes), len(samples)))


@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(16_000, 8000), (44_100, 8000), (8000, 16_000), (8001, 8000), (192_000, 8000)],
)
def test_a_tone_stays_the_same_tone(from_hz: int, to_hz: int) -> None:
    """A tone in the pass band comes out as that tone sampled at the new rate."""
    found = resample(tone(from_hz, 1000.0), from_hz, to_hz)

    expected = tone(to_hz, 1000.0)
    inside = slice(int(EDGE_S * to_hz), -int(EDGE_S * to_hz))
    assert len(expected) == len(found)
    np.testing.assert_allclose(expected[inside], found[inside], atol=1e-4)


@pytest.mark.parametrize("from_hz", [11_025, 16_000, 48_000, 192_000])
def test_tones_above_the_new_band_are_gone(from_hz: int) -> None:
    """What the new rate cannot hold is 80 dB down instead of folded into the band."""
    found = resample(tone(from_hz, 4800.0), from_hz, 8000)

    inside = slice(int(EDGE_S * 8000), -int(EDGE_S * 8000))
    assert np.abs(found[inside]).max() < 1e-4


def test_agrees_with_a_naive_sum() -> None:
    """Each output sample is the windowed-sinc sum that the definition states."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(90).astype(np.float32)
    resampler = Resampler(12_000, 8000)
    reach, cutoff = resampler._reach, resampler._cutoff
    expected = []
    for n in range(60):
        at = n * 1.5
        nearby = range(int(at) - reach + 1, int(at) + reach + 1)
        kernel = [
            np.sinc(cutoff * (k - at))
            * np.i0(9.0 * np.sqrt(max(0.0, 1.0 - ((k - at) / reach) ** 2)))
            for k in nearby
        ]
        heard = [samples[k] if 0 <= k < 90 else 0.0 for k in nearby]
        expected.append(np.dot(kernel, heard) / np.sum(kernel))

    found = resample(samples, 12_000, 8000)

    np.testing.assert_allclose(expected, found, atol=1e-5)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 900), max_size=20),
    from_hz=st.sampled_from([8000, 9001, 11_025, 16_000, 44_100, 48_000, 96_000]),
)
def test_chunking_does_not_show(sizes: list[int], from_hz: int) -> None:
    """Samples cut anywhere, even into nothing, give the same output to the bit."""
    samples = np.random.default_rng(1).standard_normal(4000).astype(np.float32)
    resampler = Resampler(from_hz, 8000)

    parts = [resampler.feed(part) for part in cut(samples, sizes)]
    found = np.concatenate([*parts, resampler.finish()])

    np.testing.assert_array_equal(resample(samples, from_hz, 8000), found)


@pytest.mark.parametrize(
    "n_samples", [0, 1, 2 * BLOCK_SAMPLES - 1, 2 * BLOCK_SAMPLES, 2 * BLOCK_SAMPLES + 1]
)
def test_the_output_covers_the_input(n_samples: int) -> None:
    """As many samples come out as stand for a time within the input."""
    found = resample(np.ones(n_samples, np.float32), 16_000, 8000)

    assert -(-n_samples // 2) == len(found)


def test_finishing_twice_adds_nothing() -> None:
    """The second finish has no samples left to give."""
    resampler = Resampler(16_000, 8000)
    resampler.feed(np.ones(100, np.float32))
    resampler.finish()

    assert 0 == len(resampler.finish())


def test_the_same_rate_changes_nothing() -> None:
    """Audio at the network's own rate passes untouched."""
    samples = np.random.default_rng(2).standard_normal(100).astype(np.float32)

    np.testing.assert_array_equal(samples, resample(samples, 8000, 8000))


@pytest.mark.parametrize(
    ("rate_hz", "reason"),
    [
        (0, "speech below 8000 Hz lacks consonants"),
        (7999, "speech below 8000 Hz lacks consonants"),
        (192_001, "resample it first"),
        (384_000, "resample it first"),
    ],
)
def test_other_rates_are_refused(rate_hz: int, reason: str) -> None:
    """A rate outside 8 to 192 kHz is refused with that range and its own reason."""
    with pytest.raises(AudioError) as caught:
        Resampler(rate_hz, 8000)

    assert (f"sample rate {rate_hz} Hz: expected 8000 to 192000 Hz; {reason}") == str(
        caught.value
    )
