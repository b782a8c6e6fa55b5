"""How loud a recording is: what explains that nothing, or nonsense, was heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHORTEST_S = 0.1
"""No word is shorter."""
SILENT = 1e-3
"""Of full scale, -60 dB: below it, speech was not recorded."""
FULL_SCALE = 0.98
CLIPPED_PART = 0.01
"""Of the samples at full scale; loud music has a tenth of that."""


class Loudness:
    """Watches the samples of a recording."""

    def __init__(self) -> None:
        self._n_samples = 0
        self._n_full = 0
        self._peak = 0.0

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take more samples, (S,) in ±1."""
        if not len(samples):
            return
        sizes = np.abs(samples)
        self._n_samples += len(samples)
        self._n_full += int(np.count_nonzero(sizes >= FULL_SCALE))
        self._peak = max(self._peak, float(sizes.max()))

    def remark(self, sample_rate_hz: int, *, has_words: bool) -> str | None:
        """Return what is to be said about a recording that is over; mostly nothing."""
        length_s = self._n_samples / sample_rate_hz
        if self._n_full > CLIPPED_PART * self._n_samples and length_s >= SHORTEST_S:
            part = self._n_full / max(1, self._n_samples)
            return (
                f"{part:.0%} of the samples are at full scale, clipped; expect wrong"
                " words, and record it less loud"
            )
        if has_words:
            return None
        if length_s < SHORTEST_S:
            return f"{length_s * 1000:.3g} ms of sound, too short for a word"
        if self._peak < SILENT:
            loudest = "all samples are 0"
            if self._peak:
                loudest = f"its loudest sample is {20 * np.log10(self._peak):.0f} dB"
                loudest += " of full scale"
            return f"silent, {loudest}; is the microphone on?"
        return "no speech was heard"
